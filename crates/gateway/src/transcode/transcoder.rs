//! One REST request from its route to its answer.

use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{ETAG, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use contracts::access::Permission;
use errors::{ApiError, ErrorCode};

use super::call::Call;
use super::prepare::{Frame, OnBehalf, call};
use super::routes::{Matched, Routes};
use super::shape::Shape;
use super::{Answer, batch, conditional};
use crate::access::Credential;
use crate::audit::Audit;
use crate::backends::Backends;
use crate::config::HttpSettings;
use crate::contract::Contract;
use crate::error::StartError;
use crate::home::Home;
use crate::http::{BodyLimits, Context, idempotency_key, json_body};
use crate::idempotency::{Idempotency, Outcome, Try};

/// Answers REST requests by the descriptors. Cheap to clone.
#[derive(Clone)]
pub struct Transcoder {
    routes: Routes,
    backends: Backends,
    idempotency: Idempotency,
    home: Home,
}

/// A request that was read whole and found good.
enum Prepared {
    One(Box<Call>, Box<Shape>),
    Many(Box<batch::Prepared>),
}

const REPLAY: HeaderName = HeaderName::from_static("idempotent-replay");

impl Transcoder {
    /// A transcoder of everything that is annotated.
    ///
    /// # Errors
    /// An annotation that is not supported.
    pub fn new(
        contract: &Contract,
        backends: &Backends,
        idempotency: Idempotency,
        home: Home,
    ) -> Result<Self, StartError> {
        Ok(Self {
            routes: Routes::new(contract)?,
            backends: backends.clone(),
            idempotency,
            home,
        })
    }

    /// The route of a request.
    ///
    /// # Errors
    /// The path cannot be decoded.
    pub fn find(&self, http_method: &str, path: &str) -> Result<Option<Matched>, ApiError> {
        self.routes.find(http_method, path)
    }

    /// The HTTP methods that a path answers to.
    #[must_use]
    pub fn methods(&self, path: &str) -> Vec<&'static str> {
        self.routes.methods(path)
    }

    /// All routes.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Answers a request.
    ///
    /// # Errors
    /// What is wrong with it, or what the service answered.
    pub async fn answer(
        &self,
        matched: Matched,
        request: &HttpRequest,
        payload: &mut Payload,
        caller: Arc<Credential>,
        context: &Context,
        settings: &HttpSettings,
    ) -> Result<HttpResponse, ApiError> {
        let route = Arc::clone(&matched.route);
        caller.check(route.rule)?;
        let body = if route.has_body {
            let max_bytes = if route.batch.is_some() || route.tells_of_each() {
                settings.max_body_bytes
            } else {
                settings.max_rest_body_bytes
            };
            let timeout = settings.body_timeout(u64::try_from(max_bytes).unwrap_or(0));
            Some(json_body(request, payload, BodyLimits { max_bytes, timeout }).await?)
        } else {
            no_body(request)?;
            None
        };
        let key = idempotency_key(request)?;
        if key.is_some() && route.rule.permission == Permission::Public {
            // Answers are kept per organization, and nobody has none.
            let message = "this route needs no credentials and keeps no answers";
            return Err(crate::http::invalid_header("Idempotency-Key", message));
        }
        let frame = Frame::read(matched, request.query_string())?;
        // What changes nothing needs no memory, and must not use up the key of the real request.
        let key = key.filter(|_| !(route.reads || frame.dry_run));
        // What is not kept touches no connection of the home runtime, and may be cut when the client goes away.
        let stays = route.reads && !Audit::keeps(route.grpc_path.as_str(), &caller.principal);
        let near = request.app_data::<Backends>().filter(|_| stays);
        let backends = near.unwrap_or(&self.backends);
        let prepared = self.prepare(frame, request, body.as_ref(), (&caller, backends), context)?;
        if stays {
            let answer = prepared.run(backends).await?;
            return finish(answer, request, route.http_method == "GET");
        }
        let Some(key) = key else {
            let backends = self.backends.clone();
            let run = self
                .home
                .run("rest-call", async move { prepared.run(&backends).await });
            let answer = run.await.map_err(|_| ApiError::internal())??;
            return finish(answer, request, route.http_method == "GET");
        };
        let tried = Try {
            org: caller.org,
            key,
            request_sha256: Try::digest(&[
                request.method().as_str().as_bytes(),
                request.uri().path().as_bytes(),
                request.query_string().as_bytes(),
                request
                    .headers()
                    .get("if-match")
                    .map(HeaderValue::as_bytes)
                    .unwrap_or_default(),
                body.as_deref().unwrap_or_default(),
            ]),
        };
        let (backends, idempotency) = (self.backends.clone(), self.idempotency.clone());
        let run = self.home.run("rest-write", async move {
            idempotency
                .once(&tried, async { prepared.run(&backends).await })
                .await
        });
        let outcome = run.await.map_err(|_| ApiError::internal())??;
        replayable(outcome, context)
    }

    fn prepare(
        &self,
        mut frame: Frame,
        request: &HttpRequest,
        body: Option<&Bytes>,
        (caller, backends): (&Credential, &Backends),
        context: &Context,
    ) -> Result<Prepared, ApiError> {
        let who = OnBehalf {
            principal: caller.principal.clone(),
            request_id: context.id().to_owned(),
            address: context.address.clone(),
        };
        let path = request.uri().path().to_owned();
        if let (Some(batch), Some(body)) = (frame.route.batch.clone(), body) {
            if request.headers().contains_key("if-match") {
                let message = "a batch has no version; give each item its `ifVersion`";
                return Err(crate::http::invalid_header("If-Match", message));
            }
            let prepared = batch::Prepared::read(frame, &batch, body, path, who)?;
            return Ok(Prepared::Many(Box::new(prepared)));
        }
        frame.fill(request, body.map(Bytes::as_ref))?;
        let (message, shape) = frame.shape(path);
        let call = call(backends, &shape.route, &message, &who)?;
        Ok(Prepared::One(Box::new(call), Box::new(shape)))
    }
}

/// A route without a body does not take one: what it says would be ignored.
fn no_body(request: &HttpRequest) -> Result<(), ApiError> {
    let headers = request.headers();
    let length = headers.get("content-length").map(HeaderValue::as_bytes);
    let none = matches!(length, None | Some(b"0")) && !headers.contains_key("transfer-encoding");
    if none {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::ValidationFailed,
        "this route takes no body",
    ))
}

impl Prepared {
    async fn run(self, backends: &Backends) -> Result<Answer, ApiError> {
        match self {
            Self::One(call, shape) => shape.answer(call.make(backends).await?),
            Self::Many(batch) => batch.run(backends).await,
        }
    }
}

/// An answer that is given for the first and only time.
fn finish(answer: Answer, request: &HttpRequest, reads: bool) -> Result<HttpResponse, ApiError> {
    if reads
        && let Answer::Done { etag: Some(etag), .. } = &answer
        && conditional::is_known(request, etag)
    {
        let mut response = HttpResponse::new(StatusCode::NOT_MODIFIED);
        if let Ok(etag) = HeaderValue::from_str(etag) {
            response.headers_mut().insert(ETAG, etag);
        }
        return Ok(response);
    }
    answer.into_http()
}

/// An answer that may be given again; the repeat says so, also when it is a refusal.
fn replayable(outcome: Outcome, context: &Context) -> Result<HttpResponse, ApiError> {
    let Outcome { answer, replayed } = outcome;
    if !replayed {
        return answer.into_http();
    }
    let mut response = answer
        .into_http()
        .unwrap_or_else(|error| crate::http::problem(&error, context));
    response
        .headers_mut()
        .insert(REPLAY, HeaderValue::from_static("true"));
    Ok(response)
}
