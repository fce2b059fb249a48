//! Recording attempts: many of them, of many webhooks, in one transaction.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use store::{StoreError, ToSqlx as _, Ts, Tx};
use uuid::Uuid;

use super::lanes::Lane;
use crate::webhooks::domain::stats::{BUCKETS, bucket};

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It was taken.
    Delivered,
    /// It is tried again at this time.
    Again(Timestamp),
    /// It is given up.
    GivenUp,
}

/// An attempt, as it is recorded.
#[derive(Debug, Clone)]
pub struct Record {
    /// Whose.
    pub lane: Lane,
    /// The attempt's id, a UUIDv7.
    pub id: Uuid,
    /// The delivery.
    pub delivery: Uuid,
    /// The event.
    pub event: Uuid,
    /// Its type.
    pub kind: String,
    /// Attempts of the schedule, this one included.
    pub step: i32,
    /// All attempts, this one included.
    pub number: i32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub took_ms: i32,
    /// HTTP status.
    pub status: Option<i32>,
    /// `delivered`, or what failed.
    pub outcome: &'static str,
    /// For a person.
    pub error: Option<String>,
    /// The beginning of the answer.
    pub response: Vec<u8>,
    /// What follows.
    pub next: Next,
    /// Whether the endpoint says that it is gone.
    pub gone: bool,
}

/// Writes the attempts, and what follows for their deliveries; gives the ids of the deliveries for which it was so. A delivery
/// whose attempt was recorded by somebody else meanwhile stays as it is.
pub async fn deliveries(
    tx: &mut Tx,
    records: &[Record],
    now: Timestamp,
) -> Result<HashSet<Uuid>, StoreError> {
    let all: Vec<&Record> = records.iter().collect();
    let mut done = settle(tx, &all, now).await?;
    if done.len() < records.len() {
        // A row that just moved to a partition made for it is not seen by a statement that began before; it is by the next.
        let left: Vec<&Record> = records.iter().filter(|r| !done.contains(&r.delivery)).collect();
        done.extend(settle(tx, &left, now).await?);
    }
    attempts(tx, records).await?;
    Ok(done)
}

/// Says of the deliveries what follows from their attempts; gives those for which it was so.
async fn settle(tx: &mut Tx, records: &[&Record], now: Timestamp) -> Result<HashSet<Uuid>, StoreError> {
    let status = |record: &&Record| match record.next {
        Next::Delivered => "delivered",
        Next::Again(_) => "pending",
        Next::GivenUp => "failed",
    };
    let again = |record: &&Record| match record.next {
        Next::Again(at) => Some(at.to_sqlx()),
        _ => None,
    };
    // What was held meanwhile stays held, unless it arrived.
    let done: Vec<Uuid> = sqlx::query_scalar(
        "WITH given AS (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[], $5::int[], $6::timestamptz[], \
             $7::int[], $8::text[]) AS g (org, id, status, step, number, next_at, http, error)), \
         locked AS (SELECT d.org_id, d.id, d.status AS was, g.status, g.step, g.number, g.next_at, g.http, g.error FROM webhook_deliveries d \
             JOIN given g ON d.org_id = g.org AND d.id = g.id WHERE d.status IN ('pending', 'held') AND d.attempts = g.number - 1 \
             ORDER BY d.org_id, d.id FOR UPDATE OF d) \
         UPDATE webhook_deliveries d SET status = CASE WHEN k.was = 'held' AND k.status = 'pending' THEN 'held' ELSE k.status END, \
             next_attempt_at = CASE WHEN k.was = 'held' THEN NULL ELSE k.next_at END, \
             step = k.step, attempts = k.number, last_status = k.http, last_error = k.error, \
             completed_at = CASE WHEN k.status = 'pending' THEN NULL ELSE $9::timestamptz END \
         FROM locked k WHERE d.org_id = k.org_id AND d.id = k.id RETURNING d.id",
    )
    .bind(records.iter().map(|r| r.lane.0).collect::<Vec<_>>())
    .bind(records.iter().map(|r| r.delivery).collect::<Vec<_>>())
    .bind(records.iter().map(status).collect::<Vec<_>>())
    .bind(records.iter().map(|r| r.step).collect::<Vec<_>>())
    .bind(records.iter().map(|r| r.number).collect::<Vec<_>>())
    .bind(records.iter().map(again).collect::<Vec<Option<Ts>>>())
    .bind(records.iter().map(|r| r.status).collect::<Vec<_>>())
    .bind(records.iter().map(|r| r.error.as_deref()).collect::<Vec<_>>())
    .bind(now.to_sqlx())
    .fetch_all(&mut **tx)
    .await?;
    Ok(done.into_iter().collect())
}

async fn attempts(tx: &mut Tx, records: &[Record]) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO webhook_attempts (org_id, id, delivery_id, number, started_at, took_ms, status, outcome, error, response) \
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::timestamptz[], $6::int[], $7::int[], \
             $8::text[], $9::text[], $10::bytea[])",
    )
    .bind(records.iter().map(|r| r.lane.0).collect::<Vec<_>>())
    .bind(records.iter().map(|r| r.id).collect::<Vec<_>>())
    .bind(records.iter().map(|r| r.delivery).collect::<Vec<_>>())
    .bind(records.iter().map(|r| r.number).collect::<Vec<_>>())
    .bind(records.iter().map(|r| r.started_at.to_sqlx()).collect::<Vec<Ts>>())
    .bind(records.iter().map(|r| r.took_ms).collect::<Vec<_>>())
    .bind(records.iter().map(|r| r.status).collect::<Vec<_>>())
    .bind(records.iter().map(|r| r.outcome).collect::<Vec<_>>())
    .bind(records.iter().map(|r| r.error.as_deref()).collect::<Vec<_>>())
    .bind(
        records
            .iter()
            .map(|r| (!r.response.is_empty()).then_some(r.response.as_slice()))
            .collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A webhook's record after its attempts.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Standing {
    /// Its organization.
    pub org_id: Uuid,
    /// Itself.
    pub webhook_id: Uuid,
    /// Since when everything fails.
    pub failing_since: Option<Ts>,
    /// Failures since then.
    pub failures: i64,
}

/// Counts failures since the last success; gives the standing of the webhooks that have some.
pub async fn standing(tx: &mut Tx, records: &[Record]) -> Result<Vec<Standing>, StoreError> {
    // By webhook: failures after the last success, when the first of them was, whether there was a success.
    let mut lanes = BTreeMap::<Lane, (i64, Option<Timestamp>, bool)>::new();
    for record in records {
        let lane = lanes.entry(record.lane).or_default();
        if record.next == Next::Delivered {
            *lane = (0, None, true);
        } else {
            lane.0 += 1;
            lane.1.get_or_insert(record.started_at);
        }
    }
    let failing = sqlx::query_as(
        "WITH given AS (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[], $5::bool[]) \
             AS g (org, hook, n, since, ok)), \
         locked AS (SELECT l.org_id, l.webhook_id, g.n, g.since, g.ok FROM webhook_lanes l \
             JOIN given g ON l.org_id = g.org AND l.webhook_id = g.hook WHERE g.n > 0 OR l.failures > 0 \
             ORDER BY l.org_id, l.webhook_id FOR UPDATE OF l) \
         UPDATE webhook_lanes l SET failures = CASE WHEN k.ok THEN 0 ELSE l.failures END + k.n, \
             failing_since = CASE WHEN k.ok THEN k.since ELSE COALESCE(l.failing_since, k.since) END \
         FROM locked k WHERE l.org_id = k.org_id AND l.webhook_id = k.webhook_id \
         RETURNING l.org_id, l.webhook_id, l.failing_since, l.failures",
    )
    .bind(lanes.keys().map(|lane| lane.0).collect::<Vec<_>>())
    .bind(lanes.keys().map(|lane| lane.1).collect::<Vec<_>>())
    .bind(lanes.values().map(|lane| lane.0).collect::<Vec<_>>())
    .bind(
        lanes
            .values()
            .map(|lane| lane.1.map(|at| at.to_sqlx()))
            .collect::<Vec<Option<Ts>>>(),
    )
    .bind(lanes.values().map(|lane| lane.2).collect::<Vec<_>>())
    .fetch_all(&mut **tx)
    .await?;
    Ok(failing)
}

#[derive(Default)]
struct Sums {
    succeeded: i64,
    failed: i64,
    exhausted: i64,
    took_ms: i64,
    longest_ms: i32,
    buckets: [i64; BUCKETS],
}

/// Adds the attempts to the hours' figures.
pub async fn stats(tx: &mut Tx, records: &[Record]) -> Result<(), StoreError> {
    let mut hours = BTreeMap::<(Lane, i64), Sums>::new();
    for record in records {
        let hour = record.started_at.as_second().div_euclid(3_600);
        let sums = hours.entry((record.lane, hour)).or_default();
        match record.next {
            Next::Delivered => sums.succeeded += 1,
            Next::Again(_) => sums.failed += 1,
            Next::GivenUp => {
                sums.failed += 1;
                sums.exhausted += 1;
            }
        }
        sums.took_ms += i64::from(record.took_ms);
        sums.longest_ms = sums.longest_ms.max(record.took_ms);
        sums.buckets[bucket(i64::from(record.took_ms))] += 1;
    }
    // In order of the keys, so that two processes wait for each other instead of deadlocking.
    for ((lane, hour), sums) in hours {
        sqlx::query(
            "INSERT INTO webhook_stats AS t (org_id, webhook_id, hour, succeeded, failed, exhausted, took_ms_sum, took_ms_max, buckets) \
             VALUES ($1, $2, to_timestamp($3), $4, $5, $6, $7, $8, $9) \
             ON CONFLICT (org_id, webhook_id, hour) DO UPDATE SET succeeded = t.succeeded + excluded.succeeded, \
                 failed = t.failed + excluded.failed, exhausted = t.exhausted + excluded.exhausted, \
                 took_ms_sum = t.took_ms_sum + excluded.took_ms_sum, took_ms_max = GREATEST(t.took_ms_max, excluded.took_ms_max), \
                 buckets = ARRAY(SELECT a + b FROM unnest(t.buckets, excluded.buckets) WITH ORDINALITY AS u (a, b, n) ORDER BY n)",
        )
        .bind(lane.0)
        .bind(lane.1)
        .bind(f64::from(u32::try_from(hour).unwrap_or(0)) * 3_600.0)
        .bind(sums.succeeded)
        .bind(sums.failed)
        .bind(sums.exhausted)
        .bind(sums.took_ms)
        .bind(sums.longest_ms)
        .bind(&sums.buckets[..])
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Disables a webhook, unless it is; gives its URL when it was not.
pub async fn disable(
    tx: &mut Tx,
    (org, webhook): Lane,
    reason: &str,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let url = sqlx::query_scalar(
        "UPDATE webhooks SET status = 'disabled', disabled_reason = $3, disabled_at = $4, updated_at = $4, version = version + 1 \
         WHERE org_id = $1 AND id = $2 AND status = 'enabled' RETURNING url",
    )
    .bind(org)
    .bind(webhook)
    .bind(reason)
    .bind(now.to_sqlx())
    .fetch_optional(&mut **tx)
    .await?;
    Ok(url)
}
