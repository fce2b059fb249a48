//! What crm counts. Calls and consumers are counted by the crates that run them.

use telemetry::{Histogram, IntCounterVec, Metrics, SECONDS_BUCKETS, TelemetryError};

/// Events taken in, by type and by whether they had their effect now (`applied`) or before (`repeated`).
pub(crate) fn deliveries(metrics: &Metrics) -> Result<IntCounterVec, TelemetryError> {
    metrics.counter_vec(
        "deliveries_total",
        "Events taken in, by type and outcome",
        &["event", "outcome"],
    )
}

/// Time of one call to signal-ingest for a timeline.
pub(crate) fn signal_calls(metrics: &Metrics) -> Result<Histogram, TelemetryError> {
    metrics.histogram(
        "timeline_signals_seconds",
        "Time of one call for the signals of a timeline",
        SECONDS_BUCKETS,
    )
}
