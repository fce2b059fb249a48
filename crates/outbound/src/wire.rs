//! One HTTP/1.1 connection: a request out, a bounded answer in.
//!
//! Owns the driving of hyper's connection inside the caller's own future: no task is spawned, so a
//! caller that goes away takes the socket with it. It must not choose where to connect.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use crate::client::Progress;
use crate::connect;
use crate::failure::{Failure, Phase};
use crate::meter::{Allowance, Metered};

type Body = Full<Bytes>;
type Driver = http1::Connection<TokioIo<Metered>, Body>;

/// Pieces that a body is read in. Each costs some work however small it is, and an honest server sends some dozens.
const MAX_FRAMES: usize = 4_096;

/// Bounds on what an answer may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) headers: usize,
    pub(crate) head_bytes: usize,
    pub(crate) body_bytes: usize,
}

impl Bounds {
    /// All that is read before a head is there: a head, and what may come with it into the same buffer.
    fn until_head(self) -> usize {
        self.head_bytes.saturating_mul(2).saturating_add(32 * 1024)
    }

    /// All that is read after it: a body, in chunks perhaps.
    fn after_head(self) -> usize {
        self.body_bytes.saturating_mul(2).saturating_add(32 * 1024)
    }
}

/// A connection, in use or idle.
pub(crate) struct Wire {
    sender: http1::SendRequest<Body>,
    driver: Pin<Box<Driver>>,
    allowance: Allowance,
    /// hyper's connection came to its end and must not be polled again.
    ended: bool,
    pub(crate) connected_at: Instant,
}

/// What came back, and the connection if it can serve another request.
pub(crate) struct Exchange {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) truncated: bool,
    pub(crate) reusable: Option<Wire>,
}

/// Why an exchange did not happen.
pub(crate) enum Broken {
    /// Nothing of the request was written: it can go over another connection.
    Unsent(Box<http::Request<Body>>),
    Failed(Failure),
}

impl Wire {
    pub(crate) async fn new(stream: Box<dyn connect::Bytes>, bounds: Bounds) -> Result<Self, Failure> {
        let allowance = Allowance::default();
        allowance.set(bounds.until_head());
        let (sender, driver) = http1::Builder::new()
            .max_headers(bounds.headers)
            .max_header_size(bounds.head_bytes)
            // The read buffer holds a whole head.
            .max_buf_size(bounds.head_bytes.max(16 * 1024))
            .handshake(TokioIo::new(Metered::new(stream, allowance.clone())))
            .await
            .map_err(|error| failure_of(&error))?;
        Ok(Self {
            sender,
            driver: Box::pin(driver),
            allowance,
            ended: false,
            connected_at: Instant::now(),
        })
    }

    /// Whether an idle connection is still open and silent. Looks once, without waiting.
    pub(crate) async fn is_usable(&mut self) -> bool {
        poll_fn(|cx| {
            if !self.ended && self.driver.as_mut().poll(cx).is_ready() {
                self.ended = true;
            }
            Poll::Ready(!self.ended && matches!(self.sender.poll_ready(cx), Poll::Ready(Ok(()))))
        })
        .await
    }

    /// Sends the request and reads the answer, as much of it as the bounds let in.
    pub(crate) async fn exchange(
        mut self,
        request: http::Request<Body>,
        bounds: Bounds,
        progress: &Progress,
    ) -> Result<Exchange, Broken> {
        progress.enter(Phase::Head);
        self.allowance.set(bounds.until_head());
        let answering = self.sender.try_send_request(request);
        let answer = drive(&mut self.driver, &mut self.ended, answering).await;
        let (head, mut incoming) = match answer {
            Ok(answer) => answer.into_parts(),
            Err(mut error) => {
                return Err(match error.take_message() {
                    Some(request) => Broken::Unsent(Box::new(request)),
                    None if self.allowance.is_used_up() => Broken::Failed(Failure::HeadTooLarge),
                    None => Broken::Failed(failure_of(error.error())),
                });
            }
        };
        progress.enter(Phase::Body);
        self.allowance.set(bounds.after_head());
        let (body, truncated) = self
            .body(&mut incoming, bounds.body_bytes)
            .await
            .map_err(Broken::Failed)?;
        // An answer that is not read to its end, or that was an upgrade, leaves a connection that nobody can use.
        let whole = !truncated && head.status != StatusCode::SWITCHING_PROTOCOLS;
        let reusable = if whole && self.is_usable().await {
            Some(self)
        } else {
            None
        };
        Ok(Exchange {
            status: head.status,
            headers: head.headers,
            body,
            truncated,
            reusable,
        })
    }

    async fn body(&mut self, incoming: &mut Incoming, limit: usize) -> Result<(Bytes, bool), Failure> {
        let mut body = BytesMut::new();
        for _ in 0..MAX_FRAMES {
            let frame = drive(&mut self.driver, &mut self.ended, incoming.frame()).await;
            match frame {
                None => return Ok((body.freeze(), false)),
                Some(Err(_)) if self.allowance.is_used_up() => return Ok((body.freeze(), true)),
                Some(Err(error)) => return Err(failure_of(&error)),
                Some(Ok(frame)) => {
                    let Some(data) = frame.data_ref() else { continue };
                    let room = limit - body.len();
                    body.extend_from_slice(&data[..data.len().min(room)]);
                    if data.len() > room {
                        return Ok((body.freeze(), true));
                    }
                }
            }
        }
        Ok((body.freeze(), true))
    }
}

/// Awaits what the connection is to bring, while turning the connection.
async fn drive<T>(driver: &mut Pin<Box<Driver>>, ended: &mut bool, awaited: impl Future<Output = T>) -> T {
    let mut awaited = pin!(awaited);
    poll_fn(|cx| {
        if let Poll::Ready(output) = awaited.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        if !*ended && driver.as_mut().poll(cx).is_ready() {
            // Its error, if any, reaches the awaited future too.
            *ended = true;
        }
        awaited.as_mut().poll(cx)
    })
    .await
}

fn failure_of(error: &hyper::Error) -> Failure {
    if error.is_parse_too_large() {
        Failure::HeadTooLarge
    } else if error.is_parse() {
        Failure::Malformed
    } else {
        Failure::Closed
    }
}
