//! The error that crosses a service's edge, and its way through gRPC.

use std::collections::BTreeMap;

use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use crate::ErrorCode;

/// `ErrorInfo.domain` of every status we make.
const DOMAIN: &str = "devsignal.dev";

/// One place in the request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the body, or `?name` for a query parameter.
    pub pointer: String,
    /// What is wrong, in one stable word (`required`, `too_long`, `unknown_field`, …).
    pub code: String,
    /// What is wrong and what would be right, for a person.
    pub message: String,
}

impl FieldError {
    /// An error at `pointer`.
    pub fn new(pointer: impl Into<String>, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            code: code.into(),
            message: message.into(),
        }
    }
}

/// An error as the caller sees it. Holds nothing internal: the cause is logged where it is handled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", code.as_str())]
pub struct ApiError {
    /// The stable code.
    pub code: ErrorCode,
    /// What happened, for a person.
    pub detail: String,
    /// The places that are wrong, if the request is.
    pub fields: Vec<FieldError>,
    /// When a retry can help: after how many seconds.
    pub retry_after_secs: Option<u64>,
    /// What else helps the caller, by name: members of the problem document, metadata of `ErrorInfo`.
    pub extras: BTreeMap<String, String>,
}

/// Implemented by every service's error enum: names the code, so that one table decides the status.
pub trait ErrorDomain: std::error::Error {
    /// The error as the caller may see it.
    fn to_api(&self) -> ApiError;
}

impl ApiError {
    /// An error with a code and a text for the caller.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            fields: Vec::new(),
            retry_after_secs: None,
            extras: BTreeMap::new(),
        }
    }

    /// A value at `pointer` is not allowed.
    pub fn invalid(pointer: impl Into<String>, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError::new(pointer, code, message)])
    }

    /// Several values are not allowed.
    #[must_use]
    pub fn fields(fields: Vec<FieldError>) -> Self {
        let detail = fields
            .first()
            .map_or_else(|| "the request is not valid".to_owned(), |f| f.message.clone());
        Self {
            code: ErrorCode::ValidationFailed,
            detail,
            fields,
            retry_after_secs: None,
            extras: BTreeMap::new(),
        }
    }

    /// There is no such `what` for this organization.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(ErrorCode::NotFound, format!("there is no such {what}"))
    }

    /// Our failure; the caller learns nothing of the cause.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            ErrorCode::Internal,
            "an internal error occurred; the request id finds it in the logs",
        )
    }

    /// Not now; nothing was changed.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self {
            retry_after_secs: Some(1),
            ..Self::new(ErrorCode::Unavailable, detail)
        }
    }

    /// The same error with a hint when to try again.
    #[must_use]
    pub fn retry_after(mut self, secs: u64) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }

    /// The same error with something that helps the caller.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.extras.insert(name.to_owned(), value.into());
        self
    }

    /// As a gRPC status with `ErrorInfo`, `BadRequest` and `RetryInfo` details (AIP-193).
    #[must_use]
    pub fn to_status(&self) -> Status {
        let mut details = ErrorDetails::new();
        let extras: std::collections::HashMap<_, _> = self.extras.clone().into_iter().collect();
        details.set_error_info(self.code.as_str(), DOMAIN, extras);
        for field in &self.fields {
            // The field's own code travels before the text, so that it survives the round trip.
            details.add_bad_request_violation(
                field.pointer.clone(),
                format!("{}: {}", field.code, field.message),
            );
        }
        if let Some(secs) = self.retry_after_secs {
            details.set_retry_info(Some(std::time::Duration::from_secs(secs)));
        }
        Status::with_error_details(self.code.grpc_code(), self.detail.clone(), details)
    }

    /// From a gRPC status of one of our services; a foreign status becomes the nearest code.
    #[must_use]
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let code = details
            .error_info()
            .and_then(|info| ErrorCode::parse(&info.reason))
            .unwrap_or_else(|| nearest(status.code()));
        if code == ErrorCode::Internal {
            return Self::internal();
        }
        let fields = details
            .bad_request()
            .map(|bad| {
                bad.field_violations
                    .iter()
                    .map(|v| {
                        let (code, message) = v
                            .description
                            .split_once(": ")
                            .unwrap_or(("invalid", &v.description));
                        FieldError::new(&v.field, code, message)
                    })
                    .collect()
            })
            .unwrap_or_default();
        let extras = details
            .error_info()
            .map(|info| info.metadata.clone().into_iter().collect());
        let extras = extras.unwrap_or_default();
        let retry = details
            .retry_info()
            .and_then(|r| r.retry_delay)
            .map(|d| d.as_secs().max(1));
        let detail = if status.message().is_empty() {
            code.title().to_owned()
        } else {
            status.message().to_owned()
        };
        let retry_after_secs = retry.or_else(|| (code == ErrorCode::Unavailable).then_some(1));
        Self {
            code,
            detail,
            fields,
            retry_after_secs,
            extras,
        }
    }
}

fn nearest(code: tonic::Code) -> ErrorCode {
    match code {
        tonic::Code::InvalidArgument | tonic::Code::OutOfRange => ErrorCode::ValidationFailed,
        tonic::Code::NotFound => ErrorCode::NotFound,
        tonic::Code::AlreadyExists | tonic::Code::Aborted => ErrorCode::Conflict,
        tonic::Code::PermissionDenied => ErrorCode::PermissionDenied,
        tonic::Code::Unauthenticated => ErrorCode::Unauthenticated,
        tonic::Code::ResourceExhausted => ErrorCode::RateLimited,
        tonic::Code::FailedPrecondition => ErrorCode::PreconditionFailed,
        tonic::Code::Unimplemented => ErrorCode::Unimplemented,
        tonic::Code::Unavailable | tonic::Code::Cancelled => ErrorCode::Unavailable,
        tonic::Code::DeadlineExceeded => ErrorCode::DeadlineExceeded,
        _ => ErrorCode::Internal,
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        error.to_status()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_way_through_grpc() {
        let error = ApiError::invalid("/signals/3/timestamp", "in_future", "at most 5 minutes ahead");
        assert_eq!(ApiError::from_status(&error.to_status()), error);
        let busy = ApiError::unavailable("later");
        assert_eq!(ApiError::from_status(&busy.to_status()), busy);
        let expired = ApiError::new(ErrorCode::CursorExpired, "too old").with("earliestCursor", "x");
        assert_eq!(ApiError::from_status(&expired.to_status()), expired);
    }

    #[test]
    fn an_internal_error_tells_nothing() {
        let status = Status::internal("password=hunter2");
        assert!(!ApiError::from_status(&status).detail.contains("hunter2"));
    }
}
