//! Builds the gateway from its dependencies and starts it.

use std::sync::Arc;

use actix_web::web::Data;
use eventbus::{Bus, Relay};
use ids::{Clock, IdGen};
use lifecycle::Lifecycle;
use rpc::InProcess;
use store::Stores;
use telemetry::Metrics;
use tokio::net::TcpListener;

use crate::access::{
    self, AuditExport, Authenticator, Parts, Passwords, Proofs, Signatures, Throttle, Tokens,
};
use crate::audit::Audit;
use crate::backends::Backends;
use crate::config::Settings;
use crate::contract::Contract;
use crate::docs::{self, Docs};
use crate::error::StartError;
use crate::events::Catalogue;
use crate::graphql::{self, Graphql};
use crate::grpc::{self, Local, Proxy, ProxyParts};
use crate::health::{self, Health};
use crate::home::Home;
use crate::http::{self, Edge, HandRoutes};
use crate::idempotency::Idempotency;
use crate::ingest::{self, Ingest};
use crate::limits::Limits;
use crate::mail::Mailer;
use crate::members::Members;
use crate::metrics::{HttpMetrics, StreamMetrics, group_sizes};
use crate::openapi;
use crate::receiver::{self, Receiver};
use crate::secrets::Sealer;
use crate::stream::{self, EventApi, SUBSCRIBE, Streams, Subscribe};
use crate::transcode::Transcoder;
use crate::transfer::{self, Transfer};
use crate::webhooks;

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
    /// signal-ingest, where it runs in this process and on this runtime; else signals go to its port.
    pub intake: Option<InProcess>,
}

/// Where it listens.
pub struct Listeners {
    /// Public HTTP.
    pub http: TcpListener,
    /// Public gRPC.
    pub grpc: TcpListener,
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
    let contract = Contract::load()?;
    let catalogue = Catalogue::new(&contract)?;
    let (metrics, lifecycle) = (deps.metrics.clone(), deps.lifecycle.clone());
    let secret = settings.security.secret_bytes()?;
    let seams = (&deps.clock, &deps.ids);
    let mailer = Mailer::start(&settings.mail, &deps.stores, &secret, seams, &metrics, &lifecycle)?;
    let hooks = webhooks::Deps {
        bus: deps.bus.clone(),
        stores: deps.stores.clone(),
        catalogue: catalogue.clone(),
        sealer: Sealer::new(&secret, "webhook"),
        clock: Arc::clone(&deps.clock),
        ids: Arc::clone(&deps.ids),
        poke: Arc::default(),
        mailer: mailer.clone(),
    };
    let api = hooks.api(&settings.webhooks);
    Relay::spawn(&deps.bus, &deps.stores, crate::SCHEMA, &lifecycle, &metrics)?;
    if settings.roles.edge {
        serve(settings, deps, listeners, (contract, catalogue), (api, mailer))?;
    }
    if settings.roles.deliver {
        webhooks::deliver(&settings.webhooks, hooks, &metrics, &lifecycle)?;
    }
    Ok(())
}

/// The edge role: everything that clients talk to.
fn serve(
    settings: &Settings,
    deps: Deps,
    listeners: Listeners,
    (contract, catalogue): (Contract, Catalogue),
    (hooks, mailer): (webhooks::Api, Mailer),
) -> Result<(), StartError> {
    let Deps {
        bus,
        stores,
        lifecycle,
        metrics,
        clock,
        ids,
        intake,
    } = deps;
    let home = Home::here();
    let secret = settings.security.secret_bytes()?;
    let shared = (&stores, &clock, &ids);
    let (backends, own, own_listener) =
        behind(settings, &contract, shared, (mailer, &bus, intake), &lifecycle)?;
    let authenticator = authenticator(settings, &stores, &clock, own.proofs());
    let idempotency = idempotency(settings, &secret, shared, &lifecycle);
    let parts = stream::Parts {
        bus,
        catalogue,
        authenticator: authenticator.clone(),
        secret,
        metrics: StreamMetrics::new(&metrics)?,
        clock: Arc::clone(&clock),
    };
    let streams = Streams::start(&settings.events, parts, &lifecycle);
    let around = (stores.db.clone(), Arc::clone(&clock), Arc::clone(&ids));
    let events = EventApi::new(streams.clone(), &contract, around);
    let proxy_parts = ProxyParts {
        backends: backends.clone(),
        authenticator: authenticator.clone(),
        ids: Arc::clone(&ids),
        local: vec![(SUBSCRIBE, Local::new(Subscribe(events.clone())))],
    };
    let security = &settings.security;
    access::serve((own, events, hooks), own_listener, security, &metrics, &lifecycle)?;
    let by_hand = hand_routes();
    let transcoder = Transcoder::new(&contract, &backends, idempotency, home.clone())?;
    let document = openapi::document(&contract, transcoder.routes(), &by_hand);
    let docs = Docs::new(&document, &stream::asyncapi_document(&contract)?);
    let built = graphql::build(&contract, transcoder.routes(), &settings.graphql)?;
    let around = (&backends, &streams, &authenticator);
    let graphql = Graphql::new(built, around, home.clone(), &settings.graphql);
    let groups = group_sizes(&metrics)?;
    let ingest = Ingest::start(&settings.ingest, &backends, &clock, groups, &lifecycle);
    let edge = Data::new(Edge {
        audit_export: AuditExport::new(&stores, &contract, home.clone(), Arc::clone(&clock))?,
        graphql,
        docs,
        by_hand,
        settings: settings.http.clone(),
        ids,
        authenticator,
        ingest,
        transcoder,
        backends: backends.clone(),
        receiver: Receiver::new(&backends, home.clone()),
        streams,
        transfer: Transfer::new(&contract, &backends, home.clone())?,
        health: Health::new(lifecycle.clone(), &backends, home),
        metrics: HttpMetrics::new(&metrics)?,
    });
    let proxy = Proxy::new(&contract, proxy_parts);
    grpc::serve(&settings.grpc, &contract, proxy, listeners.grpc, &lifecycle)?;
    http::serve_public(&settings.http, edge, listeners.http.into_std()?, &lifecycle)?;
    Ok(())
}

fn authenticator(
    settings: &Settings,
    stores: &Stores,
    clock: &Arc<dyn Clock>,
    proofs: Proofs,
) -> Authenticator {
    Authenticator::new(
        &settings.access,
        stores.pipeline.clone(),
        Home::here(),
        Arc::clone(clock),
        (Limits::new(settings.limits.clone()), proofs),
    )
}

fn idempotency(
    settings: &Settings,
    secret: &[u8; 32],
    (stores, clock, ids): (&Stores, &Arc<dyn Clock>, &Arc<dyn IdGen>),
    lifecycle: &Lifecycle,
) -> Idempotency {
    Idempotency::start(
        &settings.idempotency,
        stores,
        Sealer::new(secret, "idempotent-answer"),
        Arc::clone(clock),
        Arc::clone(ids),
        lifecycle,
    )
}

/// The services behind the edge; the parts of the gateway's own, and where they are to listen.
fn behind(
    settings: &Settings,
    contract: &Contract,
    (stores, clock, ids): (&Stores, &Arc<dyn Clock>, &Arc<dyn IdGen>),
    (mailer, bus, intake): (Mailer, &Bus, Option<InProcess>),
    lifecycle: &Lifecycle,
) -> Result<(Backends, Parts, TcpListener), StartError> {
    let (listener, url) = access::listen()?;
    let audit = Audit::new(
        stores.db.clone(),
        Home::here(),
        contract,
        Arc::clone(clock),
        Arc::clone(ids),
    )?;
    let members = Members::new(stores.db.clone(), Home::here(), contract)?;
    let backends = Backends::new(
        &settings.backends,
        &settings.security,
        Arc::clone(clock),
        (url, intake),
        (members, audit),
    )?;
    let secret = settings.security.secret_bytes()?;
    let tokens = Tokens::new(&settings.token_keys(&secret), Arc::clone(clock))?;
    let throttle = Throttle::start(
        &settings.access,
        stores.pipeline.clone(),
        Arc::clone(clock),
        lifecycle,
    );
    let signatures = Signatures::start(
        stores.pipeline.clone(),
        &secret,
        Arc::clone(clock),
        Home::here(),
        lifecycle,
    );
    let parts = Parts {
        stores: stores.clone(),
        clock: Arc::clone(clock),
        ids: Arc::clone(ids),
        passwords: Passwords::new(),
        tokens,
        throttle,
        mailer,
        signatures,
        environment: settings.access.environment.clone(),
        nats: access::nats_access(&settings.partners, bus, stores, clock, lifecycle)?,
    };
    Ok((backends, parts, listener))
}
