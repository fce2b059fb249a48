//! What the same Postgres can do at most, measured directly before what it bounds: single-row INSERTs and bulk
//! INSERT … FROM UNNEST into a copy of the `signals` table with the same columns and indexes.

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use std::str::FromStr;
use uuid::Uuid;

/// Connections of the single-row ceiling.
const SINGLE_CONNECTIONS: u32 = 16;
/// Connections of the bulk ceiling.
const BULK_CONNECTIONS: u32 = 4;
/// How long each is measured.
const TIME: Duration = Duration::from_secs(10);
/// Rows of one bulk statement.
const BULK_ROWS: usize = 1_000;

const COLUMNS: &str = "org_id, id, occurred_at, received_at, batch_id, actor_id, contact_id, account_id, type, \
                       idempotency_key, actor, metadata, actor_resolution, account_resolution";

const VALUES: &str = "$1::uuid, x.id, now(), now(), $1::uuid, x.actor, x.actor, x.account, 'api_call', x.key, \
    jsonb_build_object('email', x.key || '@company.example', 'github', x.key), x.metadata::jsonb, \
    '{\"rule\":\"email\",\"evidence\":\"dev1@company1.example\",\"confidence\":0.9}'::jsonb, \
    '{\"rule\":\"email_domain\",\"evidence\":\"company1.example\",\"confidence\":0.9}'::jsonb";

/// Rows per second with one row per statement and transaction, over sixteen connections.
///
/// # Errors
/// Of the database.
pub async fn single_rows(postgres_url: &str) -> anyhow::Result<f64> {
    measure(postgres_url, SINGLE_CONNECTIONS, 1).await
}

/// Rows per second with a thousand rows per statement and transaction, over four connections.
///
/// # Errors
/// Of the database.
pub async fn bulk_rows(postgres_url: &str) -> anyhow::Result<f64> {
    measure(postgres_url, BULK_CONNECTIONS, BULK_ROWS).await
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
async fn measure(postgres_url: &str, connections: u32, rows: usize) -> anyhow::Result<f64> {
    let options = PgConnectOptions::from_str(postgres_url)?;
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .connect_with(options)
        .await?;
    sqlx::raw_sql(
        "CREATE SCHEMA IF NOT EXISTS bench; DROP TABLE IF EXISTS bench.ceiling;
         CREATE TABLE bench.ceiling (LIKE signal_ingest.signals INCLUDING ALL)",
    )
    .execute(&pool)
    .await?;
    let started = Instant::now();
    let until = started + TIME;
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let pool = pool.clone();
        workers.spawn(async move { insert_until(&pool, rows, until).await });
    }
    let mut total = 0;
    while let Some(done) = workers.join_next().await {
        total += done??;
    }
    let rate = total as f64 / started.elapsed().as_secs_f64();
    sqlx::raw_sql("DROP SCHEMA bench CASCADE").execute(&pool).await?;
    pool.close().await;
    Ok(rate)
}

async fn insert_until(pool: &PgPool, rows: usize, until: Instant) -> anyhow::Result<usize> {
    let statement = format!(
        "INSERT INTO bench.ceiling ({COLUMNS}) SELECT {VALUES} \
         FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[]) AS x(id, actor, account, key, metadata) \
         ON CONFLICT DO NOTHING"
    );
    let mut connection = pool.acquire().await?;
    let org = Uuid::from_u128(1);
    let mut total = 0;
    while Instant::now() < until {
        let ids: Vec<Uuid> = (0..rows).map(|_| new_id()).collect();
        let actors: Vec<Uuid> = ids
            .iter()
            .map(|id| Uuid::from_u128(id.as_u128() % 5_000))
            .collect();
        let accounts: Vec<Uuid> = ids
            .iter()
            .map(|id| Uuid::from_u128(id.as_u128() % 1_000))
            .collect();
        let keys: Vec<String> = ids.iter().map(|id| id.simple().to_string()).collect();
        let metadata: Vec<String> = keys.iter().map(|key| metadata(key)).collect();
        sqlx::query(AssertSqlSafe(statement.clone()))
            .bind(org)
            .bind(&ids)
            .bind(&actors)
            .bind(&accounts)
            .bind(&keys)
            .bind(&metadata)
            .execute(&mut *connection)
            .await?;
        total += rows;
    }
    Ok(total)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark's rows have ids of now, as the real ones do"
)]
fn new_id() -> Uuid {
    Uuid::now_v7()
}

fn metadata(key: &str) -> String {
    format!(
        r#"{{"endpoint":"/v1/projects/7/query","status":200,"durationMs":127,"region":"eu-central-1","sdk":"rust/2.4.1","requestId":"{key}"}}"#
    )
}
