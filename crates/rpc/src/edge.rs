//! The layer around every method: refuses calls without a verified principal or against the method's rule, sets the deadline, continues the trace,
//! measures, and turns a panic into an answer.

use std::borrow::Cow;
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use errors::{ApiError, ErrorCode};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use prometheus::{HistogramVec, IntCounterVec};
use telemetry::{Metrics, TelemetryError, TraceContext};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::Instrument;

use crate::caller::unauthenticated;
use crate::{Caller, PRINCIPAL_KEY, REQUEST_ID_KEY, Verifier};

/// Seconds; most calls are a few milliseconds.
const BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// Longest request id taken over from the caller.
const MAX_REQUEST_ID: usize = 128;

/// Whoever reaches the port may ask whether the service is healthy and what its contract is.
const OPEN_TO_ALL: [&str; 2] = ["/grpc.health.", "/grpc.reflection."];

#[derive(Clone)]
pub(crate) struct EdgeLayer {
    shared: Arc<Shared>,
}

struct Shared {
    verifier: Verifier,
    deadline: Duration,
    /// Methods whose callers send a stream, which lasts as long as they have something to send.
    streamed: HashSet<&'static str>,
    calls: IntCounterVec,
    seconds: HistogramVec,
}

impl EdgeLayer {
    pub(crate) fn new(
        verifier: Verifier,
        deadline: Duration,
        metrics: &Metrics,
    ) -> Result<Self, TelemetryError> {
        let calls = metrics.counter_vec(
            "rpc_calls_total",
            "Calls by method and gRPC status",
            &["method", "code"],
        )?;
        let seconds = metrics.histogram_vec(
            "rpc_duration_seconds",
            "Time to the response's head",
            &["method"],
            BUCKETS,
        )?;
        Ok(Self {
            shared: Arc::new(Shared {
                verifier,
                deadline,
                streamed: contracts::CLIENT_STREAMING_METHODS.iter().copied().collect(),
                calls,
                seconds,
            }),
        })
    }
}

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;

    fn layer(&self, inner: S) -> Edge<S> {
        Edge {
            inner,
            shared: Arc::clone(&self.shared),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Edge<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Service<Request<Body>> for Edge<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        let method = request.uri().path().to_owned();
        let caller = authenticate(&shared.verifier, request.headers());
        let span = tracing::debug_span!(
            "rpc",
            rpc.method = %method,
            request_id = caller.as_ref().map_or("", |c| &c.request_id),
        );
        TraceContext::extract_http(request.headers()).adopt(&span);
        let judged = judge(&method, caller.as_ref());
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        let started = Instant::now();
        let future = judged.map(|()| AssertUnwindSafe(self.inner.call(request)).catch_unwind());
        let work = async move {
            let response = match future {
                Err(refusal) => refusal.into_http(),
                Ok(future) => match shared.in_time(&method, future).await {
                    Some(Ok(Ok(response))) => blame(response),
                    Some(Ok(Err(error))) => return Err(error),
                    Some(Err(_)) => {
                        tracing::error!(rpc.method = %method, "handler panicked");
                        Status::internal("handler panicked").into_http()
                    }
                    None => Status::deadline_exceeded("the call took too long").into_http(),
                },
            };
            shared
                .seconds
                .with_label_values(&[&method])
                .observe(started.elapsed().as_secs_f64());
            shared
                .calls
                .with_label_values(&[method.as_str(), &code(response.headers())])
                .inc();
            Ok(response)
        };
        work.instrument(span).boxed()
    }
}

/// A message that cannot be decoded is the caller's fault; tonic calls it an internal error.
fn blame(response: Response<Body>) -> Response<Body> {
    let undecodable = response
        .headers()
        .get("grpc-message")
        .is_some_and(|message| message.as_bytes().starts_with(b"failed%20to%20decode%20Protobuf"));
    if undecodable && code(response.headers()) == "13" {
        let detail = "the message is not one of this method's requests";
        return ApiError::new(ErrorCode::ValidationFailed, detail)
            .to_status()
            .into_http();
    }
    response
}

/// Whether the method may be called by this caller, by its rule in the policy table.
fn judge(method: &str, caller: Option<&Caller>) -> Result<(), Status> {
    if OPEN_TO_ALL.iter().any(|open| method.starts_with(open)) {
        return Ok(());
    }
    let caller = caller.ok_or_else(unauthenticated)?;
    let rule =
        contracts::access::rule_of(method).ok_or_else(|| Status::unimplemented("there is no such method"))?;
    Ok(caller.principal.check(rule)?)
}

impl Shared {
    async fn in_time<T>(&self, method: &str, future: impl Future<Output = T>) -> Option<T> {
        if self.streamed.contains(method) {
            return Some(future.await);
        }
        tokio::time::timeout(self.deadline, future).await.ok()
    }
}

/// The gRPC status, where the head already tells it; a streaming answer tells it only in its trailers.
fn code(headers: &HeaderMap) -> Cow<'static, str> {
    headers
        .get("grpc-status")
        .and_then(|v| v.to_str().ok())
        .map_or(Cow::Borrowed("0"), |v| Cow::Owned(v.to_owned()))
}

fn authenticate(verifier: &Verifier, headers: &HeaderMap) -> Option<Caller> {
    let token = headers.get(PRINCIPAL_KEY)?.to_str().ok()?;
    let principal = verifier.verify(token)?;
    let request_id = headers
        .get(REQUEST_ID_KEY)
        .and_then(|v| v.to_str().ok())
        .filter(|id| id.len() <= MAX_REQUEST_ID)
        .unwrap_or_default();
    Some(Caller {
        principal,
        token: token.into(),
        request_id: request_id.into(),
    })
}
