//! What is counted.

use telemetry::{Histogram, IntCounter, Metrics, SECONDS_BUCKETS, TelemetryError};

/// The service's metrics.
#[derive(Debug, Clone)]
pub struct ScoringMetrics {
    /// Signals added to the roll-ups.
    pub signals: IntCounter,
    /// Batches that came again and were left out.
    pub repeated_batches: IntCounter,
    /// Scores computed and stored.
    pub scores: IntCounter,
    /// Of them, those whose score, tier or trend moved.
    pub moved: IntCounter,
    /// Accounts whose score could not be computed, and is tried again later.
    pub failed: IntCounter,
    /// Time of a round: claim, compute, store.
    pub round: Histogram,
    /// Accounts per round.
    pub round_accounts: Histogram,
}

impl ScoringMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// A name that is used for something else.
    pub fn new(metrics: &Metrics) -> Result<Self, TelemetryError> {
        const ACCOUNTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0];
        Ok(Self {
            signals: metrics.counter("rolled_up_signals_total", "Signals added to the roll-ups.")?,
            repeated_batches: metrics.counter(
                "repeated_batches_total",
                "Batches that were delivered again and left out.",
            )?,
            scores: metrics.counter("scores_total", "Scores computed and stored.")?,
            moved: metrics.counter("score_changes_total", "Scores whose points, tier or trend moved.")?,
            failed: metrics.counter(
                "score_failures_total",
                "Scores that failed and are tried again later.",
            )?,
            round: metrics.histogram("round_seconds", "Time of a round of scoring.", SECONDS_BUCKETS)?,
            round_accounts: metrics.histogram(
                "round_accounts_items",
                "Accounts scored per round.",
                ACCOUNTS,
            )?,
        })
    }
}
