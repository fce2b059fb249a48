//! `DevSignal-Version`: the dated version of the API that a request is for.

use actix_web::HttpRequest;
use actix_web::http::header::HeaderName;
use errors::ApiError;

use super::invalid_header;

/// The header.
pub const HEADER: HeaderName = HeaderName::from_static("devsignal-version");

/// The versions, oldest first. Without the header a request is for the newest that there was when its key was made; there
/// has been one so far.
pub const VERSIONS: [&str; 1] = ["2026-11-01"];

/// What new keys are made for.
pub const NEWEST: &str = VERSIONS[VERSIONS.len() - 1];

/// The version of a stored key. One that is not ours any more is taken for the oldest that is.
#[must_use]
pub fn pinned(stored: Option<&str>) -> &'static str {
    let ours = VERSIONS.into_iter().find(|version| stored == Some(*version));
    ours.unwrap_or(VERSIONS[0])
}

/// The version that a request names.
///
/// # Errors
/// `invalid_parameter`: no version of ours.
pub fn version(request: &HttpRequest) -> Result<Option<&'static str>, ApiError> {
    let mut sent = request.headers().get_all(HEADER);
    match (sent.next(), sent.next()) {
        (None, _) => Ok(None),
        (Some(text), None) => VERSIONS
            .into_iter()
            .find(|version| text.as_bytes() == version.as_bytes())
            .map(Some)
            .ok_or_else(|| {
                let message = format!("there are the versions {}", VERSIONS.join(", "));
                invalid_header("DevSignal-Version", &message)
            }),
        (Some(_), Some(_)) => Err(invalid_header("DevSignal-Version", "send the header once")),
    }
}
