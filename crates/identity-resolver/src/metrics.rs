//! What identity-resolver counts. Consumers and the outbox are counted by the crates that run them.

use telemetry::{Histogram, IntCounter, IntCounterVec, Metrics, SECONDS_BUCKETS, TelemetryError};

/// The collectors. A clone shares them.
#[derive(Clone)]
pub struct ResolverMetrics {
    /// Signals resolved, by what was found: `person`, `anonymous`, `nobody`.
    pub signals: IntCounterVec,
    /// Signals with an account.
    pub matched: IntCounter,
    /// Decisions, by kind.
    pub decisions: IntCounterVec,
    /// Batches by path: `known` (nothing new), `decided`.
    pub batches: IntCounterVec,
    /// Time of one batch.
    pub batch_seconds: Histogram,
}

impl ResolverMetrics {
    /// Registers the collectors.
    ///
    /// # Errors
    /// A name is taken by something else.
    pub fn new(metrics: &Metrics) -> Result<Self, TelemetryError> {
        Ok(Self {
            signals: metrics.counter_vec("signals_total", "Signals by kind of actor", &["actor"])?,
            matched: metrics.counter("matched_total", "Signals with an account")?,
            decisions: metrics.counter_vec("decisions_total", "Decisions by kind", &["kind"])?,
            batches: metrics.counter_vec("batches_total", "Batches by path", &["path"])?,
            batch_seconds: metrics.histogram("batch_seconds", "Time of one batch", SECONDS_BUCKETS)?,
        })
    }
}
