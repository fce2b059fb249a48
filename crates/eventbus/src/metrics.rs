//! The metrics of the bus. They carry the name of the service that the given registry handle is for.

use telemetry::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Metrics, SECONDS_BUCKETS,
    TelemetryError,
};

/// Of the connection.
#[derive(Debug, Clone)]
pub(crate) struct BusMetrics {
    pub(crate) connected: IntGauge,
    pub(crate) reconnects: IntCounter,
    pub(crate) ensure_failures: IntCounter,
    pub(crate) stream_bytes: IntGaugeVec,
    pub(crate) stream_max_bytes: IntGaugeVec,
}

impl BusMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Result<Self, TelemetryError> {
        Ok(Self {
            connected: metrics.gauge(
                "bus_connections",
                "Connections to the broker that are up (0 or 1).",
            )?,
            reconnects: metrics.counter(
                "bus_connects_total",
                "Times that a connection to the broker was made.",
            )?,
            ensure_failures: metrics.counter(
                "bus_ensure_failures_total",
                "Times that streams could not be made as they should be.",
            )?,
            stream_bytes: metrics.gauge_vec("bus_stream_bytes", "Bytes kept by a stream.", &["stream"])?,
            stream_max_bytes: metrics.gauge_vec(
                "bus_stream_limit_bytes",
                "Bytes that a stream may keep; when they are reached, publishing waits in the outbox.",
                &["stream"],
            )?,
        })
    }
}

/// Of the relay.
#[derive(Debug, Clone)]
pub(crate) struct RelayMetrics {
    pub(crate) published: IntCounter,
    pub(crate) failures: IntCounterVec,
    pub(crate) republished: IntCounter,
    pub(crate) dead: IntCounter,
    pub(crate) lag_rows: IntGauge,
    pub(crate) oldest: IntGauge,
    pub(crate) delay: Histogram,
    pub(crate) leading: IntGauge,
}

impl RelayMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Result<Self, TelemetryError> {
        Ok(Self {
            published: metrics.counter(
                "relay_published_total",
                "Outbox rows that the broker acknowledged.",
            )?,
            failures: metrics.counter_vec(
                "relay_publish_failures_total",
                "Publishes that failed and are repeated (full: the stream is full; other: anything else).",
                &["reason"],
            )?,
            republished: metrics.counter(
                "relay_republished_total",
                "Rows published again because the broker had lost them.",
            )?,
            dead: metrics.counter(
                "relay_dead_letters_total",
                "Rows that the broker will never take.",
            )?,
            lag_rows: metrics.gauge("relay_lag_items", "Outbox rows not yet published.")?,
            oldest: metrics.gauge(
                "relay_oldest_seconds",
                "Age of the oldest outbox row not yet published.",
            )?,
            delay: metrics.histogram(
                "relay_delay_seconds",
                "From making the id of a batch's oldest row to the broker's acknowledgement.",
                SECONDS_BUCKETS,
            )?,
            leading: metrics.gauge("relay_leader_info", "1 where this process relays the outbox.")?,
        })
    }
}

/// Of the consumers, by durable name.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerMetrics {
    pub(crate) consumed: IntCounter,
    pub(crate) retries: IntCounter,
    pub(crate) dead: IntCounter,
    pub(crate) redelivered: IntCounter,
    pub(crate) rebuilt: IntCounter,
    pub(crate) in_hand: IntGauge,
    pub(crate) pending: IntGauge,
    pub(crate) seconds: Histogram,
}

impl ConsumerMetrics {
    pub(crate) fn new(metrics: &Metrics, consumer: &str) -> Result<Self, TelemetryError> {
        let label = &["consumer"];
        let counter = |name: &str, help: &str| -> Result<IntCounter, TelemetryError> {
            let counters: IntCounterVec = metrics.counter_vec(name, help, label)?;
            Ok(counters.with_label_values(&[consumer]))
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, TelemetryError> {
            let gauges: IntGaugeVec = metrics.gauge_vec(name, help, label)?;
            Ok(gauges.with_label_values(&[consumer]))
        };
        let seconds: HistogramVec = metrics.histogram_vec(
            "consumer_handler_seconds",
            "How long the handler ran, whatever came of it.",
            label,
            SECONDS_BUCKETS,
        )?;
        Ok(Self {
            consumed: counter("consumer_handled_total", "Messages handled.")?,
            retries: counter("consumer_retries_total", "Attempts that failed and are repeated.")?,
            dead: counter("consumer_dead_letters_total", "Messages given up on.")?,
            redelivered: counter(
                "consumer_redeliveries_total",
                "Deliveries that were not the first of their message.",
            )?,
            rebuilt: counter(
                "consumer_rebuilds_total",
                "Times that the pull was set up again after silence or an error.",
            )?,
            in_hand: gauge(
                "consumer_in_hand_items",
                "Messages being handled or waiting for a handler here.",
            )?,
            pending: gauge(
                "consumer_pending_items",
                "Messages at the broker that this consumer has not been given yet.",
            )?,
            seconds: seconds.with_label_values(&[consumer]),
        })
    }
}
