//! `GET /api/v1/events`: server-sent events, or one answer of a long poll.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use errors::ApiError;
use futures::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use super::open::{MOST, Streams};
use super::query::{Poll, Wanted};
use super::reader::{Heard, Piece, Reader};
use crate::access::Credential;

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// A long poll that has events waits so long for more of them.
const GATHER: Duration = Duration::from_millis(10);

impl Streams {
    /// `GET /api/v1/events`.
    ///
    /// # Errors
    /// `permission_denied`, `invalid_parameter`, `invalid_cursor`, `cursor_expired`, `unavailable`.
    pub async fn open(
        &self,
        request: &HttpRequest,
        caller: Arc<Credential>,
    ) -> Result<HttpResponse, ApiError> {
        let wanted = Wanted::of(request, &self.shared.catalogue)?;
        let interface = if wanted.poll.is_some() { "poll" } else { "sse" };
        let reader = self
            .reader(&caller, wanted.start, wanted.filter, interface)
            .await?;
        if let Some(poll) = wanted.poll {
            return answer(reader, poll, request.method() == Method::HEAD).await;
        }
        let mut response = HttpResponse::Ok();
        response.insert_header((CONTENT_TYPE, HeaderValue::from_static("text/event-stream")));
        response.insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")));
        response.insert_header((X_ACCEL_BUFFERING, HeaderValue::from_static("no")));
        if request.method() == Method::HEAD {
            return Ok(response.finish());
        }
        // Sent at once, so that the client knows that it is connected, and from where.
        let (cursor, retry) = (reader.cursor(), self.shared.retry_ms);
        let greeting = Bytes::from(format!(": connected\nretry: {retry}\nid: {cursor}\n\n"));
        let greeting = futures::stream::once(std::future::ready(greeting));
        let frames = futures::stream::unfold(reader, |reader| Box::pin(next(reader)));
        Ok(response.streaming(greeting.chain(frames).map(Ok::<Bytes, Infallible>)))
    }
}

async fn next(mut reader: Reader) -> Option<(Bytes, Reader)> {
    let bytes = match reader.next(MOST).await {
        Heard::Events(piece) => frames(&piece),
        Heard::Quiet => format!("id: {}\n: still here\n\n", reader.cursor()),
        // The client comes back with its last id, and learns the reason then.
        Heard::End(_) => return None,
    };
    Some((bytes.into(), reader))
}

fn frames(piece: &Piece) -> String {
    let mut text = String::new();
    for told in piece.events() {
        // Writing to a String cannot fail.
        let _ = write!(text, "id: {}\ndata: {}\n\n", told.cursor, told.event.json);
    }
    text
}

/// The answer of a long poll: events that are there, else the first that come within the wait.
async fn answer(mut reader: Reader, poll: Poll, head: bool) -> Result<HttpResponse, ApiError> {
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")));
    response.insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")));
    if head {
        return Ok(response.finish());
    }
    let (mut told, mut count) = (String::new(), 0);
    let mut until = Instant::now() + poll.wait.max(GATHER);
    while count < poll.limit {
        match timeout_at(until, reader.next(poll.limit - count)).await {
            Err(_) => break,
            Ok(Heard::Quiet) => {}
            Ok(Heard::End(_)) if count > 0 => break,
            Ok(Heard::End(ending)) => return Err(ending.error()),
            Ok(Heard::Events(piece)) => {
                for one in piece.events() {
                    told.push_str(if told.is_empty() { "" } else { "," });
                    told.push_str(&one.event.json);
                }
                count += piece.len();
                until = Instant::now() + GATHER;
            }
        }
    }
    let (cursor, more) = (reader.cursor(), count == poll.limit);
    let body = format!(r#"{{"data":[{told}],"nextCursor":"{cursor}","hasMore":{more}}}"#);
    Ok(response.body(body))
}
