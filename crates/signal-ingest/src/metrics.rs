//! What signal-ingest counts. Calls, consumers and the outbox are counted by the crates that run them.

use telemetry::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Metrics, SECONDS_BUCKETS,
    TelemetryError,
};

/// Signals in one accepting transaction.
const GROUP_BUCKETS: &[f64] = &[1.0, 4.0, 16.0, 64.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];

/// The collectors. A clone shares them.
#[derive(Clone)]
pub struct IngestMetrics {
    /// Signals by verdict: `accepted`, `duplicate`, `rejected`.
    pub signals: IntCounterVec,
    /// Signals in one accepting transaction.
    pub group_items: Histogram,
    /// Requests that accepting transactions carried.
    pub requests: IntCounter,
    /// Whether the relay is held back by a burst (0 or 1).
    pub held: IntGauge,
    /// Time of one accepting transaction, by outcome: `stored`, `failed`.
    pub accept_seconds: HistogramVec,
    /// What waits for a lane: `calls`, `signals`.
    pub queued: IntGaugeVec,
    /// Signals recorded.
    pub recorded: IntCounter,
    /// From acceptance to record, of the first signal of a batch.
    pub record_lag_seconds: Histogram,
    /// Rows changed because of what became known of an identity, by event.
    pub rewritten: IntCounterVec,
    /// Deliveries of GitHub's webhooks, by event (`other` for those without a mapping) and outcome.
    pub github: IntCounterVec,
    /// Rows deleted by retention, by table.
    pub expired: IntCounterVec,
}

impl IngestMetrics {
    /// Registers the collectors.
    ///
    /// # Errors
    /// A name is taken by something else.
    pub fn new(metrics: &Metrics) -> Result<Self, TelemetryError> {
        let counters = |name, help, labels: &[&str]| metrics.counter_vec(name, help, labels);
        Ok(Self {
            signals: counters("signals_total", "Signals by verdict", &["verdict"])?,
            group_items: metrics.histogram(
                "accept_group_items",
                "Signals in one accepting transaction",
                GROUP_BUCKETS,
            )?,
            requests: metrics.counter(
                "accept_requests_total",
                "Requests that accepting transactions carried",
            )?,
            held: metrics.gauge(
                "burst_held_info",
                "Whether what is accepted waits until a burst is over",
            )?,
            accept_seconds: metrics.histogram_vec(
                "accept_seconds",
                "Time of one accepting transaction, by outcome",
                &["outcome"],
                SECONDS_BUCKETS,
            )?,
            queued: metrics.gauge_vec("accept_queued_items", "What waits for a lane", &["what"])?,
            recorded: metrics.counter("recorded_total", "Signals recorded")?,
            record_lag_seconds: metrics.histogram(
                "record_lag_seconds",
                "From acceptance to record, of the first signal of a batch",
                SECONDS_BUCKETS,
            )?,
            rewritten: counters(
                "rewritten_total",
                "Recorded signals corrected, by event",
                &["event"],
            )?,
            github: counters(
                "github_deliveries_total",
                "Deliveries by event and outcome",
                &["event", "outcome"],
            )?,
            expired: counters("expired_total", "Rows deleted by retention, by table", &["table"])?,
        })
    }
}
