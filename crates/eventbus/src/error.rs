//! What can go wrong with the bus itself. A message's own fate is never an error here: it is retried or kept as a dead
//! letter.

use errors::{ApiError, ErrorDomain};

/// Why an operation on the bus failed.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The connection cannot be set up with these settings.
    #[error("the bus cannot be reached at the configured address")]
    Connect(#[source] async_nats::Error),
    /// No event of this type is known.
    #[error("there is no event of type {0:?}")]
    UnknownEvent(String),
    /// A number in a consumer's specification makes no sense.
    #[error("consumer {consumer}: {reason}")]
    Spec {
        /// The durable name.
        consumer: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The broker refused or did not answer.
    #[error("the broker did not do `{operation}`")]
    Broker {
        /// What was asked for.
        operation: &'static str,
        /// What it said.
        #[source]
        source: async_nats::Error,
    },
    /// A metric could not be registered.
    #[error("metrics of the bus cannot be registered")]
    Metrics(#[from] telemetry::TelemetryError),
    /// The service's own database failed.
    #[error("the database behind the bus failed")]
    Store(#[from] store::StoreError),
}

impl BusError {
    /// The broker failed at `operation`.
    pub(crate) fn broker(operation: &'static str, source: impl Into<async_nats::Error>) -> Self {
        Self::Broker {
            operation,
            source: source.into(),
        }
    }
}

impl ErrorDomain for BusError {
    fn to_api(&self) -> ApiError {
        match self {
            Self::Broker { .. } | Self::Connect(_) => ApiError::unavailable("the event bus is not reachable"),
            Self::Store(error) => error.to_api(),
            Self::UnknownEvent(_) | Self::Spec { .. } | Self::Metrics(_) => ApiError::internal(),
        }
    }
}
