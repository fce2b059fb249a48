//! Setting up logs and traces, once per process.

use std::{fmt, time::Duration};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};
use serde::Deserialize;
use tracing_subscriber::{EnvFilter, Layer, Registry, filter::filter_fn, layer::SubscriberExt as _};

use crate::TelemetryError;

/// How long the last traces may take to leave when the process ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// What the exporter itself runs on: traced, each export would make the next one.
const EXPORTER_TARGETS: [&str; 5] = ["h2", "hyper", "tonic", "tower", "opentelemetry"];

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for collectors.
    Json,
}

/// The `[telemetry]` section of a service's settings.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Text or JSON.
    #[serde(default)]
    pub log_format: LogFormat,
    /// Directives such as `info,store=debug`.
    pub log_filter: String,
    /// Where traces go: OTLP over gRPC, `http://collector:4317` (no TLS: the collector is a
    /// neighbour). Without it none are made.
    #[serde(default)]
    pub otlp_endpoint: Option<String>,
    /// The share of new traces that is kept, 0 to 1; a caller's decision is followed.
    #[serde(default = "all")]
    pub sample_ratio: f64,
}

fn all() -> f64 {
    1.0
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Text,
            log_filter: "info".to_owned(),
            otlp_endpoint: None,
            sample_ratio: all(),
        }
    }
}

impl fmt::Debug for TelemetryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The endpoint may carry a token.
        f.debug_struct("TelemetryConfig")
            .field("log_format", &self.log_format)
            .field("log_filter", &self.log_filter)
            .field("otlp_endpoint", &self.otlp_endpoint.as_ref().map(|_| "[set]"))
            .field("sample_ratio", &self.sample_ratio)
            .finish()
    }
}

impl TelemetryConfig {
    /// Refuses what [`init`] would refuse, for a service's validation of its settings.
    ///
    /// # Errors
    /// A filter that does not parse, a ratio outside 0 to 1.
    pub fn check(&self) -> Result<(), TelemetryError> {
        self.filter()?;
        if (0.0..=1.0).contains(&self.sample_ratio) {
            Ok(())
        } else {
            Err(TelemetryError::SampleRatio(self.sample_ratio))
        }
    }

    fn filter(&self) -> Result<EnvFilter, TelemetryError> {
        EnvFilter::builder()
            .parse(&self.log_filter)
            .map_err(TelemetryError::LogFilter)
    }
}

/// Keeps telemetry going; when dropped, sends the last traces (blocks for at most 3 s, so drop it
/// at the end of `main`, on a runtime of several threads).
#[must_use = "traces are lost when the guard is dropped early"]
#[derive(Debug)]
pub struct TelemetryGuard {
    provider: Option<SdkTracerProvider>,
    installed: bool,
}

impl TelemetryGuard {
    /// Whether this call set up the process; false if an earlier one had.
    pub fn installed(&self) -> bool {
        self.installed
    }
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take()
            && let Err(error) = provider.shutdown_with_timeout(FLUSH_TIMEOUT)
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Sets up logs (to standard error) and, with an endpoint, traces for the process named
/// `service`. Within a process the first call counts; later ones change nothing and return a
/// guard that does nothing. With an endpoint it must be called on a tokio runtime.
///
/// # Errors
/// See [`TelemetryConfig::check`]; also an endpoint that cannot be used.
pub fn init(service: &str, config: &TelemetryConfig) -> Result<TelemetryGuard, TelemetryError> {
    config.check()?;
    let not_ours = TelemetryGuard {
        provider: None,
        installed: false,
    };
    if tracing::dispatcher::has_been_set() {
        return Ok(not_ours);
    }
    let provider = config
        .otlp_endpoint
        .as_deref()
        .map(|endpoint| tracer_provider(service, endpoint, config.sample_ratio))
        .transpose()?;
    let traces = provider.as_ref().map(|provider| {
        let outside_the_exporter = filter_fn(|event| {
            let of = |name: &&str| event.target().starts_with(*name);
            !EXPORTER_TARGETS.iter().any(of)
        });
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(service.to_owned()))
            .with_filter(outside_the_exporter)
    });
    let subscriber = Registry::default()
        .with(config.filter()?)
        .with(traces)
        .with(log_layer(config.log_format));
    // Another thread may have been first; then this call's provider has nothing to send.
    match tracing::subscriber::set_global_default(subscriber) {
        Ok(()) => Ok(TelemetryGuard {
            provider,
            installed: true,
        }),
        Err(_) => Ok(not_ours),
    }
}

fn log_layer<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}

fn tracer_provider(
    service: &str,
    endpoint: &str,
    sample_ratio: f64,
) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(TelemetryError::Exporter)?;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sample_ratio)));
    Ok(SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(service.to_owned()).build())
        .with_sampler(sampler)
        .with_batch_exporter(exporter)
        .build())
}
