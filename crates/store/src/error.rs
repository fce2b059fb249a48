//! What can go wrong with Postgres, sorted by what the caller can do about it.

use errors::{ApiError, ErrorCode, ErrorDomain};
use sqlx::{error::ErrorKind, migrate::MigrateError};

/// A failure of the store. `Display` says what was tried; the cause is the `source`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Postgres refused the statement, or the connection failed while it ran.
    #[error("a database statement failed")]
    Sql(#[source] sqlx::Error),
    /// No connection could be had within the acquire timeout; nothing was sent.
    #[error("no database connection within {waited_ms} ms")]
    Acquire {
        /// The acquire timeout.
        waited_ms: u64,
        /// The last failure to connect, if it was not just that all connections were in use.
        #[source]
        source: Option<Box<sqlx::Error>>,
    },
    /// The transaction was no longer open at its commit: a statement in it had failed, and nothing of it is stored; or
    /// it was ended by hand.
    #[error("the transaction could not be committed: it was not open any more")]
    NotOpen(#[source] sqlx::Error),
    /// The answer to `COMMIT` did not arrive: the transaction may or may not be stored.
    #[error("the outcome of a commit is not known")]
    CommitUnknown(#[source] sqlx::Error),
    /// The migrations could not be run.
    #[error("the migrations of schema `{schema}` failed")]
    Migrate {
        /// The schema.
        schema: String,
        /// What sqlx's migrator said.
        source: MigrateError,
    },
    /// The caller broke a rule of this crate: a fault of the program.
    #[error("{0}")]
    Misuse(String),
    /// A metric could not be registered.
    #[error("a metric of the store cannot be registered")]
    Metrics(#[from] telemetry::TelemetryError),
}

/// What a failure means to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// A unique constraint or index: it exists already.
    Unique {
        /// Name of the constraint.
        constraint: String,
    },
    /// A foreign key: what it refers to does not exist, or is still referred to.
    ForeignKey {
        /// Name of the constraint.
        constraint: String,
    },
    /// A check or not-null constraint.
    Check {
        /// Name of the constraint, or empty.
        constraint: String,
    },
    /// Serialization failure, deadlock, or a row that met the making of its partition: the same transaction can succeed
    /// at once ([`crate::retry`]).
    Retryable,
    /// Postgres cannot be reached, is starting or stopping, or has no free connection. Nothing was stored, unless the
    /// error is [`StoreError::CommitUnknown`].
    Unavailable,
    /// Statement, lock or idle timeout.
    Timeout,
    /// Anything else: a fault of the program.
    Other,
}

impl StoreError {
    /// What the failure means.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Sql(error) | Self::NotOpen(error) | Self::CommitUnknown(error) => class_of(error),
            Self::Acquire { .. } => Class::Unavailable,
            Self::Migrate {
                source: MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _),
                ..
            } => class_of(error),
            Self::Migrate { .. } | Self::Misuse(_) | Self::Metrics(_) => Class::Other,
        }
    }

    /// Whether a unique constraint or index of this name refused the row.
    #[must_use]
    pub fn is_unique(&self, name: &str) -> bool {
        matches!(self.class(), Class::Unique { constraint } if constraint == name)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl ErrorDomain for StoreError {
    fn to_api(&self) -> ApiError {
        match self.class() {
            Class::Unique { .. } => ApiError::new(ErrorCode::Conflict, "it exists already"),
            Class::ForeignKey { .. } => ApiError::new(
                ErrorCode::Conflict,
                "it refers to something that does not exist, or is still referred to",
            ),
            Class::Retryable | Class::Unavailable => {
                ApiError::unavailable("the database is not available just now")
            }
            Class::Timeout => ApiError::new(
                ErrorCode::DeadlineExceeded,
                "the database took longer than allowed",
            ),
            Class::Check { .. } | Class::Other => ApiError::internal(),
        }
    }
}

/// Sorts an error of sqlx. SQLSTATE codes: <https://www.postgresql.org/docs/15/errcodes-appendix.html>.
fn class_of(error: &sqlx::Error) -> Class {
    match error {
        sqlx::Error::Database(database) => {
            let constraint = || database.constraint().unwrap_or_default().to_owned();
            match database.kind() {
                ErrorKind::UniqueViolation => {
                    return Class::Unique {
                        constraint: constraint(),
                    };
                }
                ErrorKind::ForeignKeyViolation => {
                    return Class::ForeignKey {
                        constraint: constraint(),
                    };
                }
                // The constraint of the default partition has no name: while the row waited, the partition that it
                // belongs to was made, and it will be found by the next try.
                ErrorKind::CheckViolation if database.constraint().is_none() => return Class::Retryable,
                ErrorKind::CheckViolation | ErrorKind::NotNullViolation => {
                    return Class::Check {
                        constraint: constraint(),
                    };
                }
                _ => {}
            }
            class_of_code(&database.code().unwrap_or_default())
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => Class::Unavailable,
        _ => Class::Other,
    }
}

fn class_of_code(code: &str) -> Class {
    match code {
        // serialization_failure, deadlock_detected
        "40001" | "40P01" => Class::Retryable,
        // query_canceled, lock_not_available, idle_in_transaction_session_timeout
        "57014" | "55P03" | "25P03" => Class::Timeout,
        // too_many_connections, admin_shutdown, crash_shutdown, cannot_connect_now, idle_session_timeout
        "53300" | "57P01" | "57P02" | "57P03" | "57P05" => Class::Unavailable,
        // connection exceptions
        code if code.starts_with("08") => Class::Unavailable,
        _ => Class::Other,
    }
}

/// Whether the server is gone or not ready, so that another connection may do.
pub(crate) fn is_connection_loss(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Protocol(_) => true,
        _ => class_of(error) == Class::Unavailable,
    }
}
