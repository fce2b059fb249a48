//! What can go wrong in this service, and what the caller is told.

use errors::{ApiError, ErrorDomain};
use store::{Class, StoreError, Transient};

/// A failure of signal-ingest. `Display` says what was tried; the cause is the `source`.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A batch could not be packed.
    #[error("a batch could not be packed")]
    Pack(#[source] std::io::Error),
    /// The ledger refused keys that it then did not know: they expired in between, again and again.
    #[error("the idempotency ledger changed under the transaction")]
    LedgerMoved,
    /// A sealed secret cannot be opened: it was sealed with another key, or altered.
    #[error("the secret of a source cannot be opened")]
    Unsealable,
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness,
    /// The request is at fault.
    #[error(transparent)]
    Refused(#[from] ApiError),
}

impl From<sqlx::Error> for IngestError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Transient for IngestError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient()) || matches!(self, Self::LedgerMoved)
    }
}

impl ErrorDomain for IngestError {
    fn to_api(&self) -> ApiError {
        match self {
            Self::Store(error) => error.to_api(),
            Self::LedgerMoved => ApiError::unavailable("the signals could not be stored just now"),
            Self::Pack(_) | Self::Unsealable | Self::Randomness => ApiError::internal(),
            Self::Refused(error) => error.clone(),
        }
    }
}

impl IngestError {
    /// What the callers of a failed accepting transaction are told. Nothing of it is stored (or, when the connection broke
    /// in the middle of the commit, all of it: then a repeat with the same keys finds duplicates), so they may repeat it.
    #[must_use]
    pub fn to_accept_api(&self) -> ApiError {
        match self {
            Self::Store(error) if !matches!(error.class(), Class::Other | Class::Check { .. }) => {
                ApiError::unavailable("the signals could not be stored just now")
            }
            other => other.to_api(),
        }
    }
}
