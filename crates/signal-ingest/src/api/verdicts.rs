//! Verdicts on the wire.

use contracts::signals::v1::{
    IngestError, IngestResult, IngestSignalsResponse, IntakeRefusal, JsonIntakeResult, json_intake_result,
};
use errors::{ApiError, ErrorCode, FieldError};

use crate::intake::{ItemVerdict, Verdicts};

/// The answer to a batch.
pub(super) fn response(verdicts: Verdicts) -> IngestSignalsResponse {
    let mut answer = IngestSignalsResponse {
        batch_id: verdicts.batch.map(|id| id.to_string()),
        results: Vec::with_capacity(verdicts.items.len()),
        ..IngestSignalsResponse::default()
    };
    for (index, verdict) in verdicts.items.into_iter().enumerate() {
        let (count, status, id, error) = match verdict {
            ItemVerdict::Accepted(id) => (&mut answer.accepted, "accepted", Some(id), None),
            ItemVerdict::Duplicate(id) => (&mut answer.duplicates, "duplicate", Some(id), None),
            ItemVerdict::Rejected(faults) => {
                (&mut answer.rejected, "rejected", None, faults.into_iter().next())
            }
        };
        *count += 1;
        answer.results.push(IngestResult {
            index: i32::try_from(index).unwrap_or(i32::MAX),
            status: status.to_owned(),
            id: id.map(|id| id.to_string()),
            error: error.map(place),
        });
    }
    answer
}

/// The answer to one HTTP request. A single signal that was rejected is a refusal with every place that is wrong.
pub(super) fn http_result(outcome: Result<Verdicts, ApiError>, batch: bool) -> JsonIntakeResult {
    let outcome = match outcome {
        Ok(mut verdicts) if !batch => match verdicts.items.pop() {
            Some(ItemVerdict::Rejected(faults)) => Err(single_refusal(faults)),
            Some(verdict) => Ok(Verdicts {
                items: vec![verdict],
                ..verdicts
            }),
            None => Err(ApiError::internal()),
        },
        other => other,
    };
    let outcome = match outcome {
        Ok(verdicts) => json_intake_result::Outcome::Verdicts(response(verdicts)),
        Err(error) => json_intake_result::Outcome::Refusal(IntakeRefusal {
            code: error.code.as_str().to_owned(),
            detail: error.detail,
            errors: error.fields.into_iter().map(place).collect(),
        }),
    };
    JsonIntakeResult {
        outcome: Some(outcome),
    }
}

fn single_refusal(faults: Vec<FieldError>) -> ApiError {
    match faults.as_slice() {
        [only] if only.code == "too_large" => ApiError::new(ErrorCode::TooLarge, only.message.clone()),
        _ => ApiError::fields(faults),
    }
}

fn place(fault: FieldError) -> IngestError {
    IngestError {
        code: fault.code,
        pointer: fault.pointer,
        message: fault.message,
    }
}
