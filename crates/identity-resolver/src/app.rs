//! Builds the service from what it stands on. No globals.

use std::sync::Arc;

use ::store::Stores;
use contracts::ops::v1::stage_service_server::StageServiceServer;
use eventbus::{Bus, ConsumerSpec, Relay, StageReporter, spawn_consumer};
use ids::{Clock, IdGen};
use lifecycle::Lifecycle;
use rpc::{Server, Verifier};
use telemetry::Metrics;
use tokio::net::TcpListener;

use crate::config::Settings;
use crate::error::StartError;
use crate::events::{AcceptedHandler, COMPANIES, CompaniesHandler, EVENT, PEOPLE, PeopleHandler};
use crate::resolver::Resolver;
use crate::{CONSUMER, SERVICE};

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
    let server = Server::new(settings.grpc.clone(), verifier.clone(), metrics)?
        .add(StageServiceServer::new(StageReporter::new(SERVICE, bus, stores)));
    Relay::spawn(bus, stores, SERVICE, lifecycle, metrics)?;
    let resolver = Resolver::new(
        &stores.pipeline,
        &settings.resolver,
        Arc::clone(clock),
        Arc::clone(ids),
        metrics,
    )?;
    let spec = ConsumerSpec::new(SERVICE, EVENT).concurrency(settings.consumer.concurrency);
    debug_assert_eq!(spec.durable(), CONSUMER);
    let resolver = Arc::new(resolver);
    let accepted = Arc::new(AcceptedHandler(Arc::clone(&resolver)));
    spawn_consumer(bus, stores, spec, accepted, lifecycle, metrics)?;
    let spec = |event| ConsumerSpec::new(SERVICE, event).concurrency(settings.consumer.concurrency);
    let people = Arc::new(PeopleHandler(Arc::clone(&resolver)));
    spawn_consumer(bus, stores, spec(PEOPLE), people, lifecycle, metrics)?;
    let companies = Arc::new(CompaniesHandler(resolver));
    spawn_consumer(bus, stores, spec(COMPANIES), companies, lifecycle, metrics)?;
    server.serve(listener, lifecycle);
    Ok(())
}
