//! Reading bodies: bounded in size and time, before and after decoding.

use std::io::Read as _;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use bytes::{Bytes, BytesMut};
use errors::{ApiError, ErrorCode};
use futures::StreamExt as _;

/// Bounds of one body.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest size, as sent and as decoded.
    pub max_bytes: usize,
    /// Time for all of it.
    pub timeout: Duration,
}

/// Reads a JSON body: checks type and encoding, decodes gzip.
///
/// # Errors
/// `unsupported_media_type`, `too_large`, `malformed_json` for a broken gzip stream, `invalid_parameter` when the body
/// does not arrive.
pub async fn json_body(
    request: &HttpRequest,
    payload: &mut Payload,
    limits: Limits,
) -> Result<Bytes, ApiError> {
    check_type(request)?;
    let gzip = is_gzip(request)?;
    let body = raw_body(request, payload, limits).await?;
    if gzip {
        gunzip(&body, limits.max_bytes)
    } else {
        Ok(body)
    }
}

/// Reads a body as it is.
///
/// # Errors
/// `too_large`; `invalid_parameter` when the body does not arrive whole and in time.
pub async fn raw_body(
    request: &HttpRequest,
    payload: &mut Payload,
    limits: Limits,
) -> Result<Bytes, ApiError> {
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > limits.max_bytes) {
        return Err(too_large(limits.max_bytes));
    }
    let mut reading = std::pin::pin!(collect(payload, announced, limits.max_bytes));
    // Most bodies have arrived with their head: no timer for them.
    let at_once = futures::poll!(&mut reading);
    if let std::task::Poll::Ready(done) = at_once {
        return done;
    }
    tokio::time::timeout(limits.timeout, reading)
        .await
        .unwrap_or_else(|_| Err(unreadable("the body did not arrive in time")))
}

async fn collect(
    payload: &mut Payload,
    announced: Option<usize>,
    max_bytes: usize,
) -> Result<Bytes, ApiError> {
    let Some(first) = next(payload).await? else {
        return Ok(Bytes::new());
    };
    if announced == Some(first.len()) && first.len() <= max_bytes {
        return Ok(first);
    }
    let mut body = BytesMut::with_capacity(announced.unwrap_or(first.len()).min(max_bytes));
    let mut chunk = Some(first);
    while let Some(bytes) = chunk {
        if body.len() + bytes.len() > max_bytes {
            return Err(too_large(max_bytes));
        }
        body.extend_from_slice(&bytes);
        chunk = next(payload).await?;
    }
    Ok(body.freeze())
}

async fn next(payload: &mut Payload) -> Result<Option<Bytes>, ApiError> {
    match payload.next().await {
        None => Ok(None),
        Some(Ok(bytes)) => Ok(Some(bytes)),
        Some(Err(_)) => Err(unreadable("the body ended early or is not well-formed")),
    }
}

fn check_type(request: &HttpRequest) -> Result<(), ApiError> {
    let refuse = |detail: &str| Err(ApiError::new(ErrorCode::UnsupportedMediaType, detail));
    let text = match only(request, &CONTENT_TYPE) {
        Ok(Some(text)) => text,
        Ok(None) => return refuse("send `Content-Type: application/json`"),
        Err(()) => return refuse("send one Content-Type header only"),
    };
    if text == "application/json" {
        return Ok(());
    }
    let mut parts = text.split(';').map(str::trim);
    if !parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
    {
        return refuse("send `Content-Type: application/json`");
    }
    for parameter in parts.filter(|p| !p.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim_matches('"');
        if name.eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
            return refuse("JSON is UTF-8; no other charset is supported");
        }
    }
    Ok(())
}

fn is_gzip(request: &HttpRequest) -> Result<bool, ApiError> {
    match only(request, &CONTENT_ENCODING) {
        Ok(None) => Ok(false),
        Ok(Some(text)) if text.trim().eq_ignore_ascii_case("identity") => Ok(false),
        Ok(Some(text)) if text.trim().eq_ignore_ascii_case("gzip") => Ok(true),
        _ => Err(ApiError::new(
            ErrorCode::UnsupportedMediaType,
            "the only supported Content-Encoding is gzip",
        )),
    }
}

/// The value of a header that may come once.
fn only<'r>(request: &'r HttpRequest, name: &HeaderName) -> Result<Option<&'r str>, ()> {
    let mut values = request.headers().get_all(name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

fn gunzip(packed: &[u8], max_bytes: usize) -> Result<Bytes, ApiError> {
    let broken = |_| ApiError::new(ErrorCode::MalformedJson, "the body is not a whole gzip stream");
    let mut decoder = flate2::bufread::GzDecoder::new(packed);
    let mut plain = Vec::new();
    // One byte more than allowed tells that there is more; a bomb is not unpacked any further.
    let cap = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    decoder
        .by_ref()
        .take(cap)
        .read_to_end(&mut plain)
        .map_err(broken)?;
    if plain.len() > max_bytes {
        return Err(too_large(max_bytes));
    }
    if decoder.into_inner().is_empty() {
        Ok(plain.into())
    } else {
        Err(ApiError::new(
            ErrorCode::MalformedJson,
            "the body has bytes after its gzip stream",
        ))
    }
}

fn too_large(max_bytes: usize) -> ApiError {
    ApiError::new(
        ErrorCode::TooLarge,
        format!("the body may have at most {max_bytes} bytes, also after decoding"),
    )
}

fn unreadable(detail: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidParameter, detail)
}
