//! Request headers that several handlers read.

use actix_web::HttpRequest;
use errors::{ApiError, ErrorCode, FieldError};

const MAX_IDEMPOTENCY_KEY: usize = 255;

/// The `Idempotency-Key`, if one was sent.
///
/// # Errors
/// `invalid_parameter`: sent twice, empty, longer than 255, or not visible ASCII.
pub fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let mut values = request.headers().get_all("idempotency-key");
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let bytes = value.as_bytes();
    let good = values.next().is_none()
        && (1..=MAX_IDEMPOTENCY_KEY).contains(&bytes.len())
        && bytes.iter().all(u8::is_ascii_graphic);
    match value.to_str() {
        Ok(text) if good => Ok(Some(text.to_owned())),
        _ => Err(invalid_header(
            "Idempotency-Key",
            "it must be one header of 1 to 255 visible ASCII characters",
        )),
    }
}

/// A header cannot be read.
pub fn invalid_header(name: &str, message: &str) -> ApiError {
    let mut error = ApiError::new(ErrorCode::InvalidParameter, format!("{name}: {message}"));
    error.fields = vec![FieldError::new(name, "invalid_header", message)];
    error
}

/// A query parameter that the route does not know. `allowed` is for the person who reads the answer.
pub fn unknown_parameter(name: &str, allowed: &str) -> ApiError {
    let message = if allowed.is_empty() {
        "this route takes no parameters".to_owned()
    } else {
        format!("unknown parameter; this route takes {allowed}")
    };
    let mut error = ApiError::new(ErrorCode::InvalidParameter, format!("`{name}`: {message}"));
    error.fields = vec![FieldError::new(format!("?{name}"), "unknown_parameter", message)];
    error
}

/// Refuses any query string.
///
/// # Errors
/// `invalid_parameter` at the first parameter.
pub fn no_parameters(request: &HttpRequest) -> Result<(), ApiError> {
    let first = request.query_string().split('&').find(|part| !part.is_empty());
    match first {
        None => Ok(()),
        Some(part) => {
            let name: String = part.split('=').next().unwrap_or(part).chars().take(100).collect();
            Err(unknown_parameter(&name, ""))
        }
    }
}
