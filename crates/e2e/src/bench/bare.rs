//! The ceiling of gRPC fan-out: a server that streams one message over and over, without bus, keys or filters.

use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use contracts::events::v1 as wire;
use contracts::events::v1::event_service_client::EventServiceClient;
use futures::Stream;
use futures::future::try_join_all;
use tonic::server::NamedService;
use tonic::transport::{Endpoint, Server, server::TcpIncoming};

/// Streams the message to everybody who asks.
#[derive(Clone)]
struct Bare(wire::SubscribeResponse);

impl NamedService for Bare {
    const NAME: &'static str = "devsignal.events.v1.EventService";
}

type Messages = Pin<Box<dyn Stream<Item = Result<wire::SubscribeResponse, tonic::Status>> + Send>>;

impl tonic::server::ServerStreamingService<wire::SubscribeRequest> for Bare {
    type Response = wire::SubscribeResponse;
    type ResponseStream = Messages;
    type Future = std::future::Ready<Result<tonic::Response<Messages>, tonic::Status>>;

    fn call(&mut self, _: tonic::Request<wire::SubscribeRequest>) -> Self::Future {
        let message = self.0.clone();
        let forever = futures::stream::repeat_with(move || Ok(message.clone()));
        std::future::ready(Ok(tonic::Response::new(Box::pin(forever))))
    }
}

impl tower::Service<http::Request<tonic::body::Body>> for Bare {
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let codec = tonic_prost::ProstCodec::<wire::SubscribeResponse, wire::SubscribeRequest>::default();
            Ok(tonic::server::Grpc::new(codec)
                .server_streaming(service, request)
                .await)
        })
    }
}

/// Messages per second to so many subscribers.
pub async fn measure(
    sample: wire::SubscribeResponse,
    subscribers: usize,
    time: Duration,
) -> anyhow::Result<f64> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serving = Server::builder()
        .add_service(Bare(sample))
        .serve_with_incoming(incoming);
    let server = lifecycle::detach("bare-server", serving);
    let opening = (0..subscribers).map(|_| async {
        let channel = Endpoint::from_shared(url.clone())?.connect().await?;
        let asked = wire::SubscribeRequest::default();
        let stream = EventServiceClient::new(channel).subscribe(asked).await?;
        anyhow::Ok(stream.into_inner())
    });
    let streams = try_join_all(opening).await?;
    let began = Instant::now();
    let readers: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            lifecycle::detach("bare-subscriber", async move {
                let mut count = 0_u64;
                while began.elapsed() < time {
                    stream.message().await?.context("the stream ended")?;
                    count += 1;
                }
                anyhow::Ok(count)
            })
        })
        .collect();
    let mut all = 0;
    for reader in readers {
        all += reader.await??;
    }
    let seconds = began.elapsed().as_secs_f64();
    server.abort();
    Ok(all as f64 / seconds)
}
