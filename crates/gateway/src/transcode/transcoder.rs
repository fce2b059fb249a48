//! One REST request from its route to its answer.

use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{ETAG, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use errors::{ApiError, ErrorCode};
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};
use serde_json::Value as Out;

use super::call::Call;
use super::routes::{Matched, Route, Routes};
use super::sparse::Fields;
use super::{Answer, Json, conditional, message, query, to_json};
use crate::access::Credential;
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
struct Prepared {
    call: Call,
    shape: Shape,
}

/// How the response becomes the answer.
struct Shape {
    route: Arc<Route>,
    path: String,
    fields: Option<Fields>,
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
        let body = if matched.route.has_body {
            let max_bytes = settings.max_rest_body_bytes;
            let timeout = settings.body_timeout(u64::try_from(max_bytes).unwrap_or(0));
            Some(json_body(request, payload, BodyLimits { max_bytes, timeout }).await?)
        } else {
            None
        };
        let reads = matched.route.http_method == "GET";
        let key = if reads { None } else { idempotency_key(request)? };
        let prepared = self.prepare(matched, request, body.as_ref(), &caller, context)?;
        let Some(key) = key else {
            let backends = self.backends.clone();
            let run = self
                .home
                .run("rest-call", async move { prepared.run(&backends).await });
            let answer = run.await.map_err(|_| ApiError::internal())??;
            return finish(answer, request, reads);
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
        matched: Matched,
        request: &HttpRequest,
        body: Option<&Bytes>,
        caller: &Credential,
        context: &Context,
    ) -> Result<Prepared, ApiError> {
        let Matched { route, path_fields } = matched;
        let mut message = DynamicMessage::new(route.input.clone());
        let from_path: Vec<FieldDescriptor> = path_fields.iter().map(|(field, _)| field.clone()).collect();
        for (field, text) in path_fields {
            message.set_field(&field, Value::String(path_value(&field, text)?));
        }
        let sparse = query::fill(&mut message, request.query_string(), !route.has_body, &from_path)?;
        let fields = match (sparse, record_of(&route)) {
            (Some(text), Some(record)) => Some(Fields::parse(&text, &record)?),
            _ => None,
        };
        if let Some(body) = body {
            message::fill(&mut message, &Json::parse(body)?, &from_path)?;
        }
        conditional::apply_if_match(request, &mut message)?;
        let channel = self.backends.of_service(&route.service).cloned().ok_or_else(|| {
            ApiError::new(
                ErrorCode::Unimplemented,
                "this part is not available in this installation",
            )
        })?;
        let call = Call {
            channel,
            path: route.grpc_path.clone(),
            principal: caller.principal.clone(),
            request_id: context.id().to_owned(),
            message: message.encode_to_vec().into(),
            reads: route.http_method == "GET",
        };
        Ok(Prepared {
            call,
            shape: Shape {
                route,
                path: request.uri().path().to_owned(),
                fields,
            },
        })
    }
}

/// Ids in paths are canonical UUIDs; one id has one spelling towards the services.
fn path_value(field: &FieldDescriptor, text: String) -> Result<String, ApiError> {
    if !field.name().ends_with("_id") {
        return Ok(text);
    }
    let id: ids::SignalId = text.parse().map_err(|_| {
        let detail = format!(
            "`{}` in the path must be a UUID such as 0197e1c8-1f2a-7b3c-8d4e-5f6071829304",
            field.json_name()
        );
        ApiError::new(ErrorCode::InvalidId, detail)
    })?;
    Ok(id.to_string())
}

/// The message of one record of the answer: the record itself, or an item of `data`.
fn record_of(route: &Route) -> Option<prost_reflect::MessageDescriptor> {
    let field = route
        .record
        .clone()
        .or_else(|| route.output.get_field_by_name("data"))?;
    match field.kind() {
        Kind::Message(record) => Some(record),
        _ => None,
    }
}

impl Prepared {
    async fn run(self, backends: &Backends) -> Result<Answer, ApiError> {
        let bytes = self.call.make(backends).await?;
        self.shape.answer(bytes)
    }
}

impl Shape {
    fn answer(self, bytes: Bytes) -> Result<Answer, ApiError> {
        let response = DynamicMessage::decode(self.route.output.clone(), bytes).map_err(|error| {
            tracing::error!(%error, method = %self.route.grpc_path, "a service's answer cannot be read");
            ApiError::internal()
        })?;
        if self.route.http_method == "DELETE" {
            return Ok(Answer::Done {
                status: 204,
                body: None,
                etag: None,
                location: None,
            });
        }
        let mut json = match &self.route.record {
            Some(field) => match response.get_field(field).as_ref() {
                Value::Message(record) => to_json(record),
                _ => return Err(ApiError::internal()),
            },
            None => to_json(&response),
        };
        let etag = conditional::etag(&json);
        let id = json.get("id").and_then(Out::as_str).map(str::to_owned);
        if let Some(fields) = &self.fields {
            match json.get_mut("data") {
                Some(data) if self.route.record.is_none() => fields.apply(data),
                _ => fields.apply(&mut json),
            }
        }
        let location = id
            .filter(|_| self.route.creates)
            .map(|id| format!("{}/{id}", self.path));
        let status = if self.route.creates { 201 } else { 200 };
        Ok(Answer::Done {
            status,
            body: Some(json.to_string()),
            etag,
            location,
        })
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
