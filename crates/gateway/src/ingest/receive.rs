//! `POST /api/v1/signals` and `POST /api/v1/signals/batch`.

use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use coalesce::CallError;
use contracts::signals::v1::json_intake_result::Outcome;
use contracts::signals::v1::{IngestError, IngestSignalsResponse, IntakeRefusal, JsonIntake};
use errors::{ApiError, ErrorCode, FieldError};
use ids::Clock;
use lifecycle::Lifecycle;
use telemetry::Histogram;

use super::lanes::{self, Calls};
use super::verdicts;
use crate::access::{Credential, by_hand};
use crate::backends::Backends;
use crate::config::{HttpSettings, IngestSettings};
use crate::http::{BodyLimits, idempotency_key, json, json_body, no_parameters};

/// Takes signals in. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    calls: Calls,
}

impl Ingest {
    /// Starts the lanes to signal-ingest; `groups` is told how many requests each call carries.
    #[must_use]
    pub fn start(
        settings: &IngestSettings,
        backends: &Backends,
        clock: &Arc<dyn Clock>,
        groups: Histogram,
        lifecycle: &Lifecycle,
    ) -> Self {
        Self {
            calls: lanes::start(settings, backends, clock, groups, lifecycle),
        }
    }

    /// Answers one request, after signal-ingest has stored what it accepted.
    ///
    /// # Errors
    /// The request is refused as a whole, or (not in a batch) its one signal is.
    pub async fn receive(
        &self,
        request: &HttpRequest,
        payload: &mut Payload,
        caller: &Credential,
        batch: bool,
        settings: &HttpSettings,
    ) -> Result<HttpResponse, ApiError> {
        caller.check(&by_hand::ingest())?;
        no_parameters(request)?;
        let idempotency_key = idempotency_key(request)?;
        let max_bytes = settings.max_body_bytes;
        let timeout = settings.body_timeout(u64::try_from(max_bytes).unwrap_or(0));
        let body = json_body(request, payload, BodyLimits { max_bytes, timeout }).await?;
        let weight = body.len();
        let intake = JsonIntake {
            organization_id: caller.org_bytes.clone(),
            body,
            batch,
            idempotency_key,
        };
        let result = self.calls.call(intake, weight).await.map_err(refused)?;
        match result.outcome {
            Some(Outcome::Verdicts(verdicts)) => accepted(verdicts, batch),
            Some(Outcome::Refusal(refusal)) => Err(whole(refusal)),
            None => Err(ApiError::internal()),
        }
    }
}

fn accepted(mut verdicts: IngestSignalsResponse, batch: bool) -> Result<HttpResponse, ApiError> {
    if !batch && let Some(error) = verdicts.results.first_mut().and_then(|r| r.error.take()) {
        return Err(ApiError::fields(vec![field(error)]));
    }
    Ok(json(StatusCode::ACCEPTED, verdicts::write(&verdicts)))
}

fn whole(refusal: IntakeRefusal) -> ApiError {
    let code = ErrorCode::parse(&refusal.code).unwrap_or(ErrorCode::ValidationFailed);
    let mut error = ApiError::new(code, refusal.detail);
    error.fields = refusal.errors.into_iter().map(field).collect();
    error
}

fn field(error: IngestError) -> FieldError {
    FieldError::new(error.pointer, error.code, error.message)
}

fn refused(error: CallError<ApiError>) -> ApiError {
    match error {
        CallError::Overloaded => {
            ApiError::unavailable("too many signals are waiting; send them again in a moment")
        }
        CallError::Closed => ApiError::unavailable("the gateway is shutting down"),
        CallError::Aborted => ApiError::unavailable(
            "whether the signals were stored is not known; send them again with the same idempotency keys",
        ),
        CallError::WrongLength { .. } => ApiError::internal(),
        CallError::Bulk(error) => error,
    }
}
