//! `POST /graphql`, and what HTTP and WebSocket share.

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use async_graphql::dynamic::Schema;
use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response, Variables};
use errors::{ApiError, ErrorCode};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde::Deserialize;
use serde_json::json as doc;

use super::errors::{finish, refusal};
use super::limits::{self, Weighed};
use super::loader::{Batched, Batches, Loader};
use super::schema::{Ask, Built};
use crate::access::{Authenticator, Credential};
use crate::backends::Backends;
use crate::config::{GraphqlSettings, HttpSettings};
use crate::home::Home;
use crate::http::{BodyLimits, ByHand, Context, json, json_body, no_parameters};
use crate::limits::{Class, Standing};
use crate::openapi::problems_of;
use crate::stream::Streams;
use crate::transcode::OnBehalf;

/// GraphQL. Cheap to clone.
#[derive(Clone)]
pub struct Graphql {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    schema: Schema,
    methods: Arc<[Batched]>,
    backends: Backends,
    pub(super) streams: Streams,
    pub(super) authenticator: Authenticator,
    pub(super) home: Home,
    pub(super) settings: GraphqlSettings,
}

/// A request by <https://graphql.github.io/graphql-over-http/>.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    query: String,
    operation_name: Option<String>,
    #[serde(default)]
    variables: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default)]
    extensions: Option<serde_json::Map<String, serde_json::Value>>,
}

/// A request that may run.
pub(super) struct Checked {
    /// The request, with its parsed query.
    pub request: Request,
    /// What it is.
    pub weighed: Weighed,
}

impl Graphql {
    /// GraphQL over this schema.
    #[must_use]
    pub fn new(
        built: Built,
        (backends, streams, authenticator): (&Backends, &Streams, &Authenticator),
        home: Home,
        settings: &GraphqlSettings,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                schema: built.schema,
                methods: built.methods,
                backends: backends.clone(),
                streams: streams.clone(),
                authenticator: authenticator.clone(),
                home,
                settings: settings.clone(),
            }),
        }
    }

    /// Answers `POST /graphql`.
    ///
    /// # Errors
    /// What is wrong with the request as HTTP; what is wrong with the query is in the answer.
    pub async fn answer(
        &self,
        request: &HttpRequest,
        payload: &mut Payload,
        caller: Arc<Credential>,
        context: &Context,
        settings: &HttpSettings,
    ) -> Result<HttpResponse, ApiError> {
        no_parameters(request)?;
        let max_bytes = settings.max_rest_body_bytes;
        let timeout = settings.body_timeout(u64::try_from(max_bytes).unwrap_or(0));
        let body = json_body(request, payload, BodyLimits { max_bytes, timeout }).await?;
        let response = match self.check(read(&body)?) {
            Err(error) => refusal(&error, context.id()),
            Ok(checked) if checked.weighed.kind == OperationType::Subscription => refusal(
                &ApiError::invalid("/query", "unsupported", "subscriptions go by WebSocket"),
                context.id(),
            ),
            Ok(checked) => {
                // The first request was counted when the caller was.
                context
                    .standing
                    .set(charge(&caller, checked.weighed, true)?.or(context.standing.get()));
                self.run(
                    checked,
                    caller,
                    (context.id().to_owned(), context.address.clone()),
                )
                .await?
            }
        };
        let body = serde_json::to_vec(&response).map_err(|_| ApiError::internal())?;
        Ok(json(StatusCode::OK, body))
    }

    /// Checks a request against the limits.
    ///
    /// # Errors
    /// `validation_failed`, `too_large`.
    pub(super) fn check(&self, mut request: Request) -> Result<Checked, ApiError> {
        let settings = &self.shared.settings;
        limits::check_text(&request.query, settings)?;
        let (operation, variables) = (request.operation_name.clone(), request.variables.clone());
        let document = request.parsed_query().map_err(|error| {
            let at = error
                .locations
                .first()
                .map(|p| format!("line {}, column {}: ", p.line, p.column));
            let message = format!("{}{}", at.unwrap_or_default(), error.message);
            ApiError::invalid("/query", "not_graphql", message)
        })?;
        let weighed = limits::weigh(document, operation.as_deref(), &variables, settings)?;
        Ok(Checked { request, weighed })
    }

    async fn run(
        &self,
        checked: Checked,
        caller: Arc<Credential>,
        (request_id, address): (String, String),
    ) -> Result<Response, ApiError> {
        let (schema, ask, batches) = self.ask(caller, &request_id, address);
        let loader = ask.loader.clone();
        let patience = Duration::from_millis(self.shared.settings.timeout_ms);
        let request = checked.request.data(ask);
        let run = self.shared.home.run("graphql", async move {
            let execution = futures::stream::once(async move { schema.execute(request).await }).boxed();
            let mut driven = batches.drive(loader, execution);
            match tokio::time::timeout(patience, driven.next()).await {
                Ok(Some(response)) => finish(response, &request_id),
                Ok(None) => refusal(&ApiError::internal(), &request_id),
                Err(_) => {
                    let error = ApiError::new(ErrorCode::DeadlineExceeded, "the query took too long");
                    refusal(&error, &request_id)
                }
            }
        });
        run.await.map_err(|_| ApiError::internal())
    }

    /// The answers of an operation over a WebSocket.
    pub(super) fn stream(
        &self,
        checked: Checked,
        caller: Arc<Credential>,
        (request_id, address): (String, String),
    ) -> BoxStream<'static, Response> {
        if checked.weighed.kind == OperationType::Subscription {
            let (schema, ask, batches) = self.ask(caller, &request_id, address);
            let loader = ask.loader.clone();
            let answers = schema.execute_stream(checked.request.data(ask));
            let driven = batches.drive(loader, answers);
            return driven.map(move |response| finish(response, &request_id)).boxed();
        }
        let this = self.clone();
        let once = async move {
            let id = request_id.clone();
            this.run(checked, caller, (request_id, address))
                .await
                .unwrap_or_else(|error| refusal(&error, &id))
        };
        futures::stream::once(once).boxed()
    }

    fn ask(&self, caller: Arc<Credential>, request_id: &str, address: String) -> (Schema, Ask, Arc<Batches>) {
        let shared = &self.shared;
        let who = OnBehalf {
            principal: caller.principal.clone(),
            request_id: request_id.to_owned(),
            address,
        };
        let batches = Batches {
            methods: Arc::clone(&shared.methods),
            backends: shared.backends.clone(),
            who: who.clone(),
        };
        let ask = Ask {
            backends: shared.backends.clone(),
            who,
            caller,
            streams: shared.streams.clone(),
            loader: Loader::default(),
        };
        (shared.schema.clone(), ask, Arc::new(batches))
    }
}

/// Takes an operation from its caller's buckets: every root field counts as a request.
///
/// # Errors
/// `rate_limited`.
pub(super) fn charge(
    caller: &Credential,
    weighed: Weighed,
    counted_once: bool,
) -> Result<Option<Standing>, ApiError> {
    let (class, done) = match weighed.kind {
        OperationType::Mutation => (Class::Write, 0),
        _ => (Class::Read, u32::from(counted_once)),
    };
    let mut last = None;
    for _ in done..weighed.roots {
        let standing = caller.buckets.take(class);
        standing.check()?;
        last = Some(standing);
    }
    Ok(last)
}

fn read(body: &[u8]) -> Result<Request, ApiError> {
    let read: Body = serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            let what =
                "expected an object of query, operationName, variables, extensions; batches are not taken";
            ApiError::invalid("", "wrong_type", what)
        }
        _ => ApiError::new(ErrorCode::MalformedJson, "the body is not JSON"),
    })?;
    if read.extensions.is_some_and(|e| e.contains_key("persistedQuery")) {
        let message = "persisted queries are not supported; send the query";
        return Err(ApiError::invalid(
            "/extensions/persistedQuery",
            "unsupported",
            message,
        ));
    }
    let mut request = Request::new(read.query);
    request.operation_name = read.operation_name;
    let variables = serde_json::Value::Object(read.variables.unwrap_or_default());
    Ok(request.variables(Variables::from_json(variables)))
}

/// The routes of this module.
#[must_use]
pub fn described() -> Vec<ByHand> {
    let mut post = doc!({
        "operationId": "graphql", "tags": ["GraphQL"], "summary": "Runs a GraphQL query or mutation",
        "description": "The schema is `docs/schema.graphql`; subscriptions go by WebSocket (`graphql-transport-ws`) at the same path.",
        "parameters": [{"$ref": "#/components/parameters/Version"}],
        "requestBody": {"required": true, "content": {"application/json": {"schema": {
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "The document.", "examples": ["{ accounts(limit: 3) { data { id name score } } }"]},
                "operationName": {"type": ["string", "null"], "description": "Which operation of the document."},
                "variables": {"type": ["object", "null"], "description": "Values of its variables."},
                "extensions": {"type": ["object", "null"], "description": "Not used."},
            },
            "required": ["query"],
            "additionalProperties": false,
        }}}},
        "responses": {"200": {
            "description": "Data and errors; an error's `extensions.code` is the code of problems.",
            "content": {"application/json": {"schema": {
                "type": "object",
                "properties": {"data": {}, "errors": {"type": "array", "items": {"type": "object"}}, "extensions": {"type": "object"}},
            }}},
        }},
    });
    for (status, problem) in problems_of(&[400, 401, 413, 415, 429, 500, 503]) {
        post["responses"][status] = problem;
    }
    let route = |method, public, operation| ByHand {
        method,
        path: "/graphql",
        public,
        operation,
    };
    let page = doc!({
        "operationId": "graphqlExplorer", "tags": ["GraphQL"], "summary": "A page to try GraphQL on; with `Upgrade: websocket`, subscriptions",
        "responses": {
            "200": {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}},
            "304": {"description": "The client has it already."},
        },
    });
    vec![route("POST", false, Some(post)), route("GET", true, Some(page))]
}
