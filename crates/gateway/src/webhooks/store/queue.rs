//! Putting deliveries into a webhook's queue by hand, and holding those of a disabled one.

use jiff::Timestamp;
use store::{StoreError, ToSqlx as _, Tx};
use uuid::Uuid;

/// Rows that one statement holds.
const PIECE: i64 = 5_000;

/// A delivery that nobody but an operator caused.
pub struct Single<'a> {
    /// The organization.
    pub org: Uuid,
    /// The webhook.
    pub webhook: Uuid,
    /// The delivery's id, and its body's.
    pub ids: (Uuid, Uuid),
    /// The event.
    pub event: Uuid,
    /// Its type.
    pub kind: &'a str,
    /// Its JSON.
    pub body: &'a [u8],
    /// Now.
    pub at: Timestamp,
}

/// Queues one delivery behind all others.
pub async fn push(tx: &mut Tx, single: &Single<'_>) -> Result<(), StoreError> {
    let sequence: i64 = sqlx::query_scalar(
        "UPDATE webhook_lanes SET last_sequence = last_sequence + 1, due_at = LEAST(COALESCE(due_at, $3), $3) \
         WHERE org_id = $1 AND webhook_id = $2 RETURNING last_sequence",
    )
    .bind(single.org)
    .bind(single.webhook)
    .bind(single.at.to_sqlx())
    .fetch_one(&mut **tx)
    .await?;
    sqlx::query("INSERT INTO webhook_bodies (org_id, id, body) VALUES ($1, $2, $3)")
        .bind(single.org)
        .bind(single.ids.1)
        .bind(single.body)
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "INSERT INTO webhook_deliveries (org_id, id, webhook_id, body_id, event_id, type, object, ordered, sequence, \
             status, next_attempt_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, false, $8, 'pending', $9, $9)",
    )
    .bind(single.org)
    .bind(single.ids.0)
    .bind(single.webhook)
    .bind(single.ids.1)
    .bind(single.event)
    .bind(single.kind)
    .bind(single.webhook.to_string())
    .bind(sequence)
    .bind(single.at.to_sqlx())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Queues a delivery again, with all attempts anew; `false` when there is none.
pub async fn again(
    tx: &mut Tx,
    (org, webhook, delivery): (Uuid, Uuid, Uuid),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE webhook_deliveries SET status = 'pending', step = 0, next_attempt_at = $4, completed_at = NULL \
         WHERE org_id = $1 AND webhook_id = $2 AND id = $3",
    )
    .bind(org)
    .bind(webhook)
    .bind(delivery)
    .bind(now.to_sqlx())
    .execute(&mut **tx)
    .await?;
    due(tx, org, webhook, now).await?;
    Ok(done.rows_affected() == 1)
}

/// Says that something is due on a lane.
pub async fn due(tx: &mut Tx, org: Uuid, webhook: Uuid, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE webhook_lanes SET due_at = LEAST(COALESCE(due_at, $3), $3) WHERE org_id = $1 AND webhook_id = $2",
    )
    .bind(org)
    .bind(webhook)
    .bind(now.to_sqlx())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Holds what waits for a webhook, a piece of it; returns how many.
pub async fn hold(tx: &mut Tx, org: Uuid, webhook: Uuid) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE webhook_deliveries SET status = 'held', next_attempt_at = NULL WHERE org_id = $1 AND id IN \
             (SELECT id FROM webhook_deliveries WHERE org_id = $1 AND webhook_id = $2 AND status = 'pending' \
              ORDER BY id LIMIT $3) AND status = 'pending'",
    )
    .bind(org)
    .bind(webhook)
    .bind(PIECE)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}
