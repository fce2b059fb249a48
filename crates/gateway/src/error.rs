//! Why a gateway cannot start. What requests are refused with is `errors::ApiError`.

/// A gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The URL of a service cannot be used.
    #[error("the URL of a service cannot be used")]
    Channel(#[from] tonic::transport::Error),
    /// A key cannot be used.
    #[error("the signing key cannot be used")]
    Key(#[from] rpc::KeyError),
    /// A setting cannot be used.
    #[error("a setting cannot be used")]
    Settings(#[from] settings::SettingsError),
    /// A metric's name is taken.
    #[error("a metric cannot be registered")]
    Metrics(#[from] telemetry::TelemetryError),
    /// A listener cannot be used.
    #[error("a listener cannot be used")]
    Listener(#[from] std::io::Error),
    /// The client that delivers webhooks cannot be made.
    #[error("webhooks cannot be delivered: {0}")]
    Webhooks(String),
    /// The bus cannot be used.
    #[error("the bus cannot be used")]
    Bus(#[from] eventbus::BusError),
    /// The contract does not hold together.
    #[error("the descriptors cannot be used: {0}")]
    Descriptors(String),
}
