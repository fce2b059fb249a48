//! From events to deliveries: one transaction with the place in the stream, so that each event becomes each delivery once.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use store::{PipelineDb, StoreError, ToSqlx as _, Ts, Tx};
use uuid::Uuid;

use super::endpoints::{COLUMNS, Endpoint};

/// The name of the one place.
const NAME: &str = "events";
/// Rows that one statement inserts.
const PIECE: usize = 5_000;

/// An event that somebody gets.
pub struct Event {
    /// The organization.
    pub org: Uuid,
    /// Its body's id, a UUIDv7.
    pub body_id: Uuid,
    /// Its own id.
    pub id: Uuid,
    /// Its type.
    pub kind: String,
    /// What it is about.
    pub object: String,
    /// Its JSON.
    pub body: Vec<u8>,
}

/// A delivery of one event to one webhook.
pub struct Wanted {
    /// The delivery's id, a UUIDv7.
    pub id: Uuid,
    /// Which event, by index.
    pub event: usize,
    /// Which webhook.
    pub webhook: Uuid,
    /// Whether it is held, not sent.
    pub held: bool,
    /// Whether it waits for earlier ones of its object.
    pub ordered: bool,
}

/// The webhooks of these organizations.
pub async fn endpoints(tx: &mut Tx, orgs: &[Uuid]) -> Result<Vec<(Uuid, Endpoint)>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM webhooks t WHERE t.org_id = ANY($1) ORDER BY t.org_id, t.id");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(orgs)
        .fetch_all(&mut **tx)
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let org = sqlx::Row::try_get(&row, "org_id")?;
        found.push((org, sqlx::FromRow::from_row(&row)?));
    }
    Ok(found)
}

/// When the oldest webhook was made; `None` when there is none.
pub async fn oldest(db: &PipelineDb) -> Result<Option<Timestamp>, StoreError> {
    let mut tx = db.begin().await?;
    let oldest: Option<Ts> = sqlx::query_scalar("SELECT min(created_at) FROM webhooks")
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(oldest.map(Ts::to_jiff))
}

/// The place, empty before the first.
pub async fn load(db: &PipelineDb) -> Result<String, StoreError> {
    let mut tx = db.begin().await?;
    sqlx::query("INSERT INTO webhook_fanout (name, position) VALUES ($1, '') ON CONFLICT DO NOTHING")
        .bind(NAME)
        .execute(&mut *tx)
        .await?;
    let place = place(&mut tx).await?;
    tx.commit().await?;
    Ok(place)
}

/// The place, locked until the end of the transaction.
pub async fn place(tx: &mut Tx) -> Result<String, StoreError> {
    let place = sqlx::query_scalar("SELECT position FROM webhook_fanout WHERE name = $1 FOR UPDATE")
        .bind(NAME)
        .fetch_one(&mut **tx)
        .await?;
    Ok(place)
}

/// Stores the place.
pub async fn set_place(tx: &mut Tx, position: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE webhook_fanout SET position = $2 WHERE name = $1")
        .bind(NAME)
        .bind(position)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Stores events and deliveries, each with the next sequence of its webhook, in the order given. Deliveries to webhooks
/// that were deleted meanwhile are left out; returns how many were stored.
pub async fn insert(
    tx: &mut Tx,
    events: &[Event],
    wanted: &[Wanted],
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut counts = BTreeMap::<(Uuid, Uuid), (i64, bool)>::new();
    for one in wanted {
        let count = counts.entry((events[one.event].org, one.webhook)).or_default();
        count.0 += 1;
        count.1 |= !one.held;
    }
    let mut next = lanes(tx, &counts, now).await?;
    for piece in events.chunks(PIECE) {
        sqlx::query(
            "INSERT INTO webhook_bodies (org_id, id, body) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bytea[])",
        )
        .bind(piece.iter().map(|event| event.org).collect::<Vec<_>>())
        .bind(piece.iter().map(|event| event.body_id).collect::<Vec<_>>())
        .bind(piece.iter().map(|event| event.body.as_slice()).collect::<Vec<_>>())
        .execute(&mut **tx)
        .await?;
    }
    let mut stored = 0;
    for piece in wanted.chunks(PIECE) {
        let mut rows = Rows::default();
        for one in piece {
            let event = &events[one.event];
            if let Some(sequence) = next.get_mut(&(event.org, one.webhook)) {
                *sequence += 1;
                rows.push(event, one, *sequence);
            }
        }
        stored += rows.ids.len();
        rows.insert(tx, now).await?;
    }
    Ok(stored)
}

/// Reserves sequences and says that something is due; gives the last sequence before.
async fn lanes(
    tx: &mut Tx,
    counts: &BTreeMap<(Uuid, Uuid), (i64, bool)>,
    now: Timestamp,
) -> Result<HashMap<(Uuid, Uuid), i64>, StoreError> {
    let orgs: Vec<Uuid> = counts.keys().map(|(org, _)| *org).collect();
    let webhooks: Vec<Uuid> = counts.keys().map(|(_, webhook)| *webhook).collect();
    let numbers: Vec<i64> = counts.values().map(|(count, _)| *count).collect();
    let due: Vec<bool> = counts.values().map(|(_, due)| *due).collect();
    let rows: Vec<(Uuid, Uuid, i64)> = sqlx::query_as(
        "WITH given AS (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bool[]) AS g (org, hook, n, due)), \
         locked AS (SELECT l.org_id, l.webhook_id, g.n, g.due FROM webhook_lanes l JOIN given g ON l.org_id = g.org AND l.webhook_id = g.hook \
                    ORDER BY l.org_id, l.webhook_id FOR UPDATE OF l) \
         UPDATE webhook_lanes l SET last_sequence = l.last_sequence + k.n, \
             due_at = CASE WHEN k.due THEN LEAST(COALESCE(l.due_at, $5), $5) ELSE l.due_at END \
         FROM locked k WHERE l.org_id = k.org_id AND l.webhook_id = k.webhook_id \
         RETURNING l.org_id, l.webhook_id, l.last_sequence - k.n",
    )
    .bind(orgs)
    .bind(webhooks)
    .bind(numbers)
    .bind(due)
    .bind(now.to_sqlx())
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(org, hook, last)| ((org, hook), last))
        .collect())
}

/// Columns of deliveries.
#[derive(Default)]
struct Rows<'a> {
    orgs: Vec<Uuid>,
    ids: Vec<Uuid>,
    webhooks: Vec<Uuid>,
    bodies: Vec<Uuid>,
    events: Vec<Uuid>,
    kinds: Vec<&'a str>,
    objects: Vec<&'a str>,
    ordered: Vec<bool>,
    sequences: Vec<i64>,
    held: Vec<bool>,
}

impl<'a> Rows<'a> {
    fn push(&mut self, event: &'a Event, one: &Wanted, sequence: i64) {
        self.orgs.push(event.org);
        self.ids.push(one.id);
        self.webhooks.push(one.webhook);
        self.bodies.push(event.body_id);
        self.events.push(event.id);
        self.kinds.push(&event.kind);
        self.objects.push(&event.object);
        self.ordered.push(one.ordered);
        self.sequences.push(sequence);
        self.held.push(one.held);
    }

    async fn insert(self, tx: &mut Tx, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO webhook_deliveries (org_id, id, webhook_id, body_id, event_id, type, object, ordered, sequence, \
                 status, next_attempt_at, created_at) \
             SELECT g.org, g.id, g.hook, g.body, g.event, g.kind, g.object, g.ordered, g.sequence, \
                 CASE WHEN g.held THEN 'held' ELSE 'pending' END, CASE WHEN g.held THEN NULL ELSE $11::timestamptz END, $11 \
             FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::bool[], \
                 $9::bigint[], $10::bool[]) AS g (org, id, hook, body, event, kind, object, ordered, sequence, held)",
        )
        .bind(self.orgs)
        .bind(self.ids)
        .bind(self.webhooks)
        .bind(self.bodies)
        .bind(self.events)
        .bind(self.kinds)
        .bind(self.objects)
        .bind(self.ordered)
        .bind(self.sequences)
        .bind(self.held)
        .bind(now.to_sqlx())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}
