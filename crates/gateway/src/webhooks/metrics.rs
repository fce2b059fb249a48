//! What is counted about webhooks.

use telemetry::{Histogram, IntCounter, IntCounterVec, IntGauge, Metrics, TelemetryError};

/// Durations of attempts, in seconds.
const ATTEMPTS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0,
];

/// The delivery role's.
#[derive(Clone)]
pub struct HookMetrics {
    /// Attempts by outcome.
    pub attempts: IntCounterVec,
    /// How long attempts take.
    pub attempt_seconds: Histogram,
    /// From the event to its first attempt.
    pub first_attempt_seconds: Histogram,
    /// Deliveries made of events.
    pub queued: IntCounter,
    /// Deliveries given up.
    pub exhausted: IntCounter,
    /// Webhooks disabled by the delivery role.
    pub disabled: IntCounterVec,
    /// Attempts in flight.
    pub in_flight: IntGauge,
    /// Webhooks this process works on.
    pub lanes: IntGauge,
    /// Deliveries that wait, in all organizations.
    pub pending: IntGauge,
    /// Age of the delivery that is longest due.
    pub oldest_due_seconds: IntGauge,
    /// Age of the event that the fan-out handled last.
    pub fanout_lag_seconds: IntGauge,
}

impl HookMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// A name is taken.
    pub fn new(metrics: &Metrics) -> Result<Self, TelemetryError> {
        Ok(Self {
            attempts: metrics.counter_vec(
                "webhook_attempts_total",
                "Attempts to deliver, by outcome",
                &["outcome"],
            )?,
            attempt_seconds: metrics.histogram(
                "webhook_attempt_seconds",
                "Time of an attempt, from the name's lookup to the answer's end",
                ATTEMPTS,
            )?,
            first_attempt_seconds: metrics.histogram(
                "webhook_first_attempt_seconds",
                "Time from an event's recording for a webhook to the begin of its first attempt",
                ATTEMPTS,
            )?,
            queued: metrics.counter("webhook_deliveries_total", "Deliveries made of events")?,
            exhausted: metrics.counter(
                "webhook_exhausted_total",
                "Deliveries given up after the last attempt",
            )?,
            disabled: metrics.counter_vec(
                "webhook_disabled_total",
                "Webhooks disabled because they failed or are gone",
                &["reason"],
            )?,
            in_flight: metrics.gauge("webhook_in_flight_items", "Attempts in flight")?,
            lanes: metrics.gauge("webhook_lanes_items", "Webhooks that this process works on")?,
            pending: metrics.gauge("webhook_pending_items", "Deliveries that wait for an attempt")?,
            oldest_due_seconds: metrics.gauge(
                "webhook_oldest_due_seconds",
                "How long the delivery that is longest due is due",
            )?,
            fanout_lag_seconds: metrics.gauge(
                "webhook_fanout_lag_seconds",
                "Age of the event that was turned into deliveries last",
            )?,
        })
    }
}
