//! A file as the body of a request: bounded in size and silence, handed on part by part, and never taken for whole when
//! it is not.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use bytes::Bytes;
use contracts::crm::v1 as crm;
use errors::{ApiError, ErrorCode};
use futures::StreamExt as _;
use http_body::Frame;
use tokio::sync::mpsc;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::util::MapRequest;

use crate::http::invalid_header;

/// Longest silence of a sender in the middle of a file.
const SILENCE: Duration = Duration::from_secs(30);
/// Bytes that are handed on at once.
const PART: usize = 256 << 10;

/// Whether all of a file was handed on. Dropping the call is not enough when it was not: its stream would end as that of
/// a whole file ends, and so does for the server one that was cancelled.
#[derive(Clone, Default)]
pub(super) struct Whole(Arc<AtomicBool>);

impl Whole {
    /// From here on the stream may end.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// A channel on which the stream of a call ends with an error unless the file is whole.
    pub(super) fn guard(
        &self,
        channel: Channel,
    ) -> MapRequest<Channel, impl FnMut(http::Request<Body>) -> http::Request<Body> + use<>> {
        let whole = self.clone();
        MapRequest::new(channel, move |request: http::Request<Body>| {
            let whole = whole.clone();
            request.map(|inner| Body::new(Guarded { inner, whole }))
        })
    }
}

struct Guarded {
    inner: Body,
    whole: Whole,
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        if frame.is_none() && !this.whole.0.load(Ordering::Acquire) {
            return Poll::Ready(Some(Err(Status::aborted("the file is not whole"))));
        }
        Poll::Ready(frame)
    }
}

/// Hands the body on, part by part, as crm takes it.
pub(super) async fn feed(
    payload: &mut Payload,
    head: crm::UploadImportRequest,
    parts: &mpsc::Sender<crm::UploadImportRequest>,
    max_bytes: u64,
) -> Result<(), ApiError> {
    let part = |content: Vec<u8>| crm::UploadImportRequest {
        content,
        ..crm::UploadImportRequest::default()
    };
    let mut sum = 0_u64;
    let mut buffer: Vec<u8> = Vec::new();
    // A receiver that is gone has answered already: its answer tells why.
    if parts.send(head).await.is_err() {
        return Ok(());
    }
    loop {
        let next = tokio::time::timeout(SILENCE, payload.next()).await;
        let broken = |detail: &str| ApiError::new(ErrorCode::InvalidParameter, detail);
        match next.map_err(|_| broken("the body did not arrive in time"))? {
            None => break,
            Some(Err(_)) => return Err(broken("the body ended early or is not well-formed")),
            Some(Ok(bytes)) => {
                sum += bytes.len() as u64;
                if sum > max_bytes {
                    return Err(too_large(max_bytes));
                }
                buffer.extend_from_slice(&bytes);
            }
        }
        if buffer.len() >= PART && parts.send(part(std::mem::take(&mut buffer))).await.is_err() {
            return Ok(());
        }
    }
    if !buffer.is_empty() {
        // As above.
        drop(parts.send(part(buffer)).await);
    }
    Ok(())
}

fn too_large(max_bytes: u64) -> ApiError {
    ApiError::new(
        ErrorCode::TooLarge,
        format!("a file has at most {max_bytes} bytes"),
    )
}

pub(super) fn check_upload(request: &HttpRequest, max_bytes: u64) -> Result<(), ApiError> {
    let text = |name| {
        request
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap_or("?"))
    };
    let kind = text(CONTENT_TYPE).map(|kind| kind.split(';').next().unwrap_or(kind).trim().to_lowercase());
    if !matches!(
        kind.as_deref(),
        Some("text/csv" | "application/octet-stream" | "text/plain" | "text/tab-separated-values")
    ) {
        let message = "send the file itself as the body, with `Content-Type: text/csv`";
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType, message));
    }
    if text(CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        let message = "a file is sent as it is, without Content-Encoding";
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType, message));
    }
    if request.headers().contains_key("idempotency-key") {
        let message = "an upload takes none: until it is committed it changes nothing";
        return Err(invalid_header("Idempotency-Key", message));
    }
    let announced = text(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max_bytes) {
        return Err(too_large(max_bytes));
    }
    Ok(())
}
