//! The gRPC services: check who calls and what is sent, call, convert. Must not hold a rule or a statement.

mod batch;
mod intake;
mod signals;
mod sources;
mod verdicts;

use errors::{ApiError, ErrorDomain};
use tonic::Status;

pub use batch::BatchApi;
pub use intake::IntakeApi;
pub use signals::SignalApi;
pub use sources::SourceApi;

use crate::error::IngestError;

/// The answer to a failed call. Failures on our side are logged here, once, with their causes.
fn status(error: &IngestError) -> Status {
    let api = error.to_api();
    if api.code.http_status() >= 500 {
        let chain = anyhow::Chain::new(error)
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ");
        tracing::error!(error = %chain, "a call failed");
    }
    api.to_status()
}

/// An id in a path.
fn path_id<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, ApiError> {
    let detail = || format!("the id of a {what} is a UUID in its canonical form");
    text.parse()
        .map_err(|_| ApiError::new(errors::ErrorCode::InvalidId, detail()))
}
