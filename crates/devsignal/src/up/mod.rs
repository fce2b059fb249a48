//! `devsignal up`: Postgres, nats-server and all services, in one process and its children.
//!
//! Owns the order of things: secrets, databases, migrations, services, the first organization, `endpoints.json`, and the
//! same backwards. Nothing here differs from production but configuration, and that signals reach signal-ingest without a
//! socket.

mod background;
mod pid_file;
mod services;
mod stack;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use lifecycle::Lifecycle;
use telemetry::{Metrics, TelemetryConfig};

use crate::cli::UpArgs;
use crate::endpoints::{self, Endpoints};
use crate::secrets::{FirstOrganization, Secrets};
use background::Background;
use pid_file::PidFile;
use stack::Stack;

/// Each phase of the shutdown has this long.
const PHASE_BUDGET: Duration = Duration::from_secs(10);

/// Runs until a signal, or until a part that is needed ends.
pub async fn run(args: UpArgs) -> anyhow::Result<()> {
    let data_dir = &args.data.data_dir;
    std::fs::create_dir_all(data_dir).with_context(|| format!("cannot create {}", data_dir.display()))?;
    let data_dir = &data_dir.canonicalize()?;
    let _pid_file = PidFile::take(data_dir)?;
    let telemetry = TelemetryConfig {
        log_filter: args.log.clone(),
        ..TelemetryConfig::default()
    };
    let _telemetry = telemetry::init("devsignal", &telemetry)?;
    let lifecycle = Lifecycle::new();
    lifecycle.watch_signals()?;

    let started = Instant::now();
    let background = Background::start()?;
    let secrets = Secrets::read_or_make(data_dir)?;
    let mut stack = Stack::start(data_dir, &secrets, &lifecycle).await?;
    let serving = serve(&args, data_dir, &stack, &lifecycle, &background, started);
    let outcome = match Box::pin(serving).await {
        Ok(()) => stack.supervise(&lifecycle).await,
        Err(error) => Err(error),
    };
    // Also after a failed start: what was started is stopped, services before what they stand on.
    let stopped = lifecycle.stop(PHASE_BUDGET).await;
    remove_endpoints(data_dir);
    stack.stop().await;
    outcome?;
    stopped.context("the shutdown was not clean")?;
    crate::complain("stopped");
    Ok(())
}

async fn serve(
    args: &UpArgs,
    data_dir: &Path,
    stack: &Stack,
    lifecycle: &Lifecycle,
    background: &Background,
    started: Instant,
) -> anyhow::Result<()> {
    let mut secrets = Secrets::read_or_make(data_dir)?;
    let metrics = Metrics::new("devsignal");
    let plan = services::Plan::new(args, stack, &secrets).await?;
    crate::complain("preparing databases");
    plan.migrate(stack).await?;
    crate::complain("starting services");
    let running = tokio::select! {
        running = plan.start(lifecycle, &metrics, background.handle()) => running?,
        () = lifecycle.stopping() => return Ok(()),
    };
    let first = match secrets.first_organization.clone() {
        Some(first) => first,
        None => first_organization(&running, data_dir, &mut secrets).await?,
    };
    let endpoints = Endpoints {
        http: running.http.clone(),
        grpc: running.grpc.clone(),
        nats: stack.nats().url(),
        postgres: stack.postgres_url(),
        metrics: running.metrics.clone(),
        org_id: first.org_id,
        api_key: first.api_key,
        pid: std::process::id(),
    };
    wait_until_ready(lifecycle).await?;
    endpoints.write(data_dir)?;
    crate::complain("webhooks may go to http and to addresses of this network; production refuses both");
    announce(&endpoints, data_dir, started);
    if let Some(directory) = services::mail_directory(data_dir) {
        crate::complain(&format!(
            "no mail server is set (DEVSIGNAL_GATEWAY__MAIL__TRANSPORT): mails are written to {}",
            directory.display()
        ));
    }
    Ok(())
}

/// The first organization and its key; kept, because a key's text cannot be had again from the database.
async fn first_organization(
    running: &services::Running,
    data_dir: &Path,
    secrets: &mut Secrets,
) -> anyhow::Result<FirstOrganization> {
    let (org_id, api_key) = running.create_organization("Demo").await?;
    let first = FirstOrganization {
        org_id: org_id.to_string(),
        api_key,
    };
    secrets.first_organization = Some(first.clone());
    secrets.write(data_dir)?;
    Ok(first)
}

async fn wait_until_ready(lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let readiness = lifecycle.readiness();
        if readiness.ready || readiness.shutting_down {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "the services are not ready: {:?}",
            readiness.checks
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn announce(endpoints: &Endpoints, data_dir: &Path, started: Instant) {
    crate::say(&format!(
        "DevSignal is ready after {:.1} s: {} (gRPC {}), API key {}, all endpoints in {}",
        started.elapsed().as_secs_f64(),
        endpoints.http,
        endpoints.grpc,
        endpoints.api_key,
        endpoints::path(data_dir).display(),
    ));
}

/// A stopped installation has no endpoints.
fn remove_endpoints(data_dir: &Path) {
    if let Err(error) = std::fs::remove_file(endpoints::path(data_dir))
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "endpoints.json was left behind");
    }
}
