//! Builds the service from what it stands on. No globals.

use std::sync::Arc;
use std::time::Duration;

use ::store::{StoreError, Stores};
use contracts::ops::v1::stage_service_server::StageServiceServer;
use contracts::signals::v1::batch_service_server::BatchServiceServer;
use contracts::signals::v1::intake_service_server::IntakeServiceServer;
use contracts::signals::v1::signal_service_server::SignalServiceServer;
use contracts::signals::v1::source_service_server::SourceServiceServer;
use eventbus::{Bus, BusError, Relay, StageReporter};
use ids::{Clock, IdGen};
use lifecycle::{Lifecycle, OnExit, Phase};
use rpc::{InProcess, Server, Verifier};
use settings::SettingsError;
use telemetry::{Metrics, TelemetryError};
use tokio::net::TcpListener;

use crate::SERVICE;
use crate::api::{BatchApi, IntakeApi, SignalApi, SourceApi};
use crate::burst;
use crate::config::Settings;
use crate::events::Desk;
use crate::github::Receiver;
use crate::intake::Intake;
use crate::maintenance::Upkeep;
use crate::metrics::IngestMetrics;
use crate::sources::{Directory, LastSeen};
use crate::store::{batch_partitions, signal_partitions};

/// Largest internal call: a webhook of 25 MB, or the bodies of several requests.
const MAX_INTERNAL_MESSAGE: usize = 32 * 1024 * 1024;

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
    /// The database cannot be used.
    #[error("the database cannot be used")]
    Store(#[from] StoreError),
    /// The bus cannot be used.
    #[error("the bus cannot be used")]
    Bus(#[from] BusError),
    /// A metric cannot be registered.
    #[error("a metric cannot be registered")]
    Metrics(#[from] TelemetryError),
    /// The settings are not valid.
    #[error("the settings are not valid")]
    Settings(#[from] SettingsError),
}

/// Makes the partitions, starts lanes, consumers, relay and upkeep, and serves gRPC on `listener`; all are registered
/// with the lifecycle. Returns once they run, with the same services for callers in this process.
///
/// # Errors
/// [`StartError`]; nothing that was started by then goes on after the lifecycle stops.
pub async fn start(settings: &Settings, deps: &Deps, listener: TcpListener) -> Result<InProcess, StartError> {
    let Deps {
        bus,
        stores,
        lifecycle,
        metrics,
        clock,
        ids,
        ..
    } = deps;
    let counts = IngestMetrics::new(metrics)?;
    for spec in [
        signal_partitions(settings.retention.signals_days),
        batch_partitions(settings.retention.batches_days),
    ] {
        stores.keep_partitions(spec).await?;
    }
    let server = serve(settings, deps, &counts)?;
    let desk = Desk {
        bus,
        stores,
        clock,
        ids,
        counts: &counts,
        lifecycle,
        metrics,
    };
    desk.spawn(settings)?;
    let hold = burst::watch(
        Duration::from_secs(settings.accept.burst_secs),
        &counts,
        lifecycle,
    );
    Relay::spawn_with(hold, bus, stores, SERVICE, lifecycle, metrics)?;
    Upkeep {
        db: stores.pipeline.clone(),
        retention: settings.retention.clone(),
        clock: Arc::clone(clock),
        metrics: counts,
    }
    .spawn(lifecycle);
    let in_process = server.in_process();
    server.serve(listener, lifecycle);
    Ok(in_process)
}

/// The gRPC server with all services on the accepting stage, which this starts.
fn serve(settings: &Settings, deps: &Deps, counts: &IngestMetrics) -> Result<Server, StartError> {
    let (stores, clock, limits) = (&deps.stores, &deps.clock, settings.limits);
    let sealer = settings.secrets.sealer()?;
    let remembered = Duration::from_millis(settings.sources.cache_ms);
    let directory = Directory::new(stores.pipeline.clone(), remembered);
    let known = (
        directory.clone(),
        keep_last_seen(settings, stores, &deps.lifecycle),
    );
    let seams = (clock, &deps.ids);
    let intake = Intake::start(
        &settings.accept,
        &stores.pipeline,
        known,
        seams,
        counts,
        &deps.lifecycle,
    );
    let receiver = Receiver {
        db: stores.pipeline.clone(),
        intake: intake.clone(),
        sealer: sealer.clone(),
        clock: Arc::clone(clock),
        limits,
        max_body_bytes: settings.github.max_body_bytes,
        metrics: counts.clone(),
    };
    let internal = IntakeServiceServer::new(IntakeApi {
        intake: intake.clone(),
        receiver,
        clock: Arc::clone(clock),
        limits,
    });
    let signals = SignalServiceServer::new(SignalApi {
        db: stores.db.clone(),
        intake,
        clock: Arc::clone(clock),
        limits,
    });
    let batches = BatchServiceServer::new(BatchApi {
        db: stores.db.clone(),
    });
    let sources = SourceServiceServer::new(SourceApi {
        db: stores.db.clone(),
        directory,
        sealer,
        clock: Arc::clone(clock),
        ids: Arc::clone(&deps.ids),
        most: i64::from(settings.sources.max_per_organization),
    });
    let stages = StageServiceServer::new(StageReporter::new(SERVICE, &deps.bus, stores));
    let internal = internal
        .max_decoding_message_size(MAX_INTERNAL_MESSAGE)
        .max_encoding_message_size(MAX_INTERNAL_MESSAGE);
    let server = Server::new(settings.grpc.clone(), deps.verifier.clone(), &deps.metrics)?;
    Ok(server
        .add(signals)
        .add(sources)
        .add(batches)
        .add(internal)
        .add(stages))
}

fn keep_last_seen(settings: &Settings, stores: &Stores, lifecycle: &Lifecycle) -> LastSeen {
    let last_seen = LastSeen::default();
    let (this, db) = (last_seen.clone(), stores.pipeline.clone());
    let pause = Duration::from_millis(settings.sources.last_seen_ms);
    lifecycle.spawn(
        "source-last-seen",
        Phase::Work,
        OnExit::restart(),
        move |shutdown| this.clone().keep(db.clone(), pause, shutdown),
    );
    last_seen
}
