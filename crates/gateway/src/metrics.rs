//! What the gateway counts.

use std::time::Duration;

use actix_web::http::StatusCode;
use telemetry::{Histogram, HistogramVec, IntCounterVec, IntGauge, Metrics, SECONDS_BUCKETS, TelemetryError};

/// Requests by kind of path and class of status.
pub struct HttpMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
}

impl HttpMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// A name is taken.
    pub fn new(metrics: &Metrics) -> Result<Self, TelemetryError> {
        Ok(Self {
            requests: metrics.counter_vec(
                "http_requests_total",
                "Requests by kind and class of status",
                &["kind", "class"],
            )?,
            seconds: metrics.histogram_vec(
                "http_duration_seconds",
                "Time to the answer's head",
                &["kind"],
                SECONDS_BUCKETS,
            )?,
        })
    }

    /// One answered request.
    pub fn observe(&self, kind: &'static str, status: StatusCode, took: Duration) {
        let class = match status.as_u16() / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.requests.with_label_values(&[kind, class]).inc();
        self.seconds
            .with_label_values(&[kind])
            .observe(took.as_secs_f64());
    }
}

/// The event streams.
#[derive(Clone)]
pub struct StreamMetrics {
    /// Open streams.
    pub open: IntGauge,
    /// Streams that read from the broker.
    pub catching_up: IntGauge,
    /// Events told, by interface.
    pub told: IntCounterVec,
    /// Ends that were not the client's, by reason.
    pub ended: IntCounterVec,
}

impl StreamMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// A name is taken.
    pub fn new(metrics: &Metrics) -> Result<Self, TelemetryError> {
        Ok(Self {
            open: metrics.gauge("event_streams_connections", "Open event streams")?,
            catching_up: metrics.gauge(
                "event_streams_catching_up_connections",
                "Event streams that read from the broker",
            )?,
            told: metrics.counter_vec(
                "event_streams_events_total",
                "Events told, by interface",
                &["interface"],
            )?,
            ended: metrics.counter_vec(
                "event_streams_ended_total",
                "Streams ended by the gateway: key refused, gateway stopped, client slow, reading failed",
                &["reason"],
            )?,
        })
    }
}

/// How many requests one bulk call to signal-ingest carries.
///
/// # Errors
/// The name is taken.
pub fn group_sizes(metrics: &Metrics) -> Result<Histogram, TelemetryError> {
    let buckets = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 512.0, 2048.0];
    metrics.histogram("ingest_group_items", "Requests in one bulk call", &buckets)
}
