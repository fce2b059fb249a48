//! Logs, traces and metrics of one process.
//!
//! Owns the set-up of `tracing` and OpenTelemetry, the passing of W3C trace context between
//! processes, and the registry of Prometheus metrics. It must not know any transport but plain
//! key/value headers, and nothing here may be given a secret.

mod error;
mod init;
mod metrics;
mod propagation;

pub use error::TelemetryError;
pub use init::{LogFormat, TelemetryConfig, TelemetryGuard, init};
pub use metrics::{Metrics, SECONDS_BUCKETS};
pub use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
pub use propagation::TraceContext;
