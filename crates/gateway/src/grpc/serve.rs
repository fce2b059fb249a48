//! The listener of public gRPC.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use lifecycle::{Lifecycle, Phase};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::server::TcpIncoming;
use tower::{Service, ServiceExt as _};

use super::Proxy;
use crate::config::GrpcSettings;
use crate::contract::Contract;
use crate::error::StartError;

/// Health and reflection here, everything else by the proxy.
#[derive(Clone)]
struct Front {
    own: Routes,
    proxy: Proxy,
}

impl Service<Request<Body>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path().starts_with("/grpc.") {
            let own = self.own.clone();
            return async move {
                Ok(own
                    .oneshot(request)
                    .await
                    .unwrap_or_else(|_| tonic::Status::internal("").into_http()))
            }
            .boxed();
        }
        self.proxy.call(request)
    }
}

/// Serves as a task of `lifecycle` until its edge phase stops; calls in flight are answered.
///
/// # Errors
/// The descriptors cannot be shown.
pub fn serve(
    settings: &GrpcSettings,
    contract: &Contract,
    proxy: Proxy,
    listener: TcpListener,
    lifecycle: &Lifecycle,
) -> Result<(), StartError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    let mut own = RoutesBuilder::default();
    own.add_service(health_service);
    if settings.reflection {
        let names = contract
            .services()
            .map(|s| s.full_name().to_owned())
            .collect::<Vec<_>>();
        let descriptors = contract.public_descriptors();
        let mut builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(&descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health");
        for name in names {
            builder = builder.with_service_name(name);
        }
        let service = builder
            .build_v1()
            .map_err(|error| StartError::Descriptors(error.to_string()))?;
        own.add_service(service);
    }
    let front = Front {
        own: own.routes(),
        proxy,
    };
    let (deadline, streams) = (
        Duration::from_millis(settings.deadline_ms),
        settings.max_concurrent_streams,
    );
    // The server's own `tcp_nodelay` is ignored for a listener that it did not bind.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    lifecycle.spawn_once("public-grpc-server", Phase::Edge, move |shutdown| async move {
        health
            .set_service_status("", tonic_health::ServingStatus::Serving)
            .await;
        let stop = async move {
            shutdown.requested().await;
            health
                .set_service_status("", tonic_health::ServingStatus::NotServing)
                .await;
        };
        tonic::transport::Server::builder()
            .timeout(deadline)
            .max_concurrent_streams(streams)
            .http2_max_header_list_size(32 * 1024)
            .http2_max_pending_accept_reset_streams(Some(64))
            .http2_keepalive_interval(Some(Duration::from_secs(20)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .serve_with_incoming_shutdown(front, incoming, stop)
            .await?;
        Ok(())
    });
    Ok(())
}
