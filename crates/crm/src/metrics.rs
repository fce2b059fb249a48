//! What crm counts. Calls and consumers are counted by the crates that run them.

use std::time::Duration;

use telemetry::{Histogram, IntCounterVec, Metrics, SECONDS_BUCKETS, TelemetryError};

use crate::domain::transfer::result::{Outcome, RowResult, counts};

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

/// What imports do.
#[derive(Clone)]
pub struct ImportMetrics {
    rows: IntCounterVec,
    chunks: Histogram,
}

impl ImportMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// A conflict of metrics.
    pub fn new(metrics: &Metrics) -> Result<Self, TelemetryError> {
        Ok(Self {
            rows: metrics.counter_vec("import_rows_total", "Rows of imports, by outcome", &["outcome"])?,
            chunks: metrics.histogram(
                "import_chunk_seconds",
                "Time of one chunk of an import",
                SECONDS_BUCKETS,
            )?,
        })
    }

    /// Counts a chunk.
    pub(crate) fn rows(&self, results: &[RowResult], took: Duration) {
        for (outcome, count) in Outcome::ALL.into_iter().zip(counts(results)) {
            let count = u64::try_from(count).unwrap_or(0);
            self.rows.with_label_values(&[outcome.name()]).inc_by(count);
        }
        self.chunks.observe(took.as_secs_f64());
    }
}
