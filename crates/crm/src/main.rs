//! The crm service as a process of its own.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use crm::app::{self, Deps};
use crm::config::Settings;
use eventbus::Bus;
use ids::{SystemClock, SystemIds};
use lifecycle::Lifecycle;
use rpc::Verifier;
use store::Stores;
use telemetry::Metrics;
use tokio::net::TcpListener;

/// Each phase of the shutdown has this long.
const PHASE_BUDGET: Duration = Duration::from_secs(10);

/// Accounts, contacts and timelines of DevSignal.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Settings file (TOML) over the built-in defaults; the environment wins over it.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Bring the schema up to date before starting.
    #[arg(long)]
    migrate: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let settings = Settings::load(args.config.as_deref(), settings::process_env(), None)?;
    let _telemetry = telemetry::init(crm::SERVICE, &settings.telemetry)?;
    let lifecycle = Lifecycle::new();
    lifecycle.watch_signals()?;
    let metrics = Metrics::new(crm::SERVICE);
    if args.migrate {
        store::migrate(&settings.database, &crm::MIGRATOR).await?;
    }
    admin::serve(admin::bind(&settings.admin).await?, metrics.clone(), &lifecycle);
    let listener = TcpListener::bind(&settings.grpc.listen).await?;
    let deps = Deps {
        stores: Stores::connect(&settings.database, &lifecycle, &metrics).await?,
        bus: Bus::connect(&settings.bus, &lifecycle, &metrics).await?,
        verifier: Verifier::new(&settings.security.principal_keys, SystemClock::shared())?,
        lifecycle: lifecycle.clone(),
        metrics,
        clock: SystemClock::shared(),
        ids: SystemIds::shared(),
    };
    app::start(&settings, &deps, listener).await?;
    tracing::info!(listen = %settings.grpc.listen, "crm is ready");
    Ok(lifecycle.run(PHASE_BUDGET).await?)
}
