//! Names, units, duplicates, rendering.

use telemetry::{Metrics, SECONDS_BUCKETS, TelemetryError};

#[test]
fn names_carry_service_and_unit_and_services_share_one_registry() {
    let ingest = Metrics::new("signal-ingest");
    let crm = ingest.for_service("crm");
    let labels = ["outcome"];
    let signals = ingest.counter_vec("signals_total", "Signals by outcome.", &labels);
    signals.unwrap().with_label_values(&["accepted"]).inc_by(3);
    crm.gauge("pool_connections", "Open connections.").unwrap().set(7);
    let seconds = crm.histogram("request_seconds", "Time to answer.", SECONDS_BUCKETS);
    seconds.unwrap().observe(0.003);
    let text = ingest.render().unwrap();
    assert_eq!(text, crm.render().unwrap());
    for line in [
        "devsignal_signal_ingest_signals_total{outcome=\"accepted\"} 3",
        "# HELP devsignal_crm_pool_connections Open connections.",
        "devsignal_crm_pool_connections 7",
        "devsignal_crm_request_seconds_bucket{le=\"0.005\"} 1",
        "devsignal_crm_request_seconds_count 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
}

#[test]
fn same_name_is_the_same_collector() {
    let metrics = Metrics::new("crm");
    let first = metrics.counter("events_total", "Events.").unwrap();
    let second = metrics
        .for_service("crm")
        .counter("events_total", "Events.")
        .unwrap();
    first.inc();
    second.inc();
    assert_eq!(first.get(), 2);
}

#[test]
fn same_name_of_another_kind_or_other_labels_is_refused() {
    let metrics = Metrics::new("crm");
    metrics.counter_vec("events_total", "Events.", &["kind"]).unwrap();
    let refusals = [
        metrics.counter("events_total", "Events.").err(),
        metrics.counter_vec("events_total", "Events.", &["type"]).err(),
        metrics.gauge("events_total", "Events.").err(),
    ];
    for refusal in refusals {
        assert!(
            matches!(refusal, Some(TelemetryError::MetricConflict(_))),
            "{refusal:?}"
        );
    }
}

#[test]
fn names_without_unit_or_of_bad_shape_are_refused() {
    let metrics = Metrics::new("crm");
    for name in [
        "events",
        "events_seconds",
        "Events_total",
        "ev-ents_total",
        "",
        "total",
    ] {
        let refusal = metrics.counter(name, "Events.").unwrap_err();
        assert!(
            matches!(refusal, TelemetryError::MetricName { .. }),
            "{name}: {refusal:?}"
        );
    }
    assert!(metrics.gauge("depth", "Depth.").is_err());
    let refusal = metrics.counter_vec("events_total", "Events.", &["bad label"]);
    assert!(matches!(refusal, Err(TelemetryError::Metric { .. })));
}
