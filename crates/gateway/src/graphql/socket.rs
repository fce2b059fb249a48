//! `graphql-transport-ws` over WebSocket: <https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::{FromRequest as _, HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, CloseCode, CloseReason, Session};
use async_graphql::http::{WebSocket, WsMessage};
use async_graphql::{Data, Executor, Request, Response};
use errors::{ApiError, ErrorCode};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::errors::{of_api, refusal};
use super::serve::{Graphql, charge};
use crate::access::Credential;
use crate::http::Context;

/// The one protocol.
const PROTOCOL: &str = "graphql-transport-ws";
/// Largest message of a client.
const MAX_MESSAGE: usize = 128 * 1024;
/// Operations at the same time on one connection.
const MAX_OPERATIONS: usize = 20;
/// Time for `connection_init`.
const INIT_WITHIN: Duration = Duration::from_secs(10);

/// Runs operations of one connection.
#[derive(Clone)]
struct Runner {
    graphql: Graphql,
    caller: Arc<OnceLock<Arc<Credential>>>,
    running: Arc<AtomicUsize>,
    request_id: Arc<str>,
    address: Arc<str>,
}

/// One running operation.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Runner {
    /// The credential, as long as it is good.
    async fn caller(&self) -> Result<Arc<Credential>, ApiError> {
        let refused = || {
            ApiError::new(
                ErrorCode::Unauthenticated,
                "send `authorization` with connection_init",
            )
        };
        let known = self.caller.get().ok_or_else(refused)?;
        let authenticator = &self.graphql.shared.authenticator;
        authenticator.by_id(known.id).await?.ok_or_else(refused)
    }

    async fn begin(self, request: Request) -> Result<BoxStream<'static, Response>, ApiError> {
        let caller = self.caller().await?;
        let checked = self.graphql.check(request)?;
        charge(&caller, checked.weighed, false)?;
        let running = Running(Arc::clone(&self.running));
        if self.running.fetch_add(1, Ordering::Relaxed) >= MAX_OPERATIONS {
            let detail = format!("a connection runs at most {MAX_OPERATIONS} operations at a time");
            return Err(ApiError::new(ErrorCode::RateLimited, detail));
        }
        let answers = {
            let from = (self.request_id.to_string(), self.address.to_string());
            self.graphql.stream(checked, caller, from)
        };
        Ok(answers
            .map(move |response| {
                let _held = &running;
                response
            })
            .boxed())
    }
}

impl Executor for Runner {
    async fn execute(&self, request: Request) -> Response {
        let mut answers = self.execute_stream(request, None);
        let ended = || refusal(&ApiError::internal(), &self.request_id);
        answers.next().await.unwrap_or_else(ended)
    }

    fn execute_stream(&self, request: Request, _session: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        let (this, id) = (self.clone(), Arc::clone(&self.request_id));
        let begun = async move {
            match this.begin(request).await {
                Ok(answers) => answers,
                Err(error) => futures::stream::once(std::future::ready(refusal(&error, &id))).boxed(),
            }
        };
        futures::stream::once(begun).flatten().boxed()
    }
}

/// Opens a connection.
///
/// # Errors
/// The request is no handshake of the protocol.
pub async fn open(
    graphql: &Graphql,
    request: &HttpRequest,
    payload: &mut Payload,
    caller: Option<Arc<Credential>>,
    context: &Context,
) -> Result<HttpResponse, ApiError> {
    let bad = |detail: &str| ApiError::new(ErrorCode::InvalidParameter, detail);
    let offered = request.headers().get_all("sec-websocket-protocol");
    let speaks = offered
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .any(|name| name.trim() == PROTOCOL);
    if !speaks {
        return Err(bad("the WebSocket protocol here is graphql-transport-ws"));
    }
    let body = web::Payload::from_request(request, payload)
        .await
        .map_err(|_| ApiError::internal())?;
    let (response, session, messages) = actix_ws::handle_with_protocols(request, body, &[PROTOCOL])
        .map_err(|_| bad("the request is not a WebSocket handshake"))?;
    let runner = Runner {
        graphql: graphql.clone(),
        caller: Arc::default(),
        running: Arc::default(),
        request_id: context.id().into(),
        address: context.address.as_str().into(),
    };
    if let Some(caller) = caller {
        drop(runner.caller.set(caller));
    }
    let messages = messages.max_frame_size(MAX_MESSAGE).aggregate_continuations();
    let connection = drive(
        runner,
        session,
        Box::pin(messages.max_continuation_size(MAX_MESSAGE)),
    );
    // Lives on this thread, as its connection does, and ends with it.
    actix_web::rt::spawn(connection);
    Ok(response)
}

type Messages = std::pin::Pin<Box<actix_ws::AggregatedMessageStream>>;

async fn drive(runner: Runner, mut session: Session, mut messages: Messages) {
    let (send, receive) = mpsc::channel::<String>(16);
    let known = runner.clone();
    let answers = WebSocket::new(
        runner.clone(),
        ReceiverStream::new(receive),
        async_graphql::http::WebSocketProtocols::GraphQLWS,
    )
    .on_connection_init(move |payload| async move {
        initialised(&known, &payload)
            .await
            .map_err(|error| of_api(&error))?;
        Ok(Data::default())
    });
    let mut answers = std::pin::pin!(answers);
    let closing = runner.graphql.shared.streams.closing();
    let mut silent = std::pin::pin!(tokio::time::sleep(INIT_WITHIN));
    let mut begun = false;
    let reason = loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(Ok(AggregatedMessage::Text(text))) => {
                    begun = true;
                    if send.send(text.to_string()).await.is_err() {
                        break None;
                    }
                }
                Some(Ok(AggregatedMessage::Ping(bytes))) => {
                    if session.pong(&bytes).await.is_err() {
                        break None;
                    }
                }
                Some(Ok(AggregatedMessage::Pong(_))) => {}
                Some(Ok(AggregatedMessage::Binary(_))) => break Some((4400, "send text".to_owned())),
                Some(Ok(AggregatedMessage::Close(_)) | Err(_)) | None => break None,
            },
            answer = answers.next() => match answer {
                Some(WsMessage::Text(text)) => {
                    if session.text(text).await.is_err() {
                        break None;
                    }
                }
                Some(WsMessage::Close(code, reason)) => {
                    let unknown = runner.caller.get().is_none();
                    break Some((closing_code(code, unknown), reason));
                }
                None => break None,
            },
            () = &mut silent, if !begun => break Some((4408, "Connection initialisation timeout".to_owned())),
            () = closing.cancelled() => break Some((1001, "the server is going away".to_owned())),
        }
    };
    let reason = reason.map(|(code, text)| CloseReason {
        code: CloseCode::Other(code),
        description: Some(text),
    });
    drop(session.close(reason).await);
}

/// The protocol's own codes for a refused initialisation, and for one that was left out.
fn closing_code(code: u16, unknown: bool) -> u16 {
    match (code, unknown) {
        (1002, true) => 4403,
        (1011, true) => 4401,
        (code, _) => code,
    }
}

/// Takes the key from the handshake or from `connection_init`.
async fn initialised(runner: &Runner, payload: &serde_json::Value) -> Result<(), ApiError> {
    if runner.caller.get().is_none() {
        let refused = || ApiError::new(ErrorCode::Unauthenticated, "send `authorization: Bearer <key>`");
        let named = payload.as_object().and_then(|all| {
            let is_it =
                |(name, _): &(&String, &serde_json::Value)| name.eq_ignore_ascii_case("authorization");
            all.iter().find(is_it).and_then(|(_, value)| value.as_str())
        });
        let token = named
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(refused)?;
        let caller = runner.graphql.shared.authenticator.bearer(token).await?;
        drop(runner.caller.set(caller));
    }
    runner.caller().await.map(drop)
}
