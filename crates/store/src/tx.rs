//! The one transaction type. Everything a service reads or writes goes through it.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Executor as _, PgConnection};
use tokio::sync::Notify;

use crate::error::is_connection_loss;
use crate::pool::Checkout;
use crate::settings::Role;
use crate::{DbSettings, StoreError};

/// Client-side limits, for a server that no longer answers and so cannot keep its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For one statement of our own.
    pub(crate) statement: Duration,
}

impl Limits {
    pub(crate) fn new(settings: &DbSettings, role: Role) -> Self {
        let factor = if role == Role::Owner { 12 } else { 1 };
        // Twice the server's limit: the server's own, better explained error comes first.
        Self {
            statement: Duration::from_millis(settings.statement_timeout_ms.saturating_mul(2 * factor)),
        }
    }
}

/// An open transaction. `&mut *tx` is a sqlx executor. Dropped without [`Tx::commit`] or [`Tx::rollback`], also by a
/// cancelled future or a panic, it closes its connection, and the server rolls back.
///
/// Do not call sqlx's own `begin` on it: there are no savepoints here; sqlx's commit would end this transaction, and
/// [`Tx::commit`] then fails.
#[must_use = "a transaction that is dropped is rolled back"]
pub struct Tx {
    checkout: Checkout,
    limits: Limits,
    poke: Arc<Notify>,
    told: bool,
}

/// Ends the transaction, if it is still open and sound. In a transaction that failed, or was ended by hand, `SAVEPOINT`
/// is an error, and `COMMIT` is not reached; `COMMIT` alone would answer `ROLLBACK` there, without any error.
const COMMIT: &str = "SAVEPOINT still_open; COMMIT";

impl Tx {
    pub(crate) fn new(checkout: Checkout, limits: Limits, poke: Arc<Notify>) -> Self {
        Self {
            checkout,
            limits,
            poke,
            told: false,
        }
    }

    /// Stores everything. Wakes the relay if events were enqueued.
    ///
    /// # Errors
    /// [`StoreError::NotOpen`]: a statement had failed before, nothing is stored. [`StoreError::CommitUnknown`]: the
    /// connection was lost in the middle. Deferred constraints and serialization failures as [`StoreError::Sql`],
    /// nothing is stored.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        let limit = self.limits.statement;
        match tokio::time::timeout(limit, self.checkout.execute(COMMIT)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) if is_not_open(&error) => return Err(StoreError::NotOpen(error)),
            Ok(Err(error)) if is_connection_loss(&error) => return Err(StoreError::CommitUnknown(error)),
            Ok(Err(error)) => return Err(StoreError::Sql(error)),
            Err(_) => return Err(StoreError::CommitUnknown(timed_out(limit))),
        }
        self.checkout.give_back();
        if self.told {
            self.poke.notify_one();
        }
        Ok(())
    }

    /// Undoes everything and gives the connection back. Cheaper than dropping, which closes it.
    pub async fn rollback(mut self) {
        let ended = tokio::time::timeout(self.limits.statement, self.checkout.execute("ROLLBACK")).await;
        if matches!(ended, Ok(Ok(_))) {
            self.checkout.give_back();
        }
    }

    /// Notes that events were enqueued.
    pub(crate) fn tell(&mut self) {
        self.told = true;
    }
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.checkout
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.checkout
    }
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx")
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

/// `no_active_sql_transaction` and `in_failed_sql_transaction`.
fn is_not_open(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|e| e.code())
        .is_some_and(|code| matches!(&*code, "25P01" | "25P02"))
}

/// The error of a server that did not answer in time.
pub(crate) fn timed_out(limit: Duration) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        format!("the database did not answer within {} ms", limit.as_millis()),
    ))
}
