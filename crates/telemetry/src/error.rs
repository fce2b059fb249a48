//! Why telemetry could not be set up.

/// A fault of configuration or of a metric's definition; both are found at start-up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter is not a list of directives such as `info,store=debug`.
    #[error("the log filter is not valid")]
    LogFilter(#[source] tracing_subscriber::filter::ParseError),
    /// The share of traces to keep is not between 0 and 1.
    #[error("sample_ratio is {0}, not between 0 and 1")]
    SampleRatio(f64),
    /// The exporter of traces cannot be built. The endpoint is not repeated: it may hold a token.
    #[error("the OTLP exporter cannot be built from otlp_endpoint")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
    /// A metric's name breaks the naming rule.
    #[error("metric `{name}` is not allowed: {reason}")]
    MetricName {
        /// The full name.
        name: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// The same name is already used for another kind or other labels.
    #[error("metric `{0}` exists with another kind or other labels")]
    MetricConflict(String),
    /// Prometheus refuses the metric (help missing, bad label).
    #[error("metric `{name}` is refused")]
    Metric {
        /// The full name.
        name: String,
        /// What Prometheus said.
        source: prometheus::Error,
    },
    /// The metrics cannot be written as text.
    #[error("the metrics cannot be rendered")]
    Render(#[source] prometheus::Error),
}
