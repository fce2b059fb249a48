//! The gRPC server of a service.

use std::convert::Infallible;
use std::time::Duration;

use lifecycle::{Lifecycle, Phase};
use serde::Deserialize;
use telemetry::{Metrics, TelemetryError};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tower::Layer;

use crate::edge::EdgeLayer;
use crate::{InProcess, Verifier};

/// Limits of a gRPC server. Messages are limited to 4 MiB by the codec.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// `address:port` to listen on; port 0 takes a free one.
    pub listen: String,
    /// Longest time a call may take, in milliseconds; a shorter deadline of the caller wins. Calls whose callers send a
    /// stream have only the caller's.
    pub deadline_ms: u64,
    /// Calls at the same time on one connection.
    pub max_concurrent_streams: u32,
    /// Whether the contract can be asked for by reflection.
    pub reflection: bool,
}

/// Collects a service's methods and serves them.
pub struct Server {
    settings: ServerSettings,
    edge: EdgeLayer,
    routes: RoutesBuilder,
    health: tonic_health::server::HealthReporter,
}

impl Server {
    /// A server with health (and, by setting, reflection) and nothing else yet.
    pub fn new(
        settings: ServerSettings,
        verifier: Verifier,
        metrics: &Metrics,
    ) -> Result<Self, TelemetryError> {
        let (health, health_service) = tonic_health::server::health_reporter();
        let mut routes = RoutesBuilder::default();
        routes.add_service(health_service);
        if settings.reflection {
            let v1 = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(contracts::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .build_v1();
            match v1 {
                Ok(service) => {
                    routes.add_service(service);
                }
                Err(error) => tracing::error!(%error, "reflection is off: the descriptors cannot be served"),
            }
        }
        let deadline = Duration::from_millis(settings.deadline_ms);
        Ok(Self {
            settings,
            edge: EdgeLayer::new(verifier, deadline, metrics)?,
            routes,
            health,
        })
    }

    /// Adds a service.
    #[expect(
        clippy::should_implement_trait,
        reason = "adds to the server; nothing is summed"
    )]
    #[must_use]
    pub fn add<S>(mut self, service: S) -> Self
    where
        S: tower::Service<http::Request<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S: tower::Service<http::Request<Body>, Response = http::Response<Body>>,
        S::Future: Send + 'static,
    {
        self.routes.add_service(service);
        self
    }

    /// The services added so far, for callers in this process.
    #[must_use]
    pub fn in_process(&self) -> InProcess {
        let routes = self.routes.clone().routes().prepare();
        InProcess::new(self.edge.layer(routes))
    }

    /// Serves on `listener` as a task of `lifecycle` until the edge phase stops; calls in flight are answered first.
    pub fn serve(self, listener: TcpListener, lifecycle: &Lifecycle) {
        let Self {
            settings,
            edge,
            routes,
            health,
        } = self;
        let routes: Routes = routes.routes();
        lifecycle.spawn_once("grpc-server", Phase::Edge, move |shutdown| async move {
            health
                .set_service_status("", tonic_health::ServingStatus::Serving)
                .await;
            let stop = async move {
                shutdown.requested().await;
                health
                    .set_service_status("", tonic_health::ServingStatus::NotServing)
                    .await;
            };
            // The builder's own setting does not reach a listener that it did not bind: answers would wait for delayed
            // acknowledgements, 40 ms each.
            let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
            tonic::transport::Server::builder()
                .max_concurrent_streams(settings.max_concurrent_streams)
                .http2_max_header_list_size(32 * 1024)
                .http2_max_pending_accept_reset_streams(Some(64))
                .http2_keepalive_interval(Some(Duration::from_secs(20)))
                .http2_keepalive_timeout(Some(Duration::from_secs(10)))
                .initial_stream_window_size(1024 * 1024)
                .initial_connection_window_size(8 * 1024 * 1024)
                .layer(edge)
                .add_routes(routes)
                .serve_with_incoming_shutdown(incoming, stop)
                .await?;
            Ok(())
        });
    }
}
