//! The port for operators, the same in every process: `/metrics` for the collector, `/livez` and `/readyz` for the
//! orchestrator. It knows nothing of what the process does, and is not to be reachable from outside.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use lifecycle::{Lifecycle, Phase};
use serde::Deserialize;
use telemetry::Metrics;
use tokio::net::TcpListener;

/// Where operators ask.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminSettings {
    /// `address:port` to listen on; port 0 takes a free one.
    pub listen: String,
}

/// Takes the port.
///
/// # Errors
/// It is no address, or taken.
pub async fn bind(settings: &AdminSettings) -> std::io::Result<TcpListener> {
    TcpListener::bind(&settings.listen).await
}

/// Serves on `listener` until the last phase of the shutdown, so that a process that drains still answers:
///
/// - `/metrics`: all metrics of the process in Prometheus' text format;
/// - `/livez`: 200 while the process does anything, with its tasks; 503 after;
/// - `/readyz`: 200 when traffic may come, else 503, with every check and why it does not hold.
pub fn serve(listener: TcpListener, metrics: Metrics, lifecycle: &Lifecycle) {
    let app = Router::new()
        .route("/metrics", get(render_metrics))
        .with_state(metrics)
        .route("/livez", get(liveness))
        .route("/readyz", get(readiness))
        .with_state(lifecycle.clone());
    lifecycle.spawn_once("admin-server", Phase::Base, move |shutdown| async move {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "metrics and probes are served");
        }
        tokio::select! {
            served = axum::serve(listener, app).into_future() => Ok(served?),
            () = shutdown.requested() => Ok(()),
        }
    });
}

async fn render_metrics(State(metrics): State<Metrics>) -> Response {
    match metrics.render() {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn liveness(State(lifecycle): State<Lifecycle>) -> Response {
    let state = lifecycle.liveness();
    (status(state.alive), Json(state)).into_response()
}

async fn readiness(State(lifecycle): State<Lifecycle>) -> Response {
    let state = lifecycle.readiness();
    (status(state.ready), Json(state)).into_response()
}

fn status(good: bool) -> StatusCode {
    if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
