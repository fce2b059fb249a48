//! Lists on a million signals and a hundred thousand accounts: every page as quick as the first.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use super::report::{Results, Row};
use crate::load::http::{Connection, get};
use crate::system::System;

/// Pages read of each list.
const PAGES: usize = 400;

/// What is there, before lists are measured.
pub const SIGNALS: i64 = 1_000_000;
/// Likewise.
pub const ACCOUNTS: i64 = 100_000;

/// Copies what the load left until there are enough rows, below the API: the lists do not care how rows came.
pub async fn fill(pool: &PgPool, org: &str) -> anyhow::Result<()> {
    let org = uuid::Uuid::parse_str(org)?;
    let (signals,): (i64,) = sqlx::query_as("SELECT count(*) FROM signal_ingest.signals")
        .fetch_one(pool)
        .await?;
    sqlx::query(
        "INSERT INTO signal_ingest.signals
             (org_id, id, occurred_at, received_at, batch_id, type, account_id, actor_id, idempotency_key, metadata)
         SELECT $1, gen_random_uuid(), now() - random() * interval '300 days', now(), gen_random_uuid(), 'api_call',
                gen_random_uuid(), gen_random_uuid(), 'fill-' || n, '{\"endpoint\": \"/v1/query\"}'
         FROM generate_series(1, $2) n",
    )
    .bind(org)
    .bind((SIGNALS - signals).max(0))
    .execute(pool)
    .await?;
    let (accounts,): (i64,) = sqlx::query_as("SELECT count(*) FROM crm.accounts")
        .fetch_one(pool)
        .await?;
    fill_accounts(pool, org, (ACCOUNTS - accounts).max(0)).await?;
    sqlx::raw_sql("ANALYZE signal_ingest.signals; ANALYZE crm.accounts")
        .execute(pool)
        .await?;
    Ok(())
}

/// Copies of one account that the system made itself, so that this file does not know crm's columns.
async fn fill_accounts(pool: &PgPool, org: uuid::Uuid, count: i64) -> anyhow::Result<()> {
    let (columns,): (String,) = sqlx::query_as(
        "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
         WHERE table_schema = 'crm' AND table_name = 'accounts' AND is_generated = 'NEVER'",
    )
    .fetch_one(pool)
    .await?;
    sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO crm.accounts ({columns})
         SELECT {columns} FROM (SELECT (jsonb_populate_record(one.account, jsonb_build_object(
             'id', gen_random_uuid(), 'name', 'Filled ' || n, 'domain', 'filled' || n || '.example', 'github_org', NULL,
             'score', (n * 7919) % 101))).*
         FROM (SELECT account FROM crm.accounts account WHERE org_id = $1 LIMIT 1) one, generate_series(1, $2) n) filled",
    )))
    .bind(org)
    .bind(count)
    .execute(pool)
    .await?;
    Ok(())
}

/// Walks each list and measures every page.
pub async fn measure(system: &System, results: &mut Results) -> anyhow::Result<()> {
    for (name, path) in [
        ("GET /signals", "/api/v1/signals?limit=50"),
        (
            "GET /signals?filter[type]",
            "/api/v1/signals?limit=50&filter[type]=api_call",
        ),
        ("GET /accounts by score", "/api/v1/accounts?limit=50"),
        ("GET /accounts by name", "/api/v1/accounts?limit=50&sort=name"),
        ("GET /contacts", "/api/v1/contacts?limit=50"),
    ] {
        let (all, first, last) = walk(system, path).await?;
        let ms = |h: &Histogram<u64>, p: f64| h.value_at_percentile(p) as f64 / 1000.0;
        results.add(Row {
            what: format!("{name}, {} pages of 50", all.len()),
            measured: format!(
                "p50 {:.1} ms, p95 {:.1} ms; first tenth p95 {:.1} ms, last tenth {:.1} ms",
                ms(&all, 50.0),
                ms(&all, 95.0),
                ms(&first, 95.0),
                ms(&last, 95.0)
            ),
            ceiling: "–".into(),
            ratio: None,
            goal: "p95 ≤ 20 ms, flat".into(),
            reached: ms(&all, 95.0) <= 20.0 && ms(&last, 95.0) <= 20.0,
        });
    }
    Ok(())
}

async fn walk(
    system: &System,
    path: &str,
) -> anyhow::Result<(Histogram<u64>, Histogram<u64>, Histogram<u64>)> {
    let mut connection = Connection::open(system.host()).await?;
    let mut times: Vec<Duration> = Vec::new();
    let mut next = path.to_owned();
    while times.len() < PAGES {
        let started = Instant::now();
        let answer = connection
            .send(&get(system.host(), &next, &system.endpoints.api_key))
            .await?;
        times.push(started.elapsed());
        anyhow::ensure!(
            answer.status == 200,
            "{next}: {}",
            String::from_utf8_lossy(&answer.body)
        );
        let page: Value = serde_json::from_slice(&answer.body)?;
        let Some(cursor) = page["nextCursor"].as_str() else {
            break;
        };
        next = format!("{path}&cursor={cursor}");
    }
    let tenth = times.len().div_ceil(10);
    let histogram = |times: &[Duration]| -> anyhow::Result<Histogram<u64>> {
        let mut histogram = Histogram::new(3)?;
        for time in times {
            histogram.record(u64::try_from(time.as_micros())?)?;
        }
        Ok(histogram)
    };
    Ok((
        histogram(&times)?,
        histogram(&times[..tenth])?,
        histogram(&times[times.len() - tenth..])?,
    ))
}
