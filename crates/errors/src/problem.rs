//! The problem document of RFC 9457.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ApiError, FieldError};

/// Body of every error answer, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// A URI that names the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short title, constant for the kind.
    pub title: String,
    /// The HTTP status, repeated.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The stable code.
    pub code: String,
    /// The request's id, also in the `Request-Id` header and in the logs.
    pub request_id: String,
    /// Whether the same request may succeed later unchanged.
    pub retryable: bool,
    /// The places in the request that are wrong.
    #[serde(default)]
    pub errors: Vec<FieldError>,
    /// What else helps, by name (RFC 9457, extension members).
    #[serde(flatten)]
    pub extras: BTreeMap<String, String>,
}

impl Problem {
    /// Media type of the document.
    pub const CONTENT_TYPE: &'static str = "application/problem+json";

    /// The document for `error` in the answer to request `request_id`.
    #[must_use]
    pub fn new(error: &ApiError, request_id: &str) -> Self {
        let code = error.code;
        Self {
            kind: format!(
                "https://devsignal.dev/problems/{}",
                code.as_str().replace('_', "-")
            ),
            title: code.title().to_owned(),
            status: code.http_status(),
            detail: error.detail.clone(),
            code: code.as_str().to_owned(),
            request_id: request_id.to_owned(),
            retryable: code.is_retryable(),
            errors: error.fields.clone(),
            extras: error.extras.clone(),
        }
    }
}
