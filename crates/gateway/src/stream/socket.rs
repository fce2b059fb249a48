//! `GET /api/v1/events/ws`: events by WebSocket, no faster than the client acknowledges.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::UPGRADE;
use actix_web::{FromRequest as _, HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, Session};
use errors::{ApiError, ErrorCode, Problem};
use futures::StreamExt as _;
use ids::OrgId;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout};

use super::cursor::Place;
use super::frames::{self, Ack, FromClient, Subscribe};
use super::open::{Start, Streams};
use super::reader::{Heard, Piece, Reader};
use crate::access::Credential;
use crate::events::{Filter, Places};
use crate::http::Context;
use crate::limits::Class;

/// Largest message of a client.
const MAX_MESSAGE: usize = 64 * 1024;
/// Time for `subscribe`.
const BEGIN_WITHIN: Duration = Duration::from_secs(10);

type Messages = Pin<Box<AggregatedMessageStream>>;

/// Why a connection is closed: the problem, if the client is told one, and the code.
enum Closed {
    /// The client went away.
    Gone,
    /// For this reason.
    With(u16, ApiError),
}

impl From<ApiError> for Closed {
    fn from(error: ApiError) -> Self {
        Self::With(frames::close_code(&error), error)
    }
}

/// What is sent and not yet acknowledged.
struct Window {
    org: OrgId,
    size: u32,
    used: u32,
    sent: VecDeque<(Place, u32)>,
}

impl Window {
    fn room(&self) -> usize {
        usize::try_from(self.size.saturating_sub(self.used)).unwrap_or(0)
    }

    fn sent(&mut self, place: Place, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.used = self.used.saturating_add(count);
        self.sent.push_back((place, count));
    }

    /// Gives back the room of what came up to `place`.
    fn acknowledged(&mut self, place: &Place) {
        while let Some((sent, count)) = self.sent.front() {
            if sent.is_after(place) {
                break;
            }
            self.used -= count;
            self.sent.pop_front();
        }
    }
}

/// One connection.
struct Connection {
    streams: Streams,
    session: Session,
    messages: Messages,
    caller: Option<Arc<Credential>>,
    request_id: String,
}

impl Streams {
    /// Opens a connection. `caller` is who the handshake named, if anybody.
    ///
    /// # Errors
    /// The request is no handshake.
    pub async fn socket(
        &self,
        request: &HttpRequest,
        payload: &mut Payload,
        caller: Option<Arc<Credential>>,
        context: &Context,
    ) -> Result<HttpResponse, ApiError> {
        crate::http::no_parameters(request)?;
        let refuse = || ApiError::new(ErrorCode::InvalidParameter, "this path speaks WebSocket only");
        if !request.headers().contains_key(UPGRADE) {
            return Err(refuse());
        }
        let body = web::Payload::from_request(request, payload)
            .await
            .map_err(|_| ApiError::internal())?;
        let (response, session, messages) = actix_ws::handle(request, body).map_err(|_| refuse())?;
        let messages = messages.max_frame_size(MAX_MESSAGE).aggregate_continuations();
        let connection = Connection {
            streams: self.clone(),
            session,
            messages: Box::pin(messages.max_continuation_size(MAX_MESSAGE)),
            caller,
            request_id: context.id().to_owned(),
        };
        // Lives on this thread, as its connection does, and ends with it.
        actix_web::rt::spawn(connection.run());
        Ok(response)
    }
}

impl Connection {
    async fn run(mut self) {
        let closed = Box::pin(self.talk()).await;
        let reason = match closed {
            Closed::Gone => None,
            Closed::With(code, error) => {
                let problem = Problem::new(&error, &self.request_id);
                let frame = json!({"type": "error", "error": problem}).to_string();
                // A client that does not read is not waited for again.
                let _told = timeout(Duration::from_secs(1), self.session.text(frame)).await;
                let text = error.detail.chars().take(80).collect();
                Some(CloseReason {
                    code: CloseCode::Other(code),
                    description: Some(text),
                })
            }
        };
        let _closed = timeout(Duration::from_secs(1), self.session.close(reason)).await;
    }

    /// Until there is nothing more to say.
    async fn talk(&mut self) -> Closed {
        let asked = match self.subscribe().await {
            Ok(asked) => asked,
            Err(closed) => return closed,
        };
        match self.begin(asked).await {
            Ok((reader, window)) => self.follow(reader, window).await,
            Err(closed) => closed,
        }
    }

    /// Waits for the first frame.
    async fn subscribe(&mut self) -> Result<Subscribe, Closed> {
        let until = Instant::now() + BEGIN_WITHIN;
        let closing = self.streams.closing();
        loop {
            let frame = tokio::select! {
                frame = self.frame() => frame?,
                () = sleep_until(until) => {
                    let detail = "no `subscribe` came within ten seconds";
                    return Err(Closed::With(4408, ApiError::new(ErrorCode::DeadlineExceeded, detail)));
                }
                () = closing.cancelled() => return Err(stopping()),
            };
            match frame {
                None => {}
                Some(FromClient::Subscribe(asked)) => return Ok(asked),
                Some(FromClient::Ack(_)) => {
                    let message = "the first frame is `subscribe`";
                    return Err(ApiError::invalid("/type", "out_of_order", message).into());
                }
            }
        }
    }

    /// Checks who asks for what.
    async fn begin(&mut self, asked: Subscribe) -> Result<(Reader, Window), Closed> {
        let authenticator = &self.streams.shared.authenticator;
        if self.caller.is_none() {
            let refused = || {
                let detail =
                    "send `authorization: Bearer <key>` with `subscribe`, or the header with the handshake";
                ApiError::new(ErrorCode::Unauthenticated, detail)
            };
            let token = asked
                .authorization
                .as_deref()
                .and_then(|text| text.split_once(' '));
            let (scheme, token) = token.ok_or_else(refused)?;
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Err(refused().into());
            }
            let caller = authenticator.bearer(token.trim()).await?;
            caller.buckets.take(Class::Read).check()?;
            self.caller = Some(caller);
        } else if asked.authorization.is_some() {
            let message = "the handshake named the caller already";
            return Err(ApiError::invalid("/authorization", "not_allowed", message).into());
        }
        let Some(caller) = self.caller.clone() else {
            return Err(ApiError::internal().into());
        };
        let size = asked.window()?;
        let catalogue = &self.streams.shared.catalogue;
        let filter = Filter::read(catalogue, &asked.types, &asked.objects, Places::BODY)?;
        let start = asked.after.map_or(Start::Now, Start::After);
        let reader = self.streams.reader(&caller, start, filter, "websocket").await?;
        self.send(json!({"type": "subscribed", "cursor": reader.cursor()}).to_string())
            .await?;
        let window = Window {
            org: caller.org,
            size,
            used: 0,
            sent: VecDeque::new(),
        };
        Ok((reader, window))
    }

    /// Tells events as long as the client keeps up.
    async fn follow(&mut self, mut reader: Reader, mut window: Window) -> Closed {
        // Since when the window has no room.
        let mut full: Option<Instant> = None;
        let mut looks = tokio::time::interval(Duration::from_secs(1));
        loop {
            let room = window.room();
            if room > 0 {
                full = None;
            }
            let patience = *full.get_or_insert_with(Instant::now) + self.streams.shared.patience;
            let closing = self.streams.closing();
            let step = tokio::select! {
                frame = self.frame() => match frame {
                    Ok(frame) => self.heard(frame, &mut window),
                    Err(closed) => Err(closed),
                },
                heard = reader.next(room), if room > 0 => match heard {
                    Heard::Events(piece) => {
                        if let Some(last) = piece.last() {
                            window.sent(last.place, piece.len());
                        }
                        self.send(events(&piece)).await
                    }
                    Heard::Quiet => {
                        self.send(json!({"type": "heartbeat", "cursor": reader.cursor()}).to_string()).await
                    }
                    Heard::End(ending) => Err(ending_of(ending)),
                },
                // The reader rests, but the key may end, and the client's time.
                _ = looks.tick(), if room == 0 => match reader.check().await {
                    Some(ending) => Err(ending_of(ending)),
                    None if Instant::now() >= patience => Err(self.too_slow("acknowledged")),
                    None => Ok(()),
                },
                () = closing.cancelled() => Err(stopping()),
            };
            if let Err(closed) = step {
                return closed;
            }
        }
    }

    fn heard(&self, frame: Option<FromClient>, window: &mut Window) -> Result<(), Closed> {
        match frame {
            None => Ok(()),
            Some(FromClient::Ack(Ack { cursor })) => {
                let place = self.streams.shared.cursors.read(window.org, &cursor)?;
                window.acknowledged(&place);
                Ok(())
            }
            Some(FromClient::Subscribe(_)) => {
                let message = "this connection is subscribed; open another one";
                Err(ApiError::invalid("/type", "out_of_order", message).into())
            }
        }
    }

    /// The next frame of the client; nothing for what is answered here.
    async fn frame(&mut self) -> Result<Option<FromClient>, Closed> {
        match self.messages.next().await {
            Some(Ok(AggregatedMessage::Text(text))) => Ok(Some(frames::read(&text)?)),
            Some(Ok(AggregatedMessage::Ping(bytes))) => {
                self.session.pong(&bytes).await.map_err(|_| Closed::Gone)?;
                Ok(None)
            }
            Some(Ok(AggregatedMessage::Pong(_))) => Ok(None),
            Some(Ok(AggregatedMessage::Binary(_))) => {
                Err(ApiError::invalid("", "invalid_frame", "frames are text").into())
            }
            Some(Ok(AggregatedMessage::Close(_)) | Err(_)) | None => Err(Closed::Gone),
        }
    }

    fn too_slow(&self, what: &str) -> Closed {
        self.streams.shared.ended("slow");
        let detail = format!("nothing was {what} for too long; come back with your last cursor");
        Closed::With(4429, ApiError::new(ErrorCode::RateLimited, detail))
    }

    /// Sends a frame, waiting for a slow client no longer than it may take.
    async fn send(&mut self, frame: String) -> Result<(), Closed> {
        match timeout(self.streams.shared.patience, self.session.text(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Closed::Gone),
            Err(_) => Err(self.too_slow("read")),
        }
    }
}

fn events(piece: &Piece) -> String {
    let cursor = piece.last().map(|told| told.cursor.as_str()).unwrap_or_default();
    let mut frame = format!(r#"{{"type":"events","cursor":"{cursor}","events":["#);
    for (at, told) in piece.events().enumerate() {
        frame.push_str(if at == 0 { "" } else { "," });
        frame.push_str(&told.event.json);
    }
    frame.push_str("]}");
    frame
}

fn ending_of(ending: super::reader::Ending) -> Closed {
    match ending {
        super::reader::Ending::Stopped => stopping(),
        other => other.error().into(),
    }
}

fn stopping() -> Closed {
    Closed::With(1001, super::reader::Ending::Stopped.error())
}
