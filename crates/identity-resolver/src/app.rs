//! Builds the service from what it stands on. No globals.

use std::sync::Arc;

use ::store::Stores;
use contracts::ops::v1::stage_service_server::StageServiceServer;
use eventbus::{Bus, BusError, ConsumerSpec, Relay, StageReporter, spawn_consumer};
use ids::{Clock, IdGen};
use lifecycle::Lifecycle;
use rpc::{Server, Verifier};
use telemetry::{Metrics, TelemetryError};
use tokio::net::TcpListener;

use crate::SERVICE;
use crate::config::Settings;
use crate::events::{self, SignalsAccepted};
use crate::memory::Memory;
use crate::metrics::ResolverMetrics;
use crate::resolver::Resolver;

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
    /// The bus cannot be used.
    #[error("the bus cannot be used")]
    Bus(#[from] BusError),
    /// A metric cannot be registered.
    #[error("a metric cannot be registered")]
    Metrics(#[from] TelemetryError),
}

/// Starts the relay, the consumer and the gRPC server on `listener`; all are registered with the lifecycle. Returns once
/// they run.
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
    let memory = Memory::new(settings.resolver.cached_actors, settings.resolver.cached_accounts);
    let resolver = Resolver::new(
        stores.pipeline.clone(),
        (Arc::clone(clock), Arc::clone(ids)),
        memory,
        ResolverMetrics::new(metrics)?,
    );
    Relay::spawn(bus, stores, SERVICE, lifecycle, metrics)?;
    let spec = ConsumerSpec::new(SERVICE, events::EVENT).concurrency(settings.resolver.concurrency);
    spawn_consumer(
        bus,
        stores,
        spec,
        Arc::new(SignalsAccepted(resolver)),
        lifecycle,
        metrics,
    )?;
    Server::new(settings.grpc.clone(), verifier.clone(), metrics)?
        .add(StageServiceServer::new(StageReporter::new(SERVICE, bus, stores)))
        .serve(listener, lifecycle);
    Ok(())
}
