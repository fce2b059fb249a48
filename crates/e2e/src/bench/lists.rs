//! Lists on a million signals and a hundred thousand accounts: every page as quick as the first.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use super::report::{Results, Row};
use crate::load::http::{Connection, get};
use crate::system::System;

/// What is there, before lists are measured.
const SIGNALS: i64 = 1_000_000;
/// Likewise.
const ACCOUNTS: i64 = 100_000;
/// Likewise.
const CONTACTS: i64 = 1_000_000;

/// Longest wait for the first account to be scored.
const FIRST_ACCOUNT: Duration = Duration::from_secs(30);

/// Copies what the system made itself until there are enough rows, below the API: the lists do not care how rows came.
pub async fn fill(system: &System, pool: &PgPool) -> anyhow::Result<()> {
    one_account(system).await?;
    let org = uuid::Uuid::parse_str(&system.endpoints.org_id)?;
    for (table, count, made) in [
        (
            "signal_ingest.signals",
            SIGNALS,
            // UUIDv7 of the last hours, so that they lie in the partition that they would lie in.
            "'id', lpad(to_hex((extract(epoch FROM now() - random() * interval '6 hours') * 1000)::bigint), 12, '0')
                   || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14),
             'idempotency_key', 'fill-' || n, 'occurred_at', now() - random() * interval '300 days'",
        ),
        (
            "crm.accounts",
            ACCOUNTS,
            "'name', 'Filled ' || n, 'name_key', 'filled ' || n, 'domain', 'filled' || n || '.example',
             'github_org', NULL, 'score', (n * 7919) % 101, 'created_at', now() - random() * interval '300 days'",
        ),
        (
            "crm.contacts",
            CONTACTS,
            "'name', 'Filled ' || n, 'name_key', 'filled ' || n, 'email', 'dev' || n || '@filled.example',
             'last_seen_at', now() - random() * interval '300 days', 'created_at', now() - random() * interval '300 days'",
        ),
    ] {
        copy_one(pool, org, table, count, made).await?;
    }
    sqlx::raw_sql("ANALYZE signal_ingest.signals; ANALYZE crm.accounts; ANALYZE crm.contacts")
        .execute(pool)
        .await?;
    Ok(())
}

/// Sends a signal of a company and waits until its account is scored.
async fn one_account(system: &System) -> anyhow::Result<()> {
    let client = reqwest::Client::new();
    let base = format!("{}/api/v1", system.endpoints.http);
    client
        .post(format!("{base}/signals"))
        .bearer_auth(&system.endpoints.api_key)
        .json(&serde_json::json!({
            "type": "api_call", "idempotencyKey": "lists", "actor": {"email": "dev@lists-company.example"},
        }))
        .send()
        .await?
        .error_for_status()?;
    let deadline = Instant::now() + FIRST_ACCOUNT;
    loop {
        let accounts: Value = client
            .get(format!("{base}/accounts"))
            .bearer_auth(&system.endpoints.api_key)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        if accounts
            .pointer("/data/0/score")
            .is_some_and(|score| !score.is_null())
        {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "no account was scored within {FIRST_ACCOUNT:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Copies one row that the system made itself until `table` has `count` at least, so that this file need not know its
/// columns. `made` is a list of keys and values, by number `n`, of what differs.
async fn copy_one(
    pool: &PgPool,
    org: uuid::Uuid,
    table: &'static str,
    count: i64,
    made: &'static str,
) -> anyhow::Result<()> {
    let (present,): (i64,) = sqlx::query_as(AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
        .fetch_one(pool)
        .await?;
    if present >= count {
        return Ok(());
    }
    let (columns,): (String,) = sqlx::query_as(
        "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
         WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
    )
    .bind(table)
    .fetch_one(pool)
    .await?;
    let copied = sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO {table} ({columns})
         SELECT {columns} FROM (SELECT (jsonb_populate_record(one.original,
             jsonb_build_object('id', gen_random_uuid(), {made}))).*
         FROM (SELECT original FROM {table} original WHERE org_id = $1 LIMIT 1) one,
              generate_series($2, $3) n) filled",
    )))
    .bind(org)
    .bind(present + 1)
    .bind(count)
    .execute(pool)
    .await?;
    anyhow::ensure!(copied.rows_affected() > 0, "{table}: there was no row to copy");
    Ok(())
}

/// Walks each list to its end and measures every page.
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
        (
            "GET /contacts by last seen",
            "/api/v1/contacts?limit=50&sort=-lastSeenAt",
        ),
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
    loop {
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
