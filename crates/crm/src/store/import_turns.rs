//! Who works on an import.
//!
//! Contract: an import that is worked on has an epoch. Whoever works takes the row with a new epoch, and every transaction of the work
//! holds the row, as it was, until its end: so nothing is written by a worker that lost its turn, nor after a cancellation.

use ::store::{OrgScope, ToSqlx as _, Tx};
use ids::OrgId;
use uuid::Uuid;

use super::Records;
use crate::error::CrmError;

/// A turn at an import.
#[derive(Debug, Clone)]
pub struct Turn {
    /// The organization.
    pub scope: OrgScope,
    /// The import.
    pub import: Uuid,
    /// Which turn.
    pub epoch: i64,
    /// `committing` or `undoing`.
    pub state: String,
}

impl Turn {
    /// Holds the import as it is until the end of the transaction. False when the turn is over.
    pub(super) async fn hold(&self, tx: &mut Tx) -> Result<bool, CrmError> {
        let held: Option<i32> = sqlx::query_scalar(
            "SELECT 1 FROM imports WHERE org_id = $1 AND id = $2 AND epoch = $3 AND state = $4 FOR SHARE",
        )
        .bind(self.scope.uuid())
        .bind(self.import)
        .bind(self.epoch)
        .bind(&self.state)
        .fetch_optional(&mut **tx)
        .await?;
        Ok(held.is_some())
    }
}

/// Ends a transaction of an import: what was done stays, unless it failed or is of a preview, which has no turn.
pub(super) async fn settle<T>(turn: Option<&Turn>, tx: Tx, done: Result<T, CrmError>) -> Result<T, CrmError> {
    if turn.is_some() && done.is_ok() {
        tx.commit().await?;
    } else {
        tx.rollback().await;
    }
    done
}

impl Records {
    /// Takes the turn at an import that waits, or whose worker went silent.
    ///
    /// # Errors
    /// Of the database.
    pub async fn take_turn(&self, lease_secs: f64) -> Result<Option<Turn>, CrmError> {
        let mut tx = self.pipeline.begin().await?;
        let row: Option<(Uuid, Uuid, i64, String)> = sqlx::query_as(
            "UPDATE imports t SET epoch = t.epoch + 1, leased_until = clock_timestamp() + make_interval(secs => $1) \
             FROM (SELECT org_id, id FROM imports WHERE state IN ('committing', 'undoing') \
                   AND (leased_until IS NULL OR leased_until < clock_timestamp()) \
                   ORDER BY leased_until NULLS FIRST, id LIMIT 1 FOR UPDATE SKIP LOCKED) w \
             WHERE t.org_id = w.org_id AND t.id = w.id RETURNING t.org_id, t.id, t.epoch, t.state",
        )
        .bind(lease_secs)
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(row.map(|(org, import, epoch, state)| Turn {
            scope: OrgScope::new(OrgId(org)),
            import,
            epoch,
            state,
        }))
    }

    /// Notes progress and keeps the turn. False when it is over.
    ///
    /// # Errors
    /// Of the database.
    pub async fn keep_turn(
        &self,
        turn: &Turn,
        chunks_done: i32,
        rows: i64,
        lease_secs: f64,
    ) -> Result<bool, CrmError> {
        let mut tx = self.db.begin(&turn.scope).await?;
        let done = sqlx::query(
            "UPDATE imports SET chunks_done = $5, rows_done = least(rows, rows_done + $6), \
             leased_until = clock_timestamp() + make_interval(secs => $7) \
             WHERE org_id = $1 AND id = $2 AND epoch = $3 AND state = $4",
        )
        .bind(turn.scope.uuid())
        .bind(turn.import)
        .bind(turn.epoch)
        .bind(&turn.state)
        .bind(chunks_done)
        .bind(rows)
        .bind(lease_secs)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends a turn: the import is in state `to` then.
    ///
    /// # Errors
    /// Of the database.
    pub async fn end_turn(&self, turn: &Turn, to: &str, failure: Option<&str>) -> Result<(), CrmError> {
        let mut tx = self.db.begin(&turn.scope).await?;
        sqlx::query(
            "UPDATE imports SET state = $5, failure = $6, leased_until = NULL, updated_at = $7, version = version + 1 \
             WHERE org_id = $1 AND id = $2 AND epoch = $3 AND state = $4",
        )
        .bind(turn.scope.uuid())
        .bind(turn.import)
        .bind(turn.epoch)
        .bind(&turn.state)
        .bind(to)
        .bind(failure)
        .bind(self.now().to_sqlx())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}
