//! What happens around every request, and the choice of who answers it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use actix_web::body::{BodySize, MessageBody as _};
use actix_web::dev::Payload;
use actix_web::http::header::{ALLOW, AUTHORIZATION, HeaderValue, UPGRADE};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use contracts::access::Permission;
use errors::{ApiError, ErrorCode};
use futures::FutureExt as _;
use ids::IdGen;

use super::auth::{anybody, authenticate};
use super::headers::no_parameters;
use super::{Context, HandRoutes, answer, version};
use crate::access::{AuditExport, Authenticator, Credential};
use crate::backends::Backends;
use crate::config::HttpSettings;
use crate::docs::Docs;
use crate::graphql::{self, Graphql};
use crate::health::Health;
use crate::ingest::Ingest;
use crate::limits::Class;
use crate::metrics::HttpMetrics;
use crate::receiver::Receiver;
use crate::stream::Streams;
use crate::transcode::Transcoder;
use crate::transfer::{Transfer, Way};

/// Everything that a request can need. Shared by all serving threads.
pub struct Edge {
    /// Bounds.
    pub settings: HttpSettings,
    /// New request ids.
    pub ids: Arc<dyn IdGen>,
    /// Keys.
    pub authenticator: Authenticator,
    /// Signals.
    pub ingest: Ingest,
    /// REST by descriptors.
    pub transcoder: Transcoder,
    /// The services behind.
    pub backends: Backends,
    /// Webhooks from outside.
    pub receiver: Receiver,
    /// Server-sent events.
    pub streams: Streams,
    /// Files in and out.
    pub transfer: Transfer,
    /// Health.
    pub health: Health,
    /// The audit log as a file.
    pub audit_export: AuditExport,
    /// GraphQL.
    pub graphql: Graphql,
    /// The contract for people and programs.
    pub docs: Docs,
    /// Routes that are not transcoded.
    pub by_hand: HandRoutes,
    /// Counters.
    pub metrics: HttpMetrics,
}

/// Where the keys of access tokens are published (RFC 7517).
pub const JWKS: &str = "/.well-known/jwks.json";
/// The audit log as a file.
pub const AUDIT_EXPORT: &str = "/api/v1/audit/export";
const GITHUB: &str = "/hooks/github/";

/// The handler of all requests.
pub(super) async fn handle(
    edge: web::Data<Edge>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let started = Instant::now();
    let context = Context::of(&request, &*edge.ids);
    let work = AssertUnwindSafe(route(&edge, &request, payload.into_inner(), &context));
    let mut response = match work.catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            if error.code == ErrorCode::Internal {
                tracing::error!(request_id = context.id(), path = request.path(), "internal error");
            }
            answer::problem(&error, &context)
        }
        Err(_) => {
            tracing::error!(
                request_id = context.id(),
                path = request.path(),
                "a handler panicked"
            );
            answer::problem(&ApiError::internal(), &context)
        }
    };
    if request.method() == Method::HEAD && response.body().size() == BodySize::Stream {
        // Nobody reads it: the file is not made.
        response = response.drop_body().map_into_boxed_body();
    }
    answer::finish(response.headers_mut(), &context);
    edge.metrics
        .observe(kind_of(request.path()), response.status(), started.elapsed());
    tracing::debug!(
        request_id = context.id(),
        method = %request.method(),
        path = request.path(),
        status = response.status().as_u16(),
        "answered"
    );
    response
}

async fn route(
    edge: &web::Data<Edge>,
    request: &HttpRequest,
    mut payload: Payload,
    context: &Context,
) -> Result<HttpResponse, ApiError> {
    let (path, method) = (request.uri().path(), request.method());
    context.version.set(version::version(request)?);
    if method == Method::OPTIONS {
        return Ok(options(edge, path, context));
    }
    match path {
        "/api/v1/signals" | "/api/v1/signals/batch" if method == Method::POST => {
            let caller = authenticate(edge, request, &mut payload, context, Class::Ingest).await?;
            let batch = path.ends_with("/batch");
            edge.ingest
                .receive(request, &mut payload, &caller, batch, &edge.settings)
                .await
        }
        "/api/v1/events" if is_read(method) => {
            let caller = authenticate(edge, request, &mut payload, context, Class::Read).await?;
            edge.streams.open(request, caller).await
        }
        "/api/v1/events/ws" if is_read(method) => {
            let caller = of_socket(edge, request, &mut payload, context).await?;
            edge.streams.socket(request, &mut payload, caller, context).await
        }
        AUDIT_EXPORT if is_read(method) => {
            let caller = authenticate(edge, request, &mut payload, context, Class::Read).await?;
            edge.audit_export.answer(request, &caller)
        }
        JWKS if is_read(method) => {
            no_parameters(request)?;
            let keys = edge.authenticator.published();
            Ok(HttpResponse::Ok().content_type("application/json").body(keys))
        }
        "/health" if is_read(method) => Ok(edge.health.overall()),
        "/health/signals" if is_read(method) => edge.health.pipeline().await,
        "/graphql" if method == Method::POST => {
            let caller = authenticate(edge, request, &mut payload, context, Class::Read).await?;
            edge.graphql
                .answer(request, &mut payload, caller, context, &edge.settings)
                .await
        }
        "/graphql" if method == Method::GET && request.headers().contains_key(UPGRADE) => {
            let caller = of_socket(edge, request, &mut payload, context).await?;
            graphql::open(&edge.graphql, request, &mut payload, caller, context).await
        }
        path if is_read(method) && edge.docs.has(path) => {
            no_parameters(request)?;
            Ok(edge.docs.page(path, request))
        }
        path if path.starts_with(GITHUB) && method == Method::POST => {
            let (source, settings) = (&path[GITHUB.len()..], &edge.settings);
            let receiver = &edge.receiver;
            receiver
                .github(request, &mut payload, source, context, settings)
                .await
        }
        path if let Some(way) = Way::of(method, path) => transfer(edge, request, payload, context, way).await,
        path if is_taken(edge, path) => Ok(not_here(edge, path, context)),
        path => transcoded(edge, request, payload, context, path).await,
    }
}

/// Whether handlers of their own have the path word by word: `/accounts/export` is no account, whatever the method.
fn is_taken(edge: &Edge, path: &str) -> bool {
    edge.by_hand.names(path) && !edge.transcoder.routes().names(path)
}

/// Files in and out.
async fn transfer(
    edge: &Edge,
    request: &HttpRequest,
    mut payload: Payload,
    context: &Context,
    way: Way<'_>,
) -> Result<HttpResponse, ApiError> {
    let class = if is_read(request.method()) {
        Class::Read
    } else {
        Class::Write
    };
    let caller = authenticate(edge, request, &mut payload, context, class).await?;
    let who = (caller, context);
    edge.transfer
        .answer(way, request, &mut payload, who, &edge.settings)
        .await
}

/// Who opens a socket. Browsers cannot set the header: their key comes with the first message.
async fn of_socket(
    edge: &Edge,
    request: &HttpRequest,
    payload: &mut Payload,
    context: &Context,
) -> Result<Option<Arc<Credential>>, ApiError> {
    if !request.headers().contains_key(AUTHORIZATION) {
        return Ok(None);
    }
    let caller = authenticate(edge, request, payload, context, Class::Read).await?;
    Ok(Some(caller))
}

async fn transcoded(
    edge: &web::Data<Edge>,
    request: &HttpRequest,
    mut payload: Payload,
    context: &Context,
    path: &str,
) -> Result<HttpResponse, ApiError> {
    let method = request.method();
    let lookup = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let Some(matched) = edge.transcoder.find(lookup.as_str(), path)? else {
        return Ok(not_here(edge, path, context));
    };
    let class = if matched.route.reads {
        Class::Read
    } else {
        Class::Write
    };
    let caller: Arc<Credential> = if matched.route.rule.permission == Permission::Public {
        anybody(edge, context)?
    } else {
        authenticate(edge, request, &mut payload, context, class).await?
    };
    edge.transcoder
        .answer(matched, request, &mut payload, caller, context, &edge.settings)
        .await
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// The methods that a path answers to, in order; none when there is nothing there.
fn allowed(edge: &Edge, path: &str) -> Vec<&'static str> {
    let mut allowed = edge.by_hand.methods(path);
    if !is_taken(edge, path) {
        allowed.extend(edge.transcoder.methods(path));
    }
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    if !allowed.is_empty() {
        allowed.push("OPTIONS");
    }
    allowed.sort_unstable();
    allowed.dedup();
    allowed
}

fn nothing(context: &Context) -> HttpResponse {
    answer::problem(
        &ApiError::new(ErrorCode::NotFound, "there is nothing at this path"),
        context,
    )
}

fn with_allow(mut response: HttpResponse, allowed: &str) -> HttpResponse {
    if let Ok(allow) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// `OPTIONS`: which methods there are. No other site is given anything: there are no `Access-Control-` headers.
fn options(edge: &Edge, path: &str, context: &Context) -> HttpResponse {
    let allowed = allowed(edge, path);
    if allowed.is_empty() {
        return nothing(context);
    }
    with_allow(HttpResponse::new(StatusCode::NO_CONTENT), &allowed.join(", "))
}

/// 405 when the path exists with other methods, else 404.
fn not_here(edge: &Edge, path: &str, context: &Context) -> HttpResponse {
    let allowed = allowed(edge, path);
    if allowed.is_empty() {
        return nothing(context);
    }
    let allow = allowed.join(", ");
    let detail = format!("this path answers to {allow}");
    let response = answer::problem(&ApiError::new(ErrorCode::MethodNotAllowed, detail), context);
    with_allow(response, &allow)
}

/// A few kinds of paths, for the metrics: labels must be few.
fn kind_of(path: &str) -> &'static str {
    match path {
        "/api/v1/signals" | "/api/v1/signals/batch" => "signals",
        "/api/v1/events" | "/api/v1/events/ws" => "events",
        path if path.starts_with("/health") => "health",
        path if path.starts_with("/hooks/") => "hooks",
        "/graphql" => "graphql",
        path if path.starts_with("/docs")
            || path == "/api/v1/openapi.json"
            || path == "/api/v1/asyncapi.json" =>
        {
            "docs"
        }
        path if path.starts_with("/api/v1/") => "rest",
        _ => "other",
    }
}
