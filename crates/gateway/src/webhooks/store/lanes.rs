//! Lanes: who works on a webhook, what is due there.

use std::collections::HashMap;

use bytes::Bytes;
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use store::{PipelineDb, StoreError, ToSqlx as _, Ts, Tx};
use uuid::Uuid;

use super::endpoints::{COLUMNS, Endpoint};

/// A webhook of an organization.
pub type Lane = (Uuid, Uuid);

/// Lanes that are looked at for those to claim.
const LOOK: i64 = 1_000;

/// Claims lanes where something is due and that nobody works on, in turns by organization.
pub async fn claim(
    db: &PipelineDb,
    me: Uuid,
    most: usize,
    (now, until): (Timestamp, Timestamp),
) -> Result<Vec<Lane>, StoreError> {
    let mut tx = db.begin().await?;
    let claimed = sqlx::query_as(
        "WITH due AS (SELECT org_id, webhook_id, due_at FROM webhook_lanes \
             WHERE due_at <= $2 AND (leased_until IS NULL OR leased_until < $2) ORDER BY due_at LIMIT $5), \
         turns AS (SELECT org_id, webhook_id, due_at, row_number() OVER (PARTITION BY org_id ORDER BY due_at) AS turn FROM due), \
         locked AS (SELECT l.org_id, l.webhook_id FROM webhook_lanes l JOIN turns t USING (org_id, webhook_id) \
             WHERE l.due_at <= $2 AND (l.leased_until IS NULL OR l.leased_until < $2) \
             ORDER BY t.turn, t.due_at LIMIT $4 FOR UPDATE OF l SKIP LOCKED) \
         UPDATE webhook_lanes l SET leased_by = $1, leased_until = $3 FROM locked k \
         WHERE l.org_id = k.org_id AND l.webhook_id = k.webhook_id RETURNING l.org_id, l.webhook_id",
    )
    .bind(me)
    .bind(now.to_sqlx())
    .bind(until.to_sqlx())
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .bind(LOOK)
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(claimed)
}

/// Keeps lanes for longer; gives those that are still ours.
pub async fn renew(
    db: &PipelineDb,
    me: Uuid,
    lanes: &[Lane],
    until: Timestamp,
) -> Result<Vec<Lane>, StoreError> {
    let (orgs, hooks): (Vec<Uuid>, Vec<Uuid>) = lanes.iter().copied().unzip();
    let mut tx = db.begin().await?;
    let kept = sqlx::query_as(
        "WITH locked AS (SELECT l.org_id, l.webhook_id FROM webhook_lanes l \
             JOIN unnest($2::uuid[], $3::uuid[]) AS g (org, hook) ON l.org_id = g.org AND l.webhook_id = g.hook \
             WHERE l.leased_by = $1 ORDER BY l.org_id, l.webhook_id FOR UPDATE OF l) \
         UPDATE webhook_lanes l SET leased_until = $4 FROM locked k \
         WHERE l.org_id = k.org_id AND l.webhook_id = k.webhook_id RETURNING l.org_id, l.webhook_id",
    )
    .bind(me)
    .bind(orgs)
    .bind(hooks)
    .bind(until.to_sqlx())
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(kept)
}

/// Gives lanes back, each with the time when something is due there next. The rows are locked first and looked at in a
/// second statement, so that what is queued at the same time is either seen or waits for the lock and says so itself.
pub async fn release(db: &PipelineDb, me: Uuid, lanes: &[Lane]) -> Result<(), StoreError> {
    let (orgs, hooks): (Vec<Uuid>, Vec<Uuid>) = lanes.iter().copied().unzip();
    let mut tx = db.begin().await?;
    let mine: Vec<Lane> = sqlx::query_as(
        "SELECT l.org_id, l.webhook_id FROM webhook_lanes l \
         JOIN unnest($2::uuid[], $3::uuid[]) AS g (org, hook) ON l.org_id = g.org AND l.webhook_id = g.hook \
         WHERE l.leased_by = $1 ORDER BY l.org_id, l.webhook_id FOR UPDATE OF l",
    )
    .bind(me)
    .bind(orgs)
    .bind(hooks)
    .fetch_all(&mut *tx)
    .await?;
    let (orgs, hooks): (Vec<Uuid>, Vec<Uuid>) = mine.into_iter().unzip();
    sqlx::query(
        "UPDATE webhook_lanes l SET leased_by = NULL, leased_until = NULL, due_at = ( \
             SELECT d.next_attempt_at FROM webhook_deliveries d JOIN webhooks w ON w.org_id = d.org_id AND w.id = d.webhook_id \
             WHERE d.org_id = l.org_id AND d.webhook_id = l.webhook_id AND d.status = 'pending' AND w.status = 'enabled' \
               AND NOT (d.ordered AND EXISTS (SELECT FROM webhook_deliveries e WHERE e.org_id = d.org_id \
                   AND e.webhook_id = d.webhook_id AND e.object = d.object AND e.status = 'pending' AND e.ordered \
                   AND e.sequence < d.sequence)) \
             ORDER BY d.next_attempt_at LIMIT 1) \
         FROM unnest($1::uuid[], $2::uuid[]) AS g (org, hook) WHERE l.org_id = g.org AND l.webhook_id = g.hook",
    )
    .bind(orgs)
    .bind(hooks)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// What a lane is worked on with.
pub struct Work {
    /// The webhook.
    pub endpoint: Endpoint,
    /// What is due, in order.
    pub due: Vec<Due>,
}

/// A delivery that is due.
pub struct Due {
    /// Its id.
    pub id: Uuid,
    /// The event.
    pub event: Uuid,
    /// Its type.
    pub kind: String,
    /// Its sequence.
    pub sequence: i64,
    /// Attempts of the schedule made before.
    pub step: i32,
    /// All attempts made before.
    pub attempts: i32,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// The event's JSON; `None` when it is no longer kept.
    pub body: Option<Bytes>,
}

/// Reads the webhooks of these lanes and what is due there, at most so many each, without what is in hand already. Of ordered
/// ones only the first of each object. Webhooks that are deleted or disabled are left out.
pub async fn load(
    tx: &mut Tx,
    lanes: &[Lane],
    in_hand: &[Uuid],
    most: i64,
    now: Timestamp,
) -> Result<HashMap<Lane, Work>, StoreError> {
    let (orgs, hooks): (Vec<Uuid>, Vec<Uuid>) = lanes.iter().copied().unzip();
    let sql = format!(
        "SELECT {COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) AS g (org, hook) \
         JOIN webhooks t ON t.org_id = g.org AND t.id = g.hook WHERE t.status = 'enabled'"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(&orgs)
        .bind(&hooks)
        .fetch_all(&mut **tx)
        .await?;
    let mut work = HashMap::with_capacity(rows.len());
    for row in rows {
        let endpoint: Endpoint = sqlx::FromRow::from_row(&row)?;
        let lane = (row.try_get("org_id")?, endpoint.id);
        work.insert(
            lane,
            Work {
                endpoint,
                due: Vec::new(),
            },
        );
    }
    let rows = sqlx::query(
        "SELECT d.* FROM unnest($1::uuid[], $2::uuid[]) AS g (org, hook) CROSS JOIN LATERAL ( \
             SELECT d.org_id, d.webhook_id, d.id, d.event_id, d.type, d.sequence, d.step, d.attempts, d.created_at, d.body_id \
             FROM webhook_deliveries d WHERE d.org_id = g.org AND d.webhook_id = g.hook AND d.status = 'pending' \
               AND d.next_attempt_at <= $3 AND d.id <> ALL($4) \
               AND NOT (d.ordered AND EXISTS (SELECT FROM webhook_deliveries e WHERE e.org_id = d.org_id \
                   AND e.webhook_id = d.webhook_id AND e.object = d.object AND e.status = 'pending' AND e.ordered \
                   AND e.sequence < d.sequence)) \
             ORDER BY d.next_attempt_at, d.sequence LIMIT $5) d",
    )
    .bind(&orgs)
    .bind(&hooks)
    .bind(now.to_sqlx())
    .bind(in_hand)
    .bind(most)
    .fetch_all(&mut **tx)
    .await?;
    let bodies = bodies(tx, &rows).await?;
    for row in rows {
        let org: Uuid = row.try_get("org_id")?;
        let Some(work) = work.get_mut(&(org, row.try_get("webhook_id")?)) else {
            continue;
        };
        work.due.push(Due {
            id: row.try_get("id")?,
            event: row.try_get("event_id")?,
            kind: row.try_get("type")?,
            sequence: row.try_get("sequence")?,
            step: row.try_get("step")?,
            attempts: row.try_get("attempts")?,
            created_at: row.try_get::<Ts, _>("created_at")?.to_jiff(),
            body: bodies.get(&(org, row.try_get("body_id")?)).cloned(),
        });
    }
    Ok(work)
}

/// The bodies of deliveries, by organization and id.
async fn bodies(tx: &mut Tx, deliveries: &[PgRow]) -> Result<HashMap<(Uuid, Uuid), Bytes>, StoreError> {
    let mut keys = deliveries
        .iter()
        .map(|row| Ok((row.try_get("org_id")?, row.try_get("body_id")?)))
        .collect::<Result<Vec<(Uuid, Uuid)>, sqlx::Error>>()?;
    keys.sort_unstable();
    keys.dedup();
    let (orgs, ids): (Vec<Uuid>, Vec<Uuid>) = keys.into_iter().unzip();
    let rows: Vec<(Uuid, Uuid, Vec<u8>)> = sqlx::query_as(
        "SELECT b.org_id, b.id, b.body FROM unnest($1::uuid[], $2::uuid[]) AS g (org, id) \
         JOIN webhook_bodies b ON b.org_id = g.org AND b.id = g.id",
    )
    .bind(orgs)
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    let found = rows.into_iter().map(|(org, id, body)| ((org, id), body.into()));
    Ok(found.collect())
}
