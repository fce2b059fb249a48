//! What can go wrong in this service.

use eventbus::HandlerError;
use store::{Class, StoreError};

/// A batch could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The batch holds an id or a time that is none.
    #[error("the batch's {0} is not valid")]
    Malformed(&'static str),
}

impl ResolveError {
    /// As the bus needs it: what would fail again is poison.
    #[must_use]
    pub fn into_handler(self) -> HandlerError {
        match &self {
            Self::Malformed(_) => HandlerError::poison(self),
            // What a check refuses now it will refuse again.
            Self::Store(error) if matches!(error.class(), Class::Check { .. }) => HandlerError::poison(self),
            Self::Store(_) => HandlerError::retry(self),
        }
    }
}
