//! What the upkeep asks and clears.

use jiff::Timestamp;
use store::{PipelineDb, StoreError, ToSqlx as _, Ts};
use uuid::Uuid;

use super::queue;

/// Disabled webhooks that are looked at in one go.
const LOOK: i64 = 100;
/// Rows deleted at once.
const PIECE: i64 = 5_000;

/// Holds a piece of what waits for disabled webhooks; whether there was any.
pub async fn hold_leftovers(db: &PipelineDb) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    let found: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "SELECT w.org_id, w.id FROM webhooks w WHERE w.status = 'disabled' AND EXISTS ( \
             SELECT FROM webhook_deliveries d WHERE d.org_id = w.org_id AND d.webhook_id = w.id AND d.status = 'pending') \
         ORDER BY w.org_id, w.id LIMIT $1 FOR UPDATE OF w SKIP LOCKED",
    )
    .bind(LOOK)
    .fetch_all(&mut *tx)
    .await?;
    let mut held = 0;
    for (org, webhook) in found {
        held += queue::hold(&mut tx, org, webhook).await?;
    }
    tx.commit().await?;
    Ok(held > 0)
}

/// How many deliveries wait, and for how many seconds the oldest is due.
pub async fn depth(db: &PipelineDb, now: Timestamp) -> Result<(i64, i64), StoreError> {
    let mut tx = db.begin().await?;
    let (pending, oldest): (i64, Option<Ts>) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM webhook_deliveries WHERE status = 'pending'), \
                (SELECT min(due_at) FROM webhook_lanes WHERE due_at <= $1)",
    )
    .bind(now.to_sqlx())
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    let age = oldest.map_or(0, |at| now.duration_since(at.to_jiff()).as_secs());
    Ok((pending, age))
}

/// Deletes hours' figures before this time.
pub async fn delete_old(db: &PipelineDb, before: Timestamp) -> Result<(), StoreError> {
    loop {
        let mut tx = db.begin().await?;
        let done = sqlx::query(
            "DELETE FROM webhook_stats WHERE ctid = ANY (ARRAY(SELECT ctid FROM webhook_stats WHERE hour < $1 LIMIT $2))",
        )
        .bind(before.to_sqlx())
        .bind(PIECE)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        if done.rows_affected() == 0 {
            return Ok(());
        }
    }
}
