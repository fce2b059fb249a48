//! The contract of `telemetry`: names of metrics, trace context, export, settings.

mod export;
mod metrics;
mod propagation;

use telemetry::{TelemetryConfig, TelemetryError};

#[test]
fn bad_settings_are_refused() {
    let good = TelemetryConfig::default();
    good.check().unwrap();
    let filter = TelemetryConfig {
        log_filter: "info,store=loud".to_owned(),
        ..good.clone()
    };
    assert!(matches!(filter.check(), Err(TelemetryError::LogFilter(_))));
    for sample_ratio in [-0.1, 1.1, f64::NAN] {
        let ratio = TelemetryConfig {
            sample_ratio,
            ..good.clone()
        };
        assert!(matches!(ratio.check(), Err(TelemetryError::SampleRatio(_))));
    }
}

#[test]
fn endpoint_is_not_shown() {
    let config = TelemetryConfig {
        otlp_endpoint: Some("http://collector/?token=hunter2".to_owned()),
        ..TelemetryConfig::default()
    };
    assert!(!format!("{config:?}").contains("hunter2"));
}
