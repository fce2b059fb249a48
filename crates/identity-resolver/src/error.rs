//! Why the service does not start.

use eventbus::BusError;
use telemetry::TelemetryError;

/// A failure of the start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The bus cannot be used.
    #[error("the bus cannot be used")]
    Bus(#[from] BusError),
    /// A metric cannot be registered.
    #[error("a metric cannot be registered")]
    Metrics(#[from] TelemetryError),
}
