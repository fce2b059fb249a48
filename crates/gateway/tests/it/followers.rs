//! Clients of the events, one for each interface, with one face.

use std::time::Duration;

use contracts::events::v1::event_service_client::EventServiceClient;
use contracts::events::v1::{SubscribeRequest, SubscribeResponse};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use test_kit::wait_for;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use crate::events::Client as Sse;
use crate::harness::{Gateway, problem};

pub const SOON: Duration = Duration::from_secs(15);

/// A way to follow events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Sse,
    Poll,
    Socket,
    Grpc,
}

pub const WAYS: [Way; 4] = [Way::Sse, Way::Poll, Way::Socket, Way::Grpc];

/// What a client heard, and where to go on.
#[derive(Debug, Default)]
pub struct Heard {
    pub events: Vec<(String, String)>,
    pub cursor: String,
}

pub type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

pub async fn socket(gateway: &Gateway) -> Socket {
    let request = format!("ws://{}/api/v1/events/ws", gateway.http);
    let request = request.into_client_request().unwrap();
    tokio_tungstenite::connect_async(request).await.unwrap().0
}

pub async fn say(socket: &mut Socket, frame: Value) {
    socket.send(Message::text(frame.to_string())).await.unwrap();
}

/// The next frame; `{"closed": code}` at the end.
pub async fn hear(socket: &mut Socket) -> Value {
    let next = tokio::time::timeout(SOON, socket.next()).await;
    match next.expect("silence") {
        Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
        Some(Ok(Message::Close(frame))) => json!({"closed": frame.map(|f| u16::from(f.code))}),
        Some(Err(_)) | None => json!({"closed": null}),
        Some(Ok(other)) => panic!("{other:?}"),
    }
}

/// A subscribed socket.
pub async fn subscribed(gateway: &Gateway, key: &str, mut frame: Value) -> Socket {
    let mut open = socket(gateway).await;
    frame["type"] = "subscribe".into();
    frame["authorization"] = format!("Bearer {key}").into();
    say(&mut open, frame).await;
    let answer = hear(&mut open).await;
    assert_eq!(answer["type"], "subscribed", "{answer}");
    open
}

pub fn grpc(gateway: &Gateway) -> EventServiceClient<Channel> {
    grpc_at(&gateway.grpc)
}

pub fn grpc_at(url: &str) -> EventServiceClient<Channel> {
    EventServiceClient::new(Endpoint::from_shared(url.to_owned()).unwrap().connect_lazy())
}

pub fn with_key<T>(message: T, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {key}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

pub async fn subscribe(
    client: &mut EventServiceClient<Channel>,
    key: &str,
    asked: SubscribeRequest,
) -> Result<Streaming<SubscribeResponse>, Status> {
    let answer = client.subscribe(with_key(asked, key)).await?;
    Ok(answer.into_inner())
}

/// Hears about `count` events after a cursor, or all up to the one with the id `last`; then the connection is cut.
pub async fn follow(gateway: &Gateway, key: &str, way: Way, after: &str, count: usize, last: &str) -> Heard {
    let mut heard = Heard {
        events: Vec::new(),
        cursor: after.to_owned(),
    };
    let enough =
        |heard: &Heard| heard.events.len() >= count || heard.events.last().is_some_and(|(id, _)| id == last);
    match way {
        Way::Sse => {
            let mut client = Sse::open(gateway, key, "", Some(after)).await;
            while !enough(&heard) {
                heard.take(&client.event().await);
                heard.cursor.clone_from(&client.last_id);
            }
        }
        Way::Poll => {
            while !enough(&heard) {
                let limit = (count - heard.events.len()).min(200);
                let path = format!(
                    "{}/api/v1/events?wait=10s&limit={limit}&after={}",
                    gateway.base, heard.cursor
                );
                let answer = gateway.client.get(path).bearer_auth(key).send().await.unwrap();
                assert_eq!(answer.status(), 200);
                let page: Value = answer.json().await.unwrap();
                page["data"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .for_each(|event| heard.take(event));
                heard.cursor = page["nextCursor"].as_str().unwrap().to_owned();
            }
        }
        Way::Socket => {
            let mut open = subscribed(gateway, key, json!({"after": after, "window": count.max(1)})).await;
            while !enough(&heard) {
                let frame = hear(&mut open).await;
                heard.cursor = frame["cursor"]
                    .as_str()
                    .unwrap_or_else(|| panic!("{frame}"))
                    .to_owned();
                let events = frame["events"].as_array().cloned().unwrap_or_default();
                events.iter().for_each(|event| heard.take(event));
                say(&mut open, json!({"type": "ack", "cursor": heard.cursor})).await;
            }
        }
        Way::Grpc => {
            let asked = SubscribeRequest {
                cursor: Some(after.to_owned()),
                ..SubscribeRequest::default()
            };
            let mut stream = subscribe(&mut grpc(gateway), key, asked).await.unwrap();
            while !enough(&heard) {
                let next = tokio::time::timeout(SOON, stream.message())
                    .await
                    .expect("silence");
                let message = next.unwrap().expect("the stream goes on");
                heard.cursor = message.cursor;
                if let Some(event) = message.event {
                    heard.events.push((event.id, event.r#type));
                }
            }
        }
    }
    heard
}

impl Heard {
    fn take(&mut self, event: &Value) {
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        self.events.push((text("id"), text("type")));
    }
}

/// Opening with a cursor: the status and code of the refusal, whatever the interface.
pub async fn refusal(gateway: &Gateway, key: &str, way: Way, after: &str) -> (u16, Value) {
    match way {
        Way::Sse | Way::Poll => {
            let wait = if way == Way::Poll { "&wait=0s" } else { "" };
            let path = format!("{}/api/v1/events?after={after}{wait}", gateway.base);
            let answer = gateway.client.get(path).bearer_auth(key).send().await.unwrap();
            problem(answer).await
        }
        Way::Socket => {
            let mut open = socket(gateway).await;
            let bearer = format!("Bearer {key}");
            say(
                &mut open,
                json!({"type": "subscribe", "authorization": bearer, "after": after}),
            )
            .await;
            let error = hear(&mut open).await;
            assert_eq!(error["type"], "error", "{error}");
            let closed = hear(&mut open).await["closed"].clone();
            let status = error["error"]["status"].as_u64().unwrap();
            let code = match status {
                401 => 4401,
                410 => 4410,
                503 => 4503,
                _ => 4400,
            };
            assert_eq!(closed, code);
            (u16::try_from(status).unwrap(), error["error"].clone())
        }
        Way::Grpc => {
            let asked = SubscribeRequest {
                cursor: Some(after.to_owned()),
                ..SubscribeRequest::default()
            };
            let status = subscribe(&mut grpc(gateway), key, asked).await.unwrap_err();
            let error = errors::ApiError::from_status(&status);
            (error.code.http_status(), json!(errors::Problem::new(&error, "x")))
        }
    }
}

/// The cursor of now, once there are streams.
pub async fn now(gateway: &Gateway, key: &str) -> String {
    wait_for("the stream is there", SOON, async || {
        let path = format!("{}/api/v1/events?wait=0s", gateway.base);
        let answer = gateway.client.get(path).bearer_auth(key).send().await.unwrap();
        if answer.status() == 503 {
            return None;
        }
        let page: Value = answer.json().await.unwrap();
        Some(page["nextCursor"].as_str().unwrap().to_owned())
    })
    .await
}
