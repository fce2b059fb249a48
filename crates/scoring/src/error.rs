//! What can go wrong in scoring, and how a caller sees it.

use ::store::{Class, StoreError, Transient};
use errors::{ApiError, ErrorDomain};

use crate::domain::ModelError;

/// A failure of an operation. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum ScoringError {
    /// The database failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// A scoring model cannot be used.
    #[error("a scoring model cannot be used")]
    Model(#[from] ModelError),
    /// A stored row does not hold what this release can read.
    #[error("a stored score cannot be read")]
    Corrupt(#[from] prost::DecodeError),
    /// There is no such account for this organization, or not yet.
    #[error("there is no such account")]
    UnknownAccount,
    /// Two computations of one score got into each other's way more often than can be.
    #[error("the score is being computed elsewhere")]
    Contended,
}

impl From<sqlx::Error> for ScoringError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl ScoringError {
    /// Whether the failure may be due to one of several pieces of work done together, so that the others would succeed
    /// without it.
    #[must_use]
    pub fn is_of_one(&self) -> bool {
        match self {
            Self::Store(error) => !matches!(
                error.class(),
                Class::Retryable | Class::Unavailable | Class::Timeout
            ),
            _ => true,
        }
    }

    /// Whether no repetition can succeed: what a constraint refuses now it will refuse again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Store(error) if matches!(error.class(), Class::Check { .. }))
    }
}

impl Transient for ScoringError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}

impl ErrorDomain for ScoringError {
    fn to_api(&self) -> ApiError {
        match self {
            Self::Store(error) => error.to_api(),
            Self::UnknownAccount => ApiError::not_found("account"),
            Self::Contended => ApiError::unavailable("the score is being computed; try again"),
            Self::Model(_) | Self::Corrupt(_) => ApiError::internal(),
        }
    }
}
