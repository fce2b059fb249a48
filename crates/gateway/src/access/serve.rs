//! The gateway's own services as one more service behind the gateway's edge, so that REST, gRPC and GraphQL have one way to them.

use std::sync::Arc;

use contracts::access::v1::api_key_service_server::ApiKeyServiceServer;
use contracts::access::v1::audit_service_server::AuditServiceServer;
use contracts::access::v1::auth_service_server::AuthServiceServer;
use contracts::access::v1::batch_service_server::BatchServiceServer;
use contracts::access::v1::nats_access_service_server::NatsAccessServiceServer;
use contracts::access::v1::organization_service_server::OrganizationServiceServer;
use contracts::events::v1::event_service_server::EventServiceServer;
use contracts::webhooks::v1::webhook_delivery_service_server::WebhookDeliveryServiceServer;
use contracts::webhooks::v1::webhook_service_server::WebhookServiceServer;
use eventbus::Bus;
use eventbus::partners::{PartnerSettings, Partners};
use ids::Clock;
use lifecycle::Lifecycle;
use rpc::{KeyPair, Server, ServerSettings, Verifier};
use store::Stores;
use telemetry::Metrics;
use tokio::net::TcpListener;

use super::nats::NatsAccess;
use super::nats_directory::NatsDirectory;
use super::parts::{Api, Parts};
use crate::config::SecuritySettings;
use crate::error::StartError;
use crate::stream::EventApi;
use crate::webhooks;

/// Takes a free port of this machine alone; callers need a principal that this gateway signed.
///
/// # Errors
/// No port is free.
pub fn listen() -> Result<(TcpListener, String), StartError> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok((TcpListener::from_std(listener)?, url))
}

/// Serves as a task of `lifecycle`.
///
/// # Errors
/// The key or a metric cannot be used.
pub fn serve(
    (parts, events, webhooks): (Parts, EventApi, webhooks::Api),
    listener: TcpListener,
    security: &SecuritySettings,
    metrics: &Metrics,
    lifecycle: &Lifecycle,
) -> Result<(), StartError> {
    let public = KeyPair::public_of(&security.signing_key)?;
    let verifier = Verifier::new(&[public], Arc::clone(&parts.clock))?;
    let settings = ServerSettings {
        listen: String::new(),
        deadline_ms: 10_000,
        max_concurrent_streams: 1024,
        reflection: false,
    };
    let api = Api(Arc::new(parts));
    Server::new(settings, verifier, metrics)?
        .add(AuthServiceServer::new(api.clone()))
        .add(OrganizationServiceServer::new(api.clone()))
        .add(ApiKeyServiceServer::new(api.clone()))
        .add(BatchServiceServer::new(api.clone()))
        .add(NatsAccessServiceServer::new(api.clone()))
        .add(AuditServiceServer::new(api))
        .add(EventServiceServer::new(events))
        .add(WebhookServiceServer::new(webhooks.clone()))
        .add(WebhookDeliveryServiceServer::new(webhooks))
        .serve(listener, lifecycle);
    Ok(())
}

/// Answers for partners at the broker, where it is set up to ask.
///
/// # Errors
/// The issuer's key cannot be used.
pub fn nats_access(
    settings: &PartnerSettings,
    bus: &Bus,
    stores: &Stores,
    clock: &Arc<dyn Clock>,
    lifecycle: &Lifecycle,
) -> Result<NatsAccess, StartError> {
    let directory = NatsDirectory {
        db: stores.pipeline.clone(),
        clock: Arc::clone(clock),
        settings: settings.clone(),
    };
    let partners = if settings.enabled {
        Some(Partners::start(bus, settings, directory, lifecycle)?)
    } else {
        None
    };
    Ok(NatsAccess {
        settings: settings.clone(),
        partners,
    })
}
