//! W3C trace context through carriers.

use std::{borrow::Cow, collections::BTreeMap};

use http::{HeaderMap, HeaderValue};
use telemetry::TraceContext;

/// The example of the specification.
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn http_headers_survive_the_round_trip() {
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", HeaderValue::from_static(PARENT));
    headers.insert("tracestate", HeaderValue::from_static("congo=t61rcWkgMzE"));
    let context = TraceContext::extract_http(&headers);
    assert_eq!(
        context.trace_id().as_deref(),
        Some("4bf92f3577b34da6a3ce929d0e0e4736")
    );
    let mut out = HeaderMap::new();
    context.inject_http(&mut out);
    assert_eq!(out, headers);
}

#[test]
fn any_carrier_works_through_closures() {
    let context = TraceContext::from_traceparent(PARENT);
    let mut carrier = BTreeMap::new();
    context.inject(|name, value| {
        carrier.insert(name, value);
    });
    assert_eq!(carrier, BTreeMap::from([("traceparent", PARENT.to_owned())]));
    let read = TraceContext::extract(|name| carrier.get(name).map(|v| Cow::Borrowed(v.as_str())));
    assert_eq!(read.traceparent().as_deref(), Some(PARENT));
}

#[test]
fn malformed_context_is_empty_and_writes_nothing() {
    for bad in [
        "",
        "garbage",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6é3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        let context = TraceContext::from_traceparent(bad);
        assert_eq!(context.trace_id(), None, "{bad}");
        context.inject(|name, value| panic!("{bad}: wrote {name}: {value}"));
    }
}
