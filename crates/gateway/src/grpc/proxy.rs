//! One call from a client to its service, head by head; the bodies pass through.

use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use contracts::access::{Permission, Rule, rule_of};
use errors::{ApiError, ErrorCode};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full, Limited};
use ids::IdGen;
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::transport::server::TcpConnectInfo;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

use crate::access::{Authenticator, Credential};
use crate::audit::{Asked, Audit};
use crate::backends::{ADDRESS_KEY, Backends, api_error, api_error_of};
use crate::contract::Contract;
use crate::limits::{Class, Standing};

/// What of a client's head reaches a service. Everything else, a principal of its own above all, does not.
const FORWARDED: [&str; 8] = [
    "content-type",
    "te",
    "grpc-timeout",
    "grpc-encoding",
    "grpc-accept-encoding",
    "user-agent",
    "traceparent",
    "tracestate",
];

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// Largest write: the services' own limit, and gRPC's five bytes.
const MAX_WRITE: usize = (4 << 20) + 5;
/// Largest answer to a write.
const MAX_ANSWER: usize = 16 << 20;
const MAX_REQUEST_ID: usize = 128;

/// What the proxy needs.
pub struct ProxyParts {
    /// The services.
    pub backends: Backends,
    /// Keys.
    pub authenticator: Authenticator,
    /// New request ids.
    pub ids: Arc<dyn IdGen>,
    /// Methods that this process answers itself, by their paths. The caller's credential is an extension of the request.
    pub local: Vec<(&'static str, Local)>,
}

/// A method that this process answers itself.
pub type Local = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// A public method.
struct Method {
    rule: &'static Rule,
    channel: Channel,
    local: Option<Local>,
    class: Class,
}

struct Shared {
    parts: ProxyParts,
    methods: HashMap<String, Method>,
}

/// The proxy as a service. Cheap to clone.
#[derive(Clone)]
pub struct Proxy(Arc<Shared>);

impl Proxy {
    /// A proxy of all public services.
    #[must_use]
    pub fn new(contract: &Contract, parts: ProxyParts) -> Self {
        let mut methods = HashMap::new();
        for service in contract.services() {
            for method in service.methods() {
                let Some(channel) = parts.backends.of_method(&method) else {
                    continue;
                };
                let reads = contract
                    .rules(&method)
                    .iter()
                    .any(|rule| rule.has_field_by_name("get"));
                // What takes signals in by HTTP's ingest path, or as a stream, is ingest here too.
                let class = match method.name() {
                    "IngestSignals" | "StreamSignals" => Class::Ingest,
                    _ if reads || method.is_server_streaming() => Class::Read,
                    _ => Class::Write,
                };
                let path = format!("/{}/{}", service.full_name(), method.name());
                let Some(rule) = rule_of(&path) else { continue };
                let local = parts.local.iter().find(|(of, _)| *of == path);
                methods.insert(
                    path,
                    Method {
                        rule,
                        channel: channel.clone(),
                        local: local.map(|(_, service)| service.clone()),
                        class,
                    },
                );
            }
        }
        Self(Arc::new(Shared { parts, methods }))
    }
}

impl Service<Request<Body>> for Proxy {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        async move { Ok(shared.answer(request).await) }.boxed()
    }
}

impl Shared {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let id = request_id(request.headers(), &*self.parts.ids);
        let is_grpc = request
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|v| v.as_bytes().starts_with(b"application/grpc"));
        if !is_grpc {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return response;
        }
        let mut standing = None;
        let outcome = AssertUnwindSafe(self.forward(request, &id, &mut standing))
            .catch_unwind()
            .await;
        let mut response = match outcome {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => error.to_status().into_http(),
            Err(_) => {
                tracing::error!(request_id = id.to_str().unwrap_or_default(), "a call panicked");
                ApiError::internal().to_status().into_http()
            }
        };
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, id);
        if let Some(standing) = standing {
            rate_headers(headers, &standing);
        }
        response
    }

    async fn forward(
        &self,
        request: Request<Body>,
        id: &HeaderValue,
        standing: &mut Option<Standing>,
    ) -> Result<Response<Body>, ApiError> {
        let method = self
            .methods
            .get(request.uri().path())
            .ok_or_else(|| ApiError::new(ErrorCode::Unimplemented, "there is no such method"))?;
        let address = request
            .extensions()
            .get::<TcpConnectInfo>()
            .and_then(TcpConnectInfo::remote_addr)
            .map(|peer| peer.ip().to_string())
            .unwrap_or_default();
        let caller = self.admit(method, request.headers(), &address, standing).await?;
        if let Some(local) = &method.local {
            let mut request = request;
            request.extensions_mut().insert(caller);
            return match local.clone().oneshot(request).await {
                Ok(response) => Ok(response),
                Err(never) => match never {},
            };
        }
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let kept = Audit::keeps(&path, &caller.principal);
        let (body, message) = if kept {
            whole(body).await?
        } else {
            (body, Bytes::new())
        };
        let id_text = id.to_str().unwrap_or_default();
        let mut metadata = MetadataMap::new();
        self.parts
            .backends
            .sign(&mut metadata, &caller.principal, id_text)?;
        let forwarded = outgoing(&head, body, metadata, &address)?;
        let asked = Asked {
            method: &path,
            principal: &caller.principal,
            request_id: id_text,
            address: &address,
            message: &message,
        };
        let backends = &self.parts.backends;
        let Some(open) = Box::pin(backends.admit(asked)).await? else {
            return send(method.channel.clone(), forwarded).await;
        };
        let answered = match send(method.channel.clone(), forwarded).await {
            Ok(response) => kept_answer(response).await,
            Err(error) => Err(error),
        };
        match &answered {
            Ok((_, outcome)) => open.close(outcome.as_ref().map_err(|code| *code)).await,
            Err(error) => open.close(Err(error.code)).await,
        }
        answered.map(|(response, _)| response)
    }

    /// Who calls, within their limits and rights.
    async fn admit(
        &self,
        method: &Method,
        headers: &HeaderMap,
        address: &str,
        standing: &mut Option<Standing>,
    ) -> Result<Arc<Credential>, ApiError> {
        let caller = match method.rule.permission {
            Permission::Public => self.parts.authenticator.nobody(address),
            _ => self.authenticate(headers).await?,
        };
        let taken = caller.buckets.take(method.class);
        *standing = Some(taken);
        taken.check()?;
        caller.check(method.rule)?;
        Ok(caller)
    }

    async fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Credential>, ApiError> {
        let refuse = || {
            ApiError::new(
                ErrorCode::Unauthenticated,
                "send the API key as metadata `authorization: Bearer <key>`",
            )
        };
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(refuse());
        };
        let (scheme, token) = value
            .to_str()
            .ok()
            .and_then(|t| t.split_once(' '))
            .ok_or_else(refuse)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refuse());
        }
        self.parts.authenticator.bearer(token).await
    }
}

/// The one message of a call, and the body again.
async fn whole(body: Body) -> Result<(Body, Bytes), ApiError> {
    let limited = Limited::new(body, MAX_WRITE);
    let bytes = limited.collect().await.map_err(|_| {
        ApiError::new(
            ErrorCode::TooLarge,
            "the message is larger than 4 MiB or was cut off",
        )
    })?;
    let bytes = bytes.to_bytes();
    let message = message_of(&bytes);
    Ok((Body::new(Full::new(bytes)), message))
}

/// The answer to a write, and what of it is kept: its message, or the code of its failure.
async fn kept_answer(
    response: Response<Body>,
) -> Result<(Response<Body>, Result<Bytes, ErrorCode>), ApiError> {
    let (head, body) = response.into_parts();
    let lost = |_| ApiError::unavailable("the answer was cut off; whether it was done is not known");
    let collected = Limited::new(body, MAX_ANSWER).collect().await.map_err(lost)?;
    let status = Status::from_header_map(&head.headers)
        .or_else(|| collected.trailers().and_then(Status::from_header_map));
    let outcome = match status {
        Some(status) if status.code() != tonic::Code::Ok => Err(ApiError::from_status(&status).code),
        _ => Ok(()),
    };
    let trailers = collected.trailers().cloned();
    let bytes = collected.to_bytes();
    let outcome = outcome.map(|()| message_of(&bytes));
    let body = Full::new(bytes).with_trailers(async move { trailers.map(Ok) });
    Ok((Response::from_parts(head, Body::new(body)), outcome))
}

/// The message of a body. Five bytes of gRPC's own come before it; a compressed one is not read here.
fn message_of(bytes: &Bytes) -> Bytes {
    match bytes.first() {
        Some(0) if bytes.len() >= 5 => bytes.slice(5..),
        _ => Bytes::new(),
    }
}

/// The request as it goes on: with our headers, and of the caller's only those that pass.
fn outgoing(
    head: &http::request::Parts,
    body: Body,
    metadata: MetadataMap,
    address: &str,
) -> Result<Request<Body>, ApiError> {
    let mut request = Request::new(body);
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = head.uri.path().parse().map_err(|_| ApiError::internal())?;
    *request.headers_mut() = metadata.into_headers();
    if let Ok(value) = HeaderValue::from_str(address) {
        let name = HeaderName::from_static(ADDRESS_KEY);
        request.headers_mut().insert(name, value);
    }
    for name in FORWARDED {
        if let Some(value) = head.headers.get(name) {
            let name = HeaderName::from_static(name);
            request.headers_mut().insert(name, value.clone());
        }
    }
    Ok(request)
}

async fn send(mut channel: Channel, request: Request<Body>) -> Result<Response<Body>, ApiError> {
    let broken = |error: tonic::transport::Error| api_error(&Status::from_error(Box::new(error)));
    let path = request.uri().path().to_owned();
    let answered = match channel.ready().await {
        Ok(ready) => ready.call(request).await,
        Err(error) => Err(error),
    };
    let response = answered.map_err(broken)?;
    // A failure is in the head when there is no message: then its insides can be kept from the client.
    let Some(status) = Status::from_header_map(response.headers()) else {
        return Ok(response);
    };
    match status.code() {
        tonic::Code::Internal | tonic::Code::Unknown | tonic::Code::Unauthenticated => {
            Err(api_error_of(&path, &status))
        }
        _ => Ok(response),
    }
}

fn request_id(headers: &HeaderMap, ids: &dyn IdGen) -> HeaderValue {
    let sent = headers.get(REQUEST_ID).filter(|value| {
        let bytes = value.as_bytes();
        (1..=MAX_REQUEST_ID).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    });
    sent.cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&ids.next().to_string()).unwrap_or(HeaderValue::from_static("-"))
    })
}

fn rate_headers(headers: &mut HeaderMap, standing: &Standing) {
    let mut set = |name: &'static str, value: u64| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value))
    };
    set("ratelimit-limit", standing.limit.into());
    set("ratelimit-remaining", standing.remaining.into());
    set("ratelimit-reset", standing.reset_secs);
}
