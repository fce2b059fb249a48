//! What happens around every request, and the choice of who answers it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use actix_web::dev::Payload;
use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use errors::{ApiError, ErrorCode};
use futures::FutureExt as _;
use ids::IdGen;

use super::auth::authenticate;
use super::{Context, answer};
use crate::access::{Authenticator, Credential};
use crate::config::HttpSettings;
use crate::health::Health;
use crate::ingest::Ingest;
use crate::limits::Class;
use crate::metrics::HttpMetrics;
use crate::receiver::Receiver;
use crate::stream::Streams;
use crate::transcode::Transcoder;

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
    /// Webhooks from outside.
    pub receiver: Receiver,
    /// Server-sent events.
    pub streams: Streams,
    /// Health.
    pub health: Health,
    /// Counters.
    pub metrics: HttpMetrics,
}

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
    match path {
        "/api/v1/signals" | "/api/v1/signals/batch" if method == Method::POST => {
            let caller = authenticate(edge, request, context, Class::Ingest).await?;
            let batch = path.ends_with("/batch");
            edge.ingest
                .receive(request, &mut payload, &caller, batch, &edge.settings)
                .await
        }
        "/api/v1/events" if is_read(method) => {
            let caller = authenticate(edge, request, context, Class::Read).await?;
            edge.streams.open(request, caller).await
        }
        "/health" if is_read(method) => Ok(edge.health.overall()),
        "/health/signals" if is_read(method) => edge.health.pipeline().await,
        path if path.starts_with(GITHUB) && method == Method::POST => {
            edge.receiver
                .github(
                    request,
                    &mut payload,
                    &path[GITHUB.len()..],
                    context,
                    &edge.settings,
                )
                .await
        }
        path => transcoded(edge, request, payload, context, path).await,
    }
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
    let class = if is_read(method) {
        Class::Read
    } else {
        Class::Write
    };
    let caller: Arc<Credential> = authenticate(edge, request, context, class).await?;
    edge.transcoder
        .answer(matched, request, &mut payload, caller, context, &edge.settings)
        .await
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// 405 when the path exists with other methods, else 404.
fn not_here(edge: &Edge, path: &str, context: &Context) -> HttpResponse {
    let mut allowed = edge.transcoder.methods(path);
    match path {
        "/api/v1/signals" | "/api/v1/signals/batch" => allowed.push("POST"),
        "/api/v1/events" | "/health" | "/health/signals" => allowed.push("GET"),
        path if path
            .strip_prefix(GITHUB)
            .is_some_and(|id| !id.is_empty() && !id.contains('/')) =>
        {
            allowed.push("POST");
        }
        _ => {}
    }
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    allowed.sort_unstable();
    allowed.dedup();
    if allowed.is_empty() {
        return answer::problem(
            &ApiError::new(ErrorCode::NotFound, "there is nothing at this path"),
            context,
        );
    }
    let allow = allowed.join(", ");
    let detail = format!("this path answers to {allow}");
    let mut response = answer::problem(&ApiError::new(ErrorCode::MethodNotAllowed, detail), context);
    debug_assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    if let Ok(allow) = HeaderValue::from_str(&allow) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// A few kinds of paths, for the metrics: labels must be few.
fn kind_of(path: &str) -> &'static str {
    match path {
        "/api/v1/signals" | "/api/v1/signals/batch" => "signals",
        "/api/v1/events" => "events",
        path if path.starts_with("/health") => "health",
        path if path.starts_with("/hooks/") => "hooks",
        path if path.starts_with("/api/v1/") => "rest",
        _ => "other",
    }
}
