//! The gateway as a process of its own.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use eventbus::Bus;
use gateway::{Deps, Listeners, Settings};
use ids::{SystemClock, SystemIds};
use lifecycle::Lifecycle;
use store::Stores;
use telemetry::Metrics;

#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Settings in TOML; see the default settings in the source.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Brings the database schema up to date before serving.
    #[arg(long)]
    migrate: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let settings = Settings::load(arguments.config.as_deref(), settings::process_env(), None)?;
    let _telemetry = telemetry::init("gateway", &settings.telemetry)?;
    let lifecycle = Lifecycle::new();
    lifecycle.watch_signals()?;
    let metrics = Metrics::new("gateway");
    if arguments.migrate {
        store::migrate(&settings.database, &gateway::MIGRATOR).await?;
    }
    admin::serve(admin::bind(&settings.admin).await?, metrics.clone(), &lifecycle);
    let listeners = Listeners::bind(&settings).await?;
    let deps = Deps {
        bus: Bus::connect(&settings.bus, &lifecycle, &metrics).await?,
        stores: Stores::connect(&settings.database, &lifecycle, &metrics).await?,
        lifecycle: lifecycle.clone(),
        metrics,
        clock: SystemClock::shared(),
        ids: SystemIds::shared(),
        intake: None,
    };
    gateway::start(&settings, deps, listeners)?;
    tracing::info!(http = %settings.http.listen, grpc = %settings.grpc.listen, "gateway ready");
    Ok(lifecycle
        .run(Duration::from_secs(settings.http.drain_secs + 5))
        .await?)
}
