//! Webhooks from outside: raw bodies are handed to signal-ingest, which knows the secret of the source.
//!
//! Owns: the HTTP side of a delivery. Must not: read a body, or know a secret.

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use contracts::signals::v1::ReceiveGithubRequest;
use contracts::signals::v1::intake_service_client::IntakeServiceClient;
use errors::{ApiError, ErrorCode, FieldError};
use ids::SourceId;
use rpc::Target;

use crate::backends::Backends;
use crate::config::HttpSettings;
use crate::home::Home;
use crate::http::{BodyLimits, ByHand, Context, invalid_header, json, raw_body};
use crate::openapi::problems_of;

/// Above GitHub's largest delivery.
const MAX_MESSAGE: usize = 32 << 20;
/// Longer header values are not GitHub's.
const MAX_HEADER: usize = 256;

/// Receives webhooks. Cheap to clone.
#[derive(Clone)]
pub struct Receiver {
    client: IntakeServiceClient<Target>,
    backends: Backends,
    home: Home,
}

impl Receiver {
    /// A receiver that hands over to signal-ingest.
    #[must_use]
    pub fn new(backends: &Backends, home: Home) -> Self {
        let client = IntakeServiceClient::new(backends.intake()).max_encoding_message_size(MAX_MESSAGE);
        Self {
            client,
            backends: backends.clone(),
            home,
        }
    }

    /// `POST /hooks/github/{sourceId}`.
    ///
    /// # Errors
    /// `invalid_parameter` for a missing header, `not_found` for an unknown source, `invalid_signature`.
    pub async fn github(
        &self,
        request: &HttpRequest,
        payload: &mut Payload,
        source: &str,
        context: &Context,
        settings: &HttpSettings,
    ) -> Result<HttpResponse, ApiError> {
        // A path that names no source is as unknown as one that names a foreign source.
        let source: SourceId = source.parse().map_err(|_| ApiError::not_found("source"))?;
        let (event, delivery) = (
            header(request, "X-GitHub-Event")?,
            header(request, "X-GitHub-Delivery")?,
        );
        let signature = signature(request)?;
        let max_bytes = settings.max_hook_body_bytes;
        let announced = u64::try_from(max_bytes).unwrap_or(0);
        let limits = BodyLimits {
            max_bytes,
            timeout: settings.body_timeout(announced),
        };
        let body = raw_body(request, payload, limits).await?;
        let delivery = ReceiveGithubRequest {
            source_id: source.to_string(),
            event,
            delivery,
            signature,
            body,
        };
        let mut call = self.backends.system_request(delivery)?;
        let system = rpc::Principal::system("gateway");
        self.backends.sign(call.metadata_mut(), &system, context.id())?;
        let mut client = self.client.clone();
        let answered = self.home.run(
            "github-delivery",
            async move { client.receive_github(call).await },
        );
        let received = answered.await.map_err(|_| ApiError::internal())?;
        let received = received
            .map_err(|status| ApiError::from_status(&status))?
            .into_inner();
        let mut answer = serde_json::Map::new();
        answer.insert("status".to_owned(), received.status.into());
        if let Some(id) = received.signal_id {
            answer.insert("signalId".to_owned(), id.into());
        }
        Ok(json(
            StatusCode::ACCEPTED,
            serde_json::Value::Object(answer).to_string(),
        ))
    }
}

fn header(request: &HttpRequest, name: &str) -> Result<String, ApiError> {
    let mut values = request.headers().get_all(name);
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(invalid_header(name, "GitHub sends this header once"));
    };
    match value.to_str() {
        Ok(text) if !text.is_empty() && text.len() <= MAX_HEADER => Ok(text.to_owned()),
        _ => Err(invalid_header(name, "the value is not one of GitHub's")),
    }
}

/// The signature as sent; whatever is wrong with it has one answer.
fn signature(request: &HttpRequest) -> Result<String, ApiError> {
    const NAME: &str = "X-Hub-Signature-256";
    if request.headers().get(NAME).is_none() {
        let mut error = ApiError::new(
            ErrorCode::InvalidSignature,
            "the delivery is not signed; give GitHub the secret of the source",
        );
        error.fields = vec![FieldError::new(
            NAME,
            "required",
            "GitHub signs deliveries of webhooks with a secret",
        )];
        return Err(error);
    }
    header(request, NAME)
        .map_err(|_| ApiError::new(ErrorCode::InvalidSignature, "the signature does not match"))
}

/// The routes of this module.
#[must_use]
pub fn described() -> Vec<ByHand> {
    let header = |name: &str| serde_json::json!({"name": name, "in": "header", "required": true, "schema": {"type": "string"}});
    let mut operation = serde_json::json!({
        "operationId": "receiveGithub", "tags": ["Webhooks"],
        "summary": "Takes a delivery of GitHub's",
        "description": "For GitHub to call: give it `webhookPath` of a source of type `github`, and its secret.",
        "parameters": [
            {"name": "sourceId", "in": "path", "required": true, "schema": {"type": "string", "format": "uuid"}},
            header("X-GitHub-Event"), header("X-GitHub-Delivery"), header("X-Hub-Signature-256"),
        ],
        "requestBody": {"required": true, "content": {"application/json": {"schema": {"type": "object"}}}},
        "responses": {"202": {
            "description": "Taken, known already, or of a kind that is no signal.",
            "content": {"application/json": {"schema": {
                "type": "object",
                "properties": {
                    "status": {"type": "string", "enum": ["accepted", "duplicate", "ignored"]},
                    "signalId": {"type": "string"},
                },
                "required": ["status"],
            }}},
        }},
    });
    for (status, problem) in problems_of(&[400, 401, 404, 413, 415, 500, 503, 504]) {
        operation["responses"][status] = problem;
    }
    vec![ByHand {
        method: "POST",
        path: "/hooks/github/{sourceId}",
        public: true,
        operation: Some(operation),
    }]
}
