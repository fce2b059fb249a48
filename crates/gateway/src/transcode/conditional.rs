//! `ETag`, `If-None-Match`, `If-Match` (RFC 9110 §8.8.3, §13.1), over the `version` of a record.

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use errors::ApiError;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use serde_json::Value as Out;

use crate::http::invalid_header;

/// The request field that `If-Match` sets.
pub const IF_VERSION: &str = "if_version";

/// The tag of a record that has a version.
pub fn etag(record: &Out) -> Option<String> {
    record.get("version").and_then(Out::as_i64).map(tag)
}

/// The tag of a version.
pub fn tag(version: i64) -> String {
    format!("\"{version}\"")
}

/// Whether the client has this version already.
pub fn is_known(request: &HttpRequest, etag: &str) -> bool {
    request
        .headers()
        .get_all(IF_NONE_MATCH)
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// Hands `If-Match` to the service.
///
/// # Errors
/// `invalid_parameter`: not one strong tag of ours, or the records here have no versions.
pub fn apply_if_match(request: &HttpRequest, message: &mut DynamicMessage) -> Result<(), ApiError> {
    let Some(text) = header(request, &IF_MATCH)? else {
        return Ok(());
    };
    // Any version will do; whether there is a record at all, the service tells.
    if text.trim() == "*" {
        return Ok(());
    }
    let Some(field) = message.descriptor().get_field_by_name(IF_VERSION) else {
        return Err(invalid_header("If-Match", "these records have no versions"));
    };
    let version = text
        .trim()
        .strip_prefix('"')
        .and_then(|t| t.strip_suffix('"'))
        .filter(|t| t.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|t| t.parse::<i64>().ok())
        .ok_or_else(|| invalid_header("If-Match", "send the ETag of the record as it was read"))?;
    message.set_field(&field, Value::I64(version));
    Ok(())
}

fn header<'r>(request: &'r HttpRequest, name: &HeaderName) -> Result<Option<&'r str>, ApiError> {
    let mut values = request.headers().get_all(name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value
            .to_str()
            .map(Some)
            .map_err(|_| invalid_header("If-Match", "send the ETag of the record as it was read")),
        (Some(_), Some(_)) => Err(invalid_header("If-Match", "send the header once")),
    }
}
