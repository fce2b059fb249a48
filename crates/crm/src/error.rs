//! What can go wrong in crm, and how a caller sees it.

use errors::{ApiError, ErrorCode, ErrorDomain, FieldError};
use store::{StoreError, Transient};

/// A failure of an operation. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum CrmError {
    /// The database failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// There is no such record for this organization, or not yet.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The record has another version than the caller expects.
    #[error("the record has version {actual}, not {expected}")]
    VersionMismatch {
        /// What the caller expects.
        expected: i64,
        /// What it is.
        actual: i64,
    },
    /// Values of the request are not allowed.
    #[error("{} values are not allowed", .0.len())]
    Invalid(Vec<FieldError>),
    /// Checked already, as the caller sees it: paging, permissions, another service's answer.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The actor turned out to be another person than we were told before, or itself.
    #[error("a merge contradicts an earlier one: {0}")]
    Merge(String),
    /// The row does not hold what this release can read.
    #[error("a stored row cannot be read: {0}")]
    Corrupt(String),
}

impl From<sqlx::Error> for CrmError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Transient for CrmError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}

impl ErrorDomain for CrmError {
    fn to_api(&self) -> ApiError {
        match self {
            Self::Store(error) => error.to_api(),
            Self::NotFound(what) => ApiError::not_found(what),
            Self::VersionMismatch { expected, actual } => ApiError::new(
                ErrorCode::PreconditionFailed,
                format!("the record has version {actual} now, not {expected}"),
            ),
            Self::Invalid(fields) => ApiError::fields(fields.clone()),
            Self::Api(error) => error.clone(),
            Self::Merge(_) | Self::Corrupt(_) => ApiError::internal(),
        }
    }
}
