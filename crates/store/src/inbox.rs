//! Which messages a consumer has already taken into effect.
//!
//! Owns the table `inbox`. A claim commits with the effect, so that a redelivered message has none.

use std::collections::HashSet;

use jiff::Timestamp;
use uuid::Uuid;

use crate::{PipelineDb, StoreError, ToSqlx as _, Tx};

/// Rows per statement when old ones are deleted.
const PIECE: i64 = 5_000;

/// Claims message `id` for `consumer` in the caller's transaction: `true` the first time, `false` when its effect is
/// stored already. While another transaction holds the same claim uncommitted, this waits for its end.
///
/// # Errors
/// The wait exceeded the lock timeout; the database failed.
pub async fn claim(tx: &mut Tx, consumer: &str, id: Uuid) -> Result<bool, StoreError> {
    let done = sqlx::query("INSERT INTO inbox (consumer, message_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(consumer)
        .bind(id)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Claims many messages with one statement; returns those that are new, in the order given, each once.
///
/// # Errors
/// As [`claim`].
pub async fn claim_all(tx: &mut Tx, consumer: &str, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    // In one order, so that two consumers of overlapping messages wait for each other instead of deadlocking.
    let fresh: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO inbox (consumer, message_id)
         SELECT $1, id FROM unnest($2::uuid[]) AS given (id) GROUP BY id ORDER BY id
         ON CONFLICT DO NOTHING RETURNING message_id",
    )
    .bind(consumer)
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    let mut fresh: HashSet<Uuid> = fresh.into_iter().collect();
    Ok(ids.iter().copied().filter(|id| fresh.remove(id)).collect())
}

/// Deletes claims older than `before`, in pieces; returns how many.
///
/// # Errors
/// The database failed; what was deleted so far stays deleted.
pub async fn delete_before(db: &PipelineDb, before: Timestamp) -> Result<u64, StoreError> {
    let mut deleted = 0;
    loop {
        let piece = db
            .run(async |tx| {
                let done = sqlx::query(
                    "DELETE FROM inbox WHERE ctid = ANY (ARRAY(
                         SELECT ctid FROM inbox WHERE processed_at < $1 LIMIT $2))",
                )
                .bind(before.to_sqlx())
                .bind(PIECE)
                .execute(&mut **tx)
                .await?;
                Ok(done.rows_affected())
            })
            .await?;
        if piece == 0 {
            return Ok(deleted);
        }
        deleted += piece;
    }
}
