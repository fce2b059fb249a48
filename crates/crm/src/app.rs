//! Builds the service from what it stands on. No globals.

use std::sync::Arc;

use ::store::{StoreError, Stores};
use contracts::crm::v1::account_service_server::AccountServiceServer;
use contracts::crm::v1::batch_service_server::BatchServiceServer;
use contracts::crm::v1::contact_service_server::ContactServiceServer;
use contracts::ops::v1::stage_service_server::StageServiceServer;
use eventbus::{Bus, BusError, Relay, StageReporter};
use ids::{Clock, IdGen};
use lifecycle::Lifecycle;
use rpc::{Server, Verifier};
use telemetry::{Metrics, TelemetryError};
use tokio::net::TcpListener;

use crate::SERVICE;
use crate::api::{AccountApi, BatchApi, ContactApi};
use crate::config::Settings;
use crate::events::{self, Desk};
use crate::signals::RemoteSignals;
use crate::store::Records;

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
    /// The address of signal-ingest is none.
    #[error("signal_ingest.url is not an address")]
    Address(#[from] tonic::transport::Error),
}

/// Starts the relay, the consumers and the gRPC server on `listener`; all are registered with the lifecycle. Returns
/// once they run.
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
    let records = Records::new(stores, Arc::clone(clock), Arc::clone(ids));
    let signals = Arc::new(RemoteSignals::new(
        rpc::channel(&settings.signal_ingest)?,
        metrics,
    )?);
    let server = Server::new(settings.grpc.clone(), verifier.clone(), metrics)?
        .add(AccountServiceServer::new(AccountApi::new(
            records.clone(),
            signals,
        )))
        .add(ContactServiceServer::new(ContactApi::new(records.clone())))
        .add(BatchServiceServer::new(BatchApi::new(records.clone())))
        .add(StageServiceServer::new(StageReporter::new(SERVICE, bus, stores)));
    Relay::spawn(bus, stores, SERVICE, lifecycle, metrics)?;
    events::spawn(
        &Desk::new(records, metrics)?,
        bus,
        stores,
        &settings.consumers,
        lifecycle,
        metrics,
    )?;
    server.serve(listener, lifecycle);
    Ok(())
}
