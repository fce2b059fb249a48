//! An answer before it is HTTP, so that it can be stored and given again.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ETAG, HeaderName, HeaderValue, LOCATION};
use bytes::Bytes;
use errors::{ApiError, ErrorCode, FieldError};
use serde::{Deserialize, Serialize};

use crate::http::json;

/// What a client gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// A success.
    Done {
        /// HTTP status.
        status: u16,
        /// JSON; absent for 204.
        body: Option<String>,
        /// `ETag`.
        etag: Option<String>,
        /// `Location`.
        location: Option<String>,
        /// Whether nothing was changed.
        #[serde(default)]
        dry_run: bool,
    },
    /// A refusal that another try would get too.
    Refused {
        /// The code's text.
        code: String,
        /// For a person.
        detail: String,
        /// The places that are wrong.
        fields: Vec<FieldError>,
    },
}

impl Answer {
    /// The answer of a refusal; `None` when another try may do better.
    #[must_use]
    pub fn refusal(error: &ApiError) -> Option<Self> {
        let lasting = error.code.http_status() < 500 && !error.code.is_retryable();
        lasting.then(|| Self::Refused {
            code: error.code.as_str().to_owned(),
            detail: error.detail.clone(),
            fields: error.fields.clone(),
        })
    }

    /// The answer as HTTP.
    ///
    /// # Errors
    /// The refusal, if it is one.
    pub fn into_http(self) -> Result<HttpResponse, ApiError> {
        match self {
            Self::Done {
                status,
                body,
                etag,
                location,
                dry_run,
            } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
                let mut response = match body {
                    Some(body) => json(status, Bytes::from(body)),
                    None => HttpResponse::new(status),
                };
                set(&mut response, ETAG, etag);
                set(&mut response, LOCATION, location);
                if dry_run {
                    response
                        .headers_mut()
                        .insert(DRY_RUN, HeaderValue::from_static("true"));
                }
                Ok(response)
            }
            Self::Refused { code, detail, fields } => {
                let code = ErrorCode::parse(&code).unwrap_or(ErrorCode::Internal);
                Err(ApiError {
                    fields,
                    ..ApiError::new(code, detail)
                })
            }
        }
    }
}

const DRY_RUN: HeaderName = HeaderName::from_static("devsignal-dry-run");

fn set(response: &mut HttpResponse, name: HeaderName, value: Option<String>) {
    if let Some(value) = value.and_then(|v| HeaderValue::from_str(&v).ok()) {
        response.headers_mut().insert(name, value);
    }
}
