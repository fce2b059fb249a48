//! Builds the gateway from its dependencies and starts it.

use std::sync::Arc;

use actix_web::web::Data;
use eventbus::Bus;
use ids::{Clock, IdGen};
use lifecycle::Lifecycle;
use store::Stores;
use telemetry::Metrics;
use tokio::net::TcpListener;

use crate::access::Authenticator;
use crate::backends::Backends;
use crate::config::Settings;
use crate::contract::Contract;
use crate::error::StartError;
use crate::grpc::{self, Proxy, ProxyParts};
use crate::health::Health;
use crate::home::Home;
use crate::http::{self, Edge};
use crate::idempotency::Idempotency;
use crate::ingest::Ingest;
use crate::limits::Limits;
use crate::metrics::{HttpMetrics, StreamMetrics, group_sizes};
use crate::receiver::Receiver;
use crate::secrets::Sealer;
use crate::stream::{Parts, Streams};
use crate::transcode::Transcoder;

/// What the gateway is given.
pub struct Deps {
    /// The bus, for the event stream.
    pub bus: Bus,
    /// The gateway's own schema.
    pub stores: Stores,
    /// Tasks and shutdown.
    pub lifecycle: Lifecycle,
    /// Metrics of the process, seen as the gateway.
    pub metrics: Metrics,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn IdGen>,
}

/// Where it listens.
pub struct Listeners {
    /// Public HTTP.
    pub http: TcpListener,
    /// Public gRPC.
    pub grpc: TcpListener,
    /// The operators' own.
    pub admin: TcpListener,
}

impl Listeners {
    /// Binds the addresses of the settings.
    ///
    /// # Errors
    /// An address is taken or not one.
    pub async fn bind(settings: &Settings) -> Result<Self, StartError> {
        Ok(Self {
            http: TcpListener::bind(&settings.http.listen).await?,
            grpc: TcpListener::bind(&settings.grpc.listen).await?,
            admin: TcpListener::bind(&settings.admin.listen).await?,
        })
    }
}

/// Starts everything as tasks of the lifecycle; serving when it returns. Must be called on the runtime that stays.
///
/// # Errors
/// A setting or a listener cannot be used.
pub fn start(settings: &Settings, deps: Deps, listeners: Listeners) -> Result<(), StartError> {
    let Deps {
        bus,
        stores,
        lifecycle,
        metrics,
        clock,
        ids,
    } = deps;
    let home = Home::here();
    let contract = Contract::load()?;
    let secret = settings.security.secret_bytes()?;
    let backends = Backends::new(&settings.backends, &settings.security, Arc::clone(&clock))?;
    let limits = Limits::new(settings.limits.clone());
    let authenticator = Authenticator::new(
        &settings.access,
        stores.pipeline.clone(),
        home.clone(),
        Arc::clone(&clock),
        limits,
    );
    let idempotency = Idempotency::start(
        &settings.idempotency,
        &stores,
        Sealer::new(&secret, "idempotent-answer"),
        Arc::clone(&clock),
        Arc::clone(&ids),
        &lifecycle,
    );
    let parts = Parts {
        bus,
        contract: contract.clone(),
        authenticator: authenticator.clone(),
        secret,
        metrics: StreamMetrics::new(&metrics)?,
        clock: Arc::clone(&clock),
    };
    let proxy_parts = ProxyParts {
        backends: backends.clone(),
        authenticator: authenticator.clone(),
        ids: Arc::clone(&ids),
    };
    let edge = Data::new(Edge {
        settings: settings.http.clone(),
        ids,
        authenticator,
        ingest: Ingest::start(
            &settings.ingest,
            &backends,
            &clock,
            group_sizes(&metrics)?,
            &lifecycle,
        ),
        transcoder: Transcoder::new(&contract, &backends, idempotency, home.clone())?,
        receiver: Receiver::new(&backends, home.clone()),
        streams: Streams::start(&settings.events, parts, &lifecycle),
        health: Health::new(lifecycle.clone(), &backends, home),
        metrics: HttpMetrics::new(&metrics)?,
    });
    let proxy = Proxy::new(&contract, proxy_parts);
    grpc::serve(&settings.grpc, &contract, proxy, listeners.grpc, &lifecycle)?;
    http::serve_admin(metrics, listeners.admin.into_std()?, &lifecycle)?;
    http::serve_public(&settings.http, edge, listeners.http.into_std()?, &lifecycle)?;
    Ok(())
}
