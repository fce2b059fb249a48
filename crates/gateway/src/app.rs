//! Builds the gateway from its dependencies and starts it.

use std::sync::Arc;

use actix_web::web::Data;
use eventbus::Bus;
use ids::{Clock, IdGen};
use lifecycle::Lifecycle;
use store::Stores;
use telemetry::Metrics;
use tokio::net::TcpListener;

use crate::access::{self, Authenticator, Parts, Passwords, Tokens};
use crate::audit::Audit;
use crate::backends::Backends;
use crate::config::Settings;
use crate::contract::Contract;
use crate::docs::{self, Docs};
use crate::error::StartError;
use crate::graphql::{self, Graphql};
use crate::grpc::{self, Proxy, ProxyParts};
use crate::health::{self, Health};
use crate::home::Home;
use crate::http::{self, Edge, HandRoutes};
use crate::idempotency::Idempotency;
use crate::ingest::{self, Ingest};
use crate::limits::Limits;
use crate::metrics::{HttpMetrics, StreamMetrics, group_sizes};
use crate::openapi;
use crate::receiver::{self, Receiver};
use crate::secrets::Sealer;
use crate::stream::{self, Streams};
use crate::transcode::Transcoder;
use crate::transfer::{self, Transfer};

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

/// The routes that are not transcoded, each described beside its handler.
pub(crate) fn hand_routes() -> HandRoutes {
    let all = [
        ingest::described(),
        stream::described(),
        health::described(),
        receiver::described(),
        docs::described(),
        graphql::described(),
        access::described(),
        transfer::described(),
    ];
    HandRoutes::new(all.concat())
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
    let shared = (&stores, &clock, &ids);
    let (backends, tokens) = behind(settings, &contract, shared, &metrics, &lifecycle)?;
    let limits = Limits::new(settings.limits.clone());
    let authenticator = Authenticator::new(
        &settings.access,
        stores.pipeline.clone(),
        home.clone(),
        Arc::clone(&clock),
        (limits, tokens),
    );
    let idempotency = Idempotency::start(
        &settings.idempotency,
        &stores,
        Sealer::new(&secret, "idempotent-answer"),
        Arc::clone(&clock),
        Arc::clone(&ids),
        &lifecycle,
    );
    let parts = stream::Parts {
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
    let by_hand = hand_routes();
    let transcoder = Transcoder::new(&contract, &backends, idempotency, home.clone())?;
    let docs = Docs::new(&openapi::document(&contract, transcoder.routes(), &by_hand));
    let streams = Streams::start(&settings.events, parts, &lifecycle);
    let built = graphql::build(&contract, transcoder.routes(), &settings.graphql)?;
    let around = (&backends, &streams, &authenticator);
    let graphql = Graphql::new(built, around, home.clone(), &settings.graphql);
    let groups = group_sizes(&metrics)?;
    let ingest = Ingest::start(&settings.ingest, &backends, &clock, groups, &lifecycle);
    let edge = Data::new(Edge {
        graphql,
        docs,
        by_hand,
        settings: settings.http.clone(),
        ids,
        authenticator,
        ingest,
        transcoder,
        receiver: Receiver::new(&backends, home.clone()),
        streams,
        transfer: Transfer::new(&contract, &backends, home.clone())?,
        health: Health::new(lifecycle.clone(), &backends, home),
        metrics: HttpMetrics::new(&metrics)?,
    });
    let proxy = Proxy::new(&contract, proxy_parts);
    grpc::serve(&settings.grpc, &contract, proxy, listeners.grpc, &lifecycle)?;
    http::serve_admin(metrics, listeners.admin.into_std()?, &lifecycle)?;
    http::serve_public(&settings.http, edge, listeners.http.into_std()?, &lifecycle)?;
    Ok(())
}

/// The services behind the edge, the gateway's own access services among them, and the access tokens.
fn behind(
    settings: &Settings,
    contract: &Contract,
    (stores, clock, ids): (&Stores, &Arc<dyn Clock>, &Arc<dyn IdGen>),
    metrics: &Metrics,
    lifecycle: &Lifecycle,
) -> Result<(Backends, Tokens), StartError> {
    let (listener, url) = access::listen()?;
    let audit = Audit::new(
        stores.db.clone(),
        Home::here(),
        contract.pool().clone(),
        Arc::clone(clock),
        Arc::clone(ids),
    );
    let around = (url, audit);
    let backends = Backends::new(&settings.backends, &settings.security, Arc::clone(clock), around)?;
    let secret = settings.security.secret_bytes()?;
    let tokens = Tokens::new(&settings.token_keys(&secret), Arc::clone(clock))?;
    let parts = Parts {
        stores: stores.clone(),
        clock: Arc::clone(clock),
        ids: Arc::clone(ids),
        passwords: Passwords::new(),
        tokens: tokens.clone(),
        throttle: Limits::new(settings.access.throttle()),
        environment: settings.access.environment.clone(),
    };
    access::serve(parts, listener, &settings.security, metrics, lifecycle)?;
    Ok((backends, tokens))
}
