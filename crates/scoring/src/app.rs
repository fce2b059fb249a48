//! Builds the service from what it stands on. No globals.

use std::sync::Arc;
use std::time::Duration;

use ::store::Stores;
use contracts::ops::v1::stage_service_server::StageServiceServer;
use contracts::scores::v1::batch_service_server::BatchServiceServer;
use contracts::scores::v1::score_service_server::ScoreServiceServer;
use eventbus::{Bus, BusError, Relay, StageReporter};
use ids::{Clock, IdGen};
use lifecycle::{Backoff, Lifecycle, OnExit, Phase};
use rpc::{Server, Verifier};
use telemetry::{Metrics, TelemetryError};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::SERVICE;
use crate::api::{BatchApi, ScoreApi, Stages};
use crate::config::Settings;
use crate::error::ScoringError;
use crate::events::{self, Desk};
use crate::metrics::ScoringMetrics;
use crate::worker::{self, Scorer, ScorerDeps};

/// What the service stands on.
pub struct Deps {
    /// The connection to the broker.
    pub bus: Bus,
    /// The schema, migrated.
    pub stores: Stores,
    /// Where tasks are registered.
    pub lifecycle: Lifecycle,
    /// Where things are counted.
    pub metrics: Metrics,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn IdGen>,
    /// Checks who calls.
    pub verifier: Verifier,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The built-in model cannot be used.
    #[error("scores cannot be computed")]
    Scoring(#[from] ScoringError),
    /// The bus cannot be used.
    #[error("the bus cannot be used")]
    Bus(#[from] BusError),
    /// A metric cannot be registered.
    #[error("a metric cannot be registered")]
    Metrics(#[from] TelemetryError),
}

/// Starts the relay, the consumers, the scorer and the gRPC server on `listener`; all are registered with the lifecycle.
/// Returns once they run.
///
/// # Errors
/// [`StartError`]; nothing that was started by then goes on after the lifecycle stops.
pub fn start(settings: &Settings, deps: &Deps, listener: TcpListener) -> Result<(), StartError> {
    let Deps {
        bus,
        stores,
        lifecycle,
        metrics,
        clock,
        ids,
        verifier,
    } = deps;
    let counted = ScoringMetrics::new(metrics)?;
    let poke = Arc::new(Notify::new());
    let scorer = Scorer::new(ScorerDeps {
        stores: stores.clone(),
        clock: Arc::clone(clock),
        ids: Arc::clone(ids),
        settings: settings.scoring,
        metrics: counted.clone(),
    })?;
    let stages = Stages::new(
        StageReporter::new(SERVICE, bus, stores),
        stores.pipeline.clone(),
        Arc::clone(clock),
    );
    let server = Server::new(settings.grpc.clone(), verifier.clone(), metrics)?
        .add(ScoreServiceServer::new(ScoreApi::new(scorer.clone())))
        .add(BatchServiceServer::new(BatchApi::new(scorer.clone())))
        .add(StageServiceServer::new(stages));
    Relay::spawn(bus, stores, SERVICE, lifecycle, metrics)?;
    let desk = Desk {
        pipeline: stores.pipeline.clone(),
        clock: Arc::clone(clock),
        poke: Arc::clone(&poke),
        metrics: counted,
    };
    events::spawn(&desk, bus, stores, settings, lifecycle, metrics)?;
    spawn_scorer(&scorer, &poke, lifecycle);
    server.serve(listener, lifecycle);
    Ok(())
}

/// A database that is away is tried again soon: scores wait for it.
fn spawn_scorer(scorer: &Scorer, poke: &Arc<Notify>, lifecycle: &Lifecycle) {
    let again = OnExit::Restart {
        backoff: Backoff {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(2),
        },
    };
    let (this, poke) = (scorer.clone(), Arc::clone(poke));
    lifecycle.spawn("scorer", Phase::Work, again, move |shutdown| {
        worker::run(this.clone(), Arc::clone(&poke), shutdown)
    });
    let this = scorer.clone();
    lifecycle.spawn("history-prune", Phase::Work, OnExit::restart(), move |shutdown| {
        worker::prune(this.clone(), shutdown)
    });
}
