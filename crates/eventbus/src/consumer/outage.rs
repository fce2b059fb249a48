//! Telling a message that cannot be handled from a database that cannot be reached: an outage must not use up attempts.

use store::{Class, StoreError};

use super::{Handler, Worker};

impl<H: Handler> Worker<H> {
    /// Whether `error` came of the service's own database being away, by what it says or by asking the database.
    pub(crate) async fn is_outage(&self, error: &anyhow::Error) -> bool {
        // Asked second: a database that was away a moment ago may be back already.
        says_unreachable(error) || self.database_is_away().await
    }

    async fn database_is_away(&self) -> bool {
        match self.stores.pipeline.begin().await {
            Ok(tx) => {
                tx.rollback().await;
                false
            }
            Err(error) => error.class() == Class::Unavailable,
        }
    }
}

/// Looks for a lost or refused connection among the causes. Errors that show their cause as themselves
/// (`#[error(transparent)]`) hide a [`StoreError`], but not what it was made of.
fn says_unreachable(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let by_store = cause.downcast_ref::<StoreError>().map(StoreError::class);
        by_store == Some(Class::Unavailable)
            || cause
                .downcast_ref::<sqlx::Error>()
                .is_some_and(is_connection_loss)
    })
}

fn is_connection_loss(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        // Connection exceptions, and a server that is stopping or starting:
        // https://www.postgresql.org/docs/15/errcodes-appendix.html
        sqlx::Error::Database(database) => database
            .code()
            .is_some_and(|code| code.starts_with("08") || code.starts_with("57P0")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Wrapped {
        #[error(transparent)]
        Transparent(StoreError),
        #[error("with words of its own")]
        Named(#[source] StoreError),
    }

    fn refused() -> StoreError {
        StoreError::Sql(sqlx::Error::Io(std::io::ErrorKind::ConnectionRefused.into()))
    }

    #[test]
    fn an_unreachable_database_is_recognised_however_it_is_wrapped() {
        let waited = StoreError::Acquire {
            waited_ms: 1,
            source: None,
        };
        let errors: [anyhow::Error; 5] = [
            refused().into(),
            waited.into(),
            Wrapped::Transparent(refused()).into(),
            Wrapped::Named(refused()).into(),
            anyhow::Error::from(Wrapped::Named(refused())).context("more words"),
        ];
        for error in errors {
            assert!(says_unreachable(&error), "{error:#}");
        }
    }

    #[test]
    fn other_failures_are_the_messages_own() {
        let errors: [anyhow::Error; 3] = [
            anyhow::anyhow!("no connection to anything"),
            StoreError::Sql(sqlx::Error::RowNotFound).into(),
            StoreError::Misuse("x".into()).into(),
        ];
        for error in errors {
            assert!(!says_unreachable(&error), "{error:#}");
        }
    }
}
