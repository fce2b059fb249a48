//! W3C trace context (<https://www.w3.org/TR/trace-context/>) in and out of key/value headers.
//!
//! Works with any carrier: a pair of closures, or `http::HeaderMap`. Crates of other transports
//! (gRPC metadata, NATS headers) pass closures over their own header type.

use std::{borrow::Cow, collections::HashMap};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::TraceContextExt as _,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The two headers of the specification.
const FIELDS: [&str; 2] = ["traceparent", "tracestate"];

/// Where a piece of work belongs in a trace. Empty if there is no trace.
#[derive(Debug, Clone, Default)]
pub struct TraceContext(Context);

impl TraceContext {
    /// The context of the current span. Empty where traces are not exported.
    pub fn current() -> Self {
        Self(tracing::Span::current().context())
    }

    /// Reads the headers through `get` (lower-case names). What is malformed is ignored, as the
    /// specification demands: the result is then empty.
    pub fn extract<'a>(get: impl Fn(&str) -> Option<Cow<'a, str>>) -> Self {
        let headers: HashMap<String, String> = FIELDS
            .iter()
            .filter_map(|&name| Some((name.to_owned(), get(name)?.into_owned())))
            .collect();
        let reader = Reader(&headers);
        Self(TraceContextPropagator::new().extract_with_context(&Context::new(), &reader))
    }

    /// Reads the headers of an HTTP request.
    pub fn extract_http(headers: &HeaderMap) -> Self {
        Self::extract(|name| headers.get(name)?.to_str().ok().map(Cow::Borrowed))
    }

    /// Reads a stored `traceparent` (an outbox row's, for instance).
    pub fn from_traceparent(traceparent: &str) -> Self {
        Self::extract(|name| (name == "traceparent").then_some(Cow::Borrowed(traceparent)))
    }

    /// Writes the headers through `set`; an empty context writes nothing.
    pub fn inject(&self, mut set: impl FnMut(&'static str, String)) {
        let mut writer = Writer(HashMap::new());
        TraceContextPropagator::new().inject_context(&self.0, &mut writer);
        for name in FIELDS {
            // An empty tracestate says nothing and is left out.
            if let Some(value) = writer.0.remove(name).filter(|value| !value.is_empty()) {
                set(name, value);
            }
        }
    }

    /// Writes the headers of an HTTP request.
    pub fn inject_http(&self, headers: &mut HeaderMap) {
        self.inject(|name, value| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        });
    }

    /// The `traceparent` alone, to be stored with work that is done later.
    pub fn traceparent(&self) -> Option<String> {
        let mut found = None;
        self.inject(|name, value| {
            if name == "traceparent" {
                found = Some(value);
            }
        });
        found
    }

    /// The trace's id as 32 hexadecimal digits.
    pub fn trace_id(&self) -> Option<String> {
        let span = self.0.span();
        let context = span.span_context();
        context.is_valid().then(|| context.trace_id().to_string())
    }

    /// Makes a new span (not yet entered) a child of this context. Without effect where traces
    /// are not exported or the context is empty.
    pub fn adopt(&self, span: &tracing::Span) {
        if self.trace_id().is_some() {
            // The only errors are "no exporter here" and "already started"; both leave the span
            // in the trace that it has.
            let _kept_as_it_is = span.set_parent(self.0.clone());
        }
    }
}

struct Reader<'a>(&'a HashMap<String, String>);

impl Extractor for Reader<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

struct Writer(HashMap<String, String>);

impl Injector for Writer {
    fn set(&mut self, key: &str, value: String) {
        self.0.insert(key.to_owned(), value);
    }
}
