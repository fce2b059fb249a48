//! Builds the service from what it stands on. No globals.

use std::sync::Arc;

use ::store::{StoreError, Stores};
use contracts::crm::v1::account_service_server::AccountServiceServer;
use contracts::crm::v1::activity_service_server::ActivityServiceServer;
use contracts::crm::v1::batch_service_server::BatchServiceServer;
use contracts::crm::v1::bulk_service_server::BulkServiceServer;
use contracts::crm::v1::contact_service_server::ContactServiceServer;
use contracts::crm::v1::custom_field_service_server::CustomFieldServiceServer;
use contracts::crm::v1::deal_service_server::DealServiceServer;
use contracts::crm::v1::export_service_server::ExportServiceServer;
use contracts::crm::v1::import_service_server::ImportServiceServer;
use contracts::crm::v1::note_service_server::NoteServiceServer;
use contracts::crm::v1::object_service_server::ObjectServiceServer;
use contracts::crm::v1::pipeline_service_server::PipelineServiceServer;
use contracts::crm::v1::record_service_server::RecordServiceServer;
use contracts::crm::v1::search_service_server::SearchServiceServer;
use contracts::crm::v1::tag_service_server::TagServiceServer;
use contracts::crm::v1::task_service_server::TaskServiceServer;
use contracts::crm::v1::view_service_server::ViewServiceServer;
use contracts::ops::v1::stage_service_server::StageServiceServer;
use eventbus::{Bus, BusError, Relay, StageReporter};
use ids::{Clock, IdGen};
use lifecycle::Lifecycle;
use rpc::{Server, Verifier};
use telemetry::{Metrics, TelemetryError};
use tokio::net::TcpListener;

use crate::SERVICE;
use crate::api::{
    AccountApi, ActivityApi, BatchApi, BulkApi, ContactApi, CustomFieldApi, DealApi, ExportApi, ImportApi,
    NoteApi, ObjectApi, PipelineApi, RecordApi, SearchApi, TagApi, TaskApi, ViewApi,
};
use crate::config::{ImportSettings, Settings};
use crate::events::{self, Desk};
use crate::metrics::ImportMetrics;
use crate::signals::{RemoteSignals, SignalSource};
use crate::store::{Records, history};
use crate::transfer::{self, ImportWorker};
use crate::{backfill, retention};

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

/// Makes the partitions of history, starts the relay, the consumers and the gRPC server on `listener`; all are registered with the lifecycle. Returns
/// once they run.
///
/// # Errors
/// [`StartError`]; nothing that was started by then goes on after the lifecycle stops.
pub async fn start(settings: &Settings, deps: &Deps, listener: TcpListener) -> Result<(), StartError> {
    let Deps {
        bus,
        stores,
        lifecycle,
        metrics,
        clock,
        ids,
        verifier,
    } = deps;
    stores.keep_partitions(history::PARTITIONS).await?;
    let records = Records::new(stores, Arc::clone(clock), Arc::clone(ids));
    let signals: Arc<dyn SignalSource> = Arc::new(RemoteSignals::new(
        rpc::channel(&settings.signal_ingest)?,
        metrics,
    )?);
    let server = Server::new(settings.grpc.clone(), verifier.clone(), metrics)?
        .add(StageServiceServer::new(StageReporter::new(SERVICE, bus, stores)));
    let worker = ImportWorker::new(
        records.clone(),
        settings.imports.clone(),
        ImportMetrics::new(metrics)?,
    );
    let server = with_services(server, &records, signals);
    let server = with_transfer(server, &records, &settings.imports, &worker);
    Relay::spawn(bus, stores, SERVICE, lifecycle, metrics)?;
    events::spawn(
        &Desk::new(records.clone(), metrics)?,
        bus,
        stores,
        &settings.consumers,
        lifecycle,
        metrics,
    )?;
    transfer::spawn(&worker, lifecycle);
    backfill::spawn(records.clone(), lifecycle);
    retention::spawn(records, settings.retention.score_changes_days, lifecycle);
    server.serve(listener, lifecycle);
    Ok(())
}

/// Adds the services that callers use.
#[must_use]
pub fn with_services(server: Server, records: &Records, signals: Arc<dyn SignalSource>) -> Server {
    let of = || records.clone();
    server
        .add(AccountServiceServer::new(AccountApi::new(
            of(),
            Arc::clone(&signals),
        )))
        .add(ContactServiceServer::new(ContactApi::new(
            of(),
            Arc::clone(&signals),
        )))
        .add(DealServiceServer::new(DealApi::new(of(), signals)))
        .add(BatchServiceServer::new(BatchApi::new(of())))
        .add(PipelineServiceServer::new(PipelineApi::new(of())))
        .add(TaskServiceServer::new(TaskApi::new(of())))
        .add(ActivityServiceServer::new(ActivityApi::new(of())))
        .add(NoteServiceServer::new(NoteApi::new(of())))
        .add(TagServiceServer::new(TagApi::new(of())))
        .add(ObjectServiceServer::new(ObjectApi::new(of())))
        .add(RecordServiceServer::new(RecordApi::new(of())))
        .add(SearchServiceServer::new(SearchApi::new(of())))
        .add(CustomFieldServiceServer::new(CustomFieldApi::new(of())))
}

/// Adds the services that move many records at once.
#[must_use]
pub fn with_transfer(
    server: Server,
    records: &Records,
    settings: &ImportSettings,
    worker: &ImportWorker,
) -> Server {
    server
        .add(ImportServiceServer::new(ImportApi::new(
            records.clone(),
            settings.clone(),
            worker.clone(),
        )))
        .add(ExportServiceServer::new(ExportApi::new(records.clone())))
        .add(BulkServiceServer::new(BulkApi::new(records.clone())))
        .add(ViewServiceServer::new(ViewApi::new(records.clone())))
}
