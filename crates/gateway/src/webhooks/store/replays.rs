//! Ranges of deliveries that are sent again, worked off in pieces.

use contracts::convert;
use contracts::webhooks::v1 as wire;
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use store::{OrgScope, PipelineDb, StoreError, ToSqlx as _, Ts, Tx};
use uuid::Uuid;

use super::queue;

/// Deliveries that one transaction queues again.
const PIECE: i64 = 1_000;

/// A replay as told.
pub struct Replay(pub wire::WebhookReplay);

impl FromRow<'_, PgRow> for Replay {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let time = |column: &str| {
            let at = row.try_get::<Option<Ts>, _>(column)?;
            Ok::<_, sqlx::Error>(at.map(|at| convert::timestamp(at.to_jiff())))
        };
        let completed_at = time("completed_at")?;
        Ok(Self(wire::WebhookReplay {
            id: row.try_get::<Uuid, _>("id")?.to_string(),
            webhook_id: row.try_get::<Uuid, _>("webhook_id")?.to_string(),
            from: time("from_at")?,
            to: time("to_at")?,
            statuses: row.try_get("statuses")?,
            types: row.try_get("types")?,
            status: if completed_at.is_some() { "done" } else { "running" }.to_owned(),
            requeued: row.try_get("requeued")?,
            created_at: time("created_at")?,
            completed_at,
        }))
    }
}

/// A replay that is asked for.
pub struct NewReplay<'a> {
    /// Its id.
    pub id: Uuid,
    /// The webhook.
    pub webhook: Uuid,
    /// Recorded from, and before.
    pub range: (Timestamp, Timestamp),
    /// With one of these statuses.
    pub statuses: &'a [String],
    /// Of one of these types; empty means all.
    pub types: &'a [String],
    /// Now.
    pub at: Timestamp,
}

/// Stores it. What is recorded from now on is not part of it.
pub async fn insert(tx: &mut Tx, scope: &OrgScope, new: &NewReplay<'_>) -> Result<Replay, StoreError> {
    let made = sqlx::query_as(
        "INSERT INTO webhook_replays (org_id, id, webhook_id, from_at, to_at, statuses, types, last_sequence, created_at) \
         SELECT $1, $2, $3, $4, $5, $6, $7, l.last_sequence, $8 FROM webhook_lanes l WHERE l.org_id = $1 AND l.webhook_id = $3 \
         RETURNING *",
    )
    .bind(scope.uuid())
    .bind(new.id)
    .bind(new.webhook)
    .bind(new.range.0.to_sqlx())
    .bind(new.range.1.to_sqlx())
    .bind(new.statuses)
    .bind(new.types)
    .bind(new.at.to_sqlx())
    .fetch_one(&mut **tx)
    .await?;
    Ok(made)
}

/// Reads one.
pub async fn read(
    tx: &mut Tx,
    scope: &OrgScope,
    webhook: Uuid,
    id: Uuid,
) -> Result<Option<Replay>, StoreError> {
    let found =
        sqlx::query_as("SELECT * FROM webhook_replays WHERE org_id = $1 AND webhook_id = $2 AND id = $3")
            .bind(scope.uuid())
            .bind(webhook)
            .bind(id)
            .fetch_optional(&mut **tx)
            .await?;
    Ok(found)
}

/// Queues the next piece of some running replay again, in one transaction with its progress; `false` when none runs.
pub async fn work(db: &PipelineDb, now: Timestamp) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    let row = sqlx::query(
        "SELECT r.* FROM webhook_replays r JOIN webhooks w ON w.org_id = r.org_id AND w.id = r.webhook_id \
         WHERE r.completed_at IS NULL AND w.status = 'enabled' ORDER BY r.created_at LIMIT 1 FOR UPDATE OF r SKIP LOCKED",
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else {
        tx.rollback().await;
        return Ok(false);
    };
    let (org, id): (Uuid, Uuid) = (row.try_get("org_id")?, row.try_get("id")?);
    let webhook: Uuid = row.try_get("webhook_id")?;
    let after: i64 = row.try_get("after_sequence")?;
    let last: i64 = row.try_get("last_sequence")?;
    let until = last.min(after + PIECE);
    // The sequence is gap-free, so a piece of it is a bounded number of rows.
    let queued = sqlx::query(
        "UPDATE webhook_deliveries SET status = 'pending', step = 0, next_attempt_at = $8, completed_at = NULL \
         WHERE org_id = $1 AND webhook_id = $2 AND sequence > $3 AND sequence <= $4 AND status = ANY($5) \
           AND (cardinality($6::text[]) = 0 OR type = ANY($6)) AND created_at >= $7 AND created_at < $9",
    )
    .bind(org)
    .bind(webhook)
    .bind(after)
    .bind(until)
    .bind(row.try_get::<Vec<String>, _>("statuses")?)
    .bind(row.try_get::<Vec<String>, _>("types")?)
    .bind(row.try_get::<Ts, _>("from_at")?)
    .bind(now.to_sqlx())
    .bind(row.try_get::<Ts, _>("to_at")?)
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if queued > 0 {
        queue::due(&mut tx, org, webhook, now).await?;
    }
    sqlx::query(
        "UPDATE webhook_replays SET after_sequence = $3, requeued = requeued + $4, \
             completed_at = CASE WHEN $3 >= last_sequence THEN $5::timestamptz END WHERE org_id = $1 AND id = $2",
    )
    .bind(org)
    .bind(id)
    .bind(until)
    .bind(i64::try_from(queued).unwrap_or(i64::MAX))
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(true)
}
