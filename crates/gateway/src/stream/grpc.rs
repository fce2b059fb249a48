//! `EventService.Subscribe`: events by gRPC. Flow control is HTTP/2's own: who does not read is not written to.
//!
//! Answered in this process, not by a call to a service: the messages are encoded once for all subscribers.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes};
use contracts::events::v1 as wire;
use errors::ApiError;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _};
use prost::Message as _;
use tonic::body::Body;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, ServerStreamingService};
use tonic::{Request, Response, Status};

use super::open::{MOST, Start};
use super::reader::{Heard, Reader};
use super::service::EventApi;
use crate::access::Credential;
use crate::events::{Filter, Places};

/// The method's path.
pub const SUBSCRIBE: &str = "/devsignal.events.v1.EventService/Subscribe";
/// Largest request.
const MAX_REQUEST: usize = 64 * 1024;

/// The method as a service. The caller's credential is an extension of the request.
#[derive(Clone)]
pub struct Subscribe(pub EventApi);

impl tower::Service<http::Request<Body>> for Subscribe {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = Method(self.0.clone());
        async move {
            let mut grpc = Grpc::new(Encoded).max_decoding_message_size(MAX_REQUEST);
            Ok(grpc.server_streaming(method, request).await)
        }
        .boxed()
    }
}

struct Method(EventApi);

impl ServerStreamingService<wire::SubscribeRequest> for Method {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<wire::SubscribeRequest>) -> Self::Future {
        let api = self.0.clone();
        async move {
            let caller = request.extensions().get::<Arc<Credential>>().cloned();
            let caller = caller.ok_or_else(|| Status::from(ApiError::internal()))?;
            let reader = reader(&api, &caller, request.into_inner()).await?;
            Ok(Response::new(messages(reader)))
        }
        .boxed()
    }
}

async fn reader(
    api: &EventApi,
    caller: &Credential,
    asked: wire::SubscribeRequest,
) -> Result<Reader, ApiError> {
    let streams = api.streams();
    let given = asked.cursor.filter(|cursor| !cursor.is_empty());
    let Some(id) = asked.event_subscription_id else {
        let filter = Filter::read(
            &streams.shared.catalogue,
            &asked.types,
            &asked.objects,
            Places::BODY,
        )?;
        let start = given.map_or(Start::Now, Start::After);
        return streams.reader(caller, start, filter, "grpc").await;
    };
    if !(asked.types.is_empty() && asked.objects.is_empty()) {
        let message = "a durable subscription has its own filter";
        return Err(ApiError::invalid("/types", "not_allowed", message));
    }
    let kept = api.kept(caller.org, &id).await?;
    let start = given.map_or(Start::Place(kept.place), Start::After);
    streams.reader(caller, start, kept.filter, "grpc").await
}

/// Events and heartbeats; at the end the reason.
fn messages(reader: Reader) -> BoxStream<'static, Result<Bytes, Status>> {
    let pieces = stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match Box::pin(reader.next(MOST)).await {
            Heard::Events(piece) => {
                let all: Vec<_> = piece.events().map(|told| Ok(told.message().clone())).collect();
                Some((all, Some(reader)))
            }
            Heard::Quiet => {
                let beat = wire::SubscribeResponse {
                    cursor: reader.cursor(),
                    event: None,
                };
                Some((vec![Ok(beat.encode_to_vec().into())], Some(reader)))
            }
            Heard::End(ending) => Some((vec![Err(ending.error().to_status())], None)),
        }
    });
    pieces.flat_map(stream::iter).boxed()
}

/// Messages that are encoded already.
#[derive(Debug, Default)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = wire::SubscribeRequest;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(message);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Encoded {
    type Item = wire::SubscribeRequest;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let read = wire::SubscribeRequest::decode(from);
        read.map(Some).map_err(|_| {
            ApiError::invalid("", "malformed", "the message is not a SubscribeRequest").to_status()
        })
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
