//! How fast the stages of this service are on a durable Postgres of this machine's own, next to what the same Postgres does
//! with bare rows.
//!
//! `cargo run --release -p signal-ingest --example stages [seconds per figure]`

#![expect(clippy::print_stdout, reason = "the figures are this program's purpose")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use contracts::signals::v1::SignalsAccepted;
use ids::{BatchId, IdGen as _, OrgId, SystemClock, SystemIds};
use lifecycle::Lifecycle;
use local_stack::{Postgres, PostgresOptions};
use serde_json::json;
use signal_ingest::config::AcceptSettings;
use signal_ingest::domain::json::{read_batch, read_single};
use signal_ingest::domain::limits::Limits;
use signal_ingest::domain::record::Resolved;
use signal_ingest::domain::validate::validate;
use signal_ingest::intake::{Draft, Intake};
use signal_ingest::metrics::IngestMetrics;
use signal_ingest::sources::{Directory, LastSeen};
use signal_ingest::store::record::{Batch, record};
use signal_ingest::store::{batch_partitions, signal_partitions};
use sqlx::Row as _;
use store::Stores;
use telemetry::Metrics;
use tokio::task::JoinSet;

const ORGS: usize = 20;

#[tokio::main]
async fn main() -> Result<()> {
    let seconds = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(5);
    let time = Duration::from_secs(seconds);
    reading(time);
    let directory = tempfile::tempdir()?;
    let postgres = Postgres::start(PostgresOptions::new(directory.path().join("postgres"))).await?;
    let lifecycle = Lifecycle::new();
    let bench = Bench::new(&postgres.superuser_url("bench"), &lifecycle, time).await?;
    bench.rows(16, 1).await?;
    bench.rows(4, 1_000).await?;
    for per_call in [1, 16, 64] {
        bench.accept(256, per_call, false).await?;
    }
    bench.accept(256, 64, true).await?;
    bench.batches(16, 100).await?;
    bench.record(6).await?;
    lifecycle.stop(Duration::from_secs(5)).await?;
    Ok(())
}

/// One signal of usual size, with a key of its own.
fn signal(n: u64) -> String {
    json!({
        "type": "package_install", "timestamp": "2026-11-20T12:00:00.123Z", "idempotencyKey": format!("key-{n:016}"),
        "actor": {"email": format!("dev{}@company{}.example", n % 5_000, n % 500), "github": format!("dev{}", n % 5_000)},
        "metadata": {"package": "@acme/sdk", "version": "4.2.1", "node": "20.11.0", "ci": false, "ms": 1234.5,
                     "path": "/docs/getting-started"},
    })
    .to_string()
}

/// Bytes to checked signals, on one core.
fn reading(time: Duration) {
    let limits = Limits::default();
    let now = ids::Clock::now(&SystemClock);
    let bodies: Vec<String> = (0..1_000).map(signal).collect();
    let begun = Instant::now();
    let (mut count, mut bytes) = (0_usize, 0_usize);
    while begun.elapsed() < time {
        for body in &bodies {
            let item = read_single(body.as_bytes(), &limits).ok().and_then(Result::ok);
            let checked = item.and_then(|input| validate(input, &limits, now).ok());
            count += usize::from(checked.is_some());
            bytes += body.len();
        }
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    println!(
        "read and check, 1 core: {:.0} signals/s of {} bytes",
        rate,
        bytes / count.max(1)
    );
}

struct Bench {
    stores: Stores,
    intake: Intake,
    orgs: Vec<OrgId>,
    next: Arc<AtomicU64>,
    time: Duration,
}

impl Bench {
    async fn new(url: &str, lifecycle: &Lifecycle, time: Duration) -> Result<Self> {
        let mut settings = test_kit::database_settings(url, signal_ingest::SCHEMA)?;
        settings.pipeline_connections = 24;
        store::bootstrap::bootstrap(&url.to_owned().into(), &settings.database, &[(&settings).into()])
            .await?;
        store::migrate(&settings, &signal_ingest::MIGRATOR).await?;
        let metrics = Metrics::new("signal-ingest");
        let stores = Stores::connect(&settings, lifecycle, &metrics).await?;
        stores.keep_partitions(signal_partitions(400)).await?;
        stores.keep_partitions(batch_partitions(400)).await?;
        let directory = Directory::new(stores.pipeline.clone(), Duration::from_secs(2));
        let accept = AcceptSettings {
            lanes: 4,
            group_signals: 2_048,
            queued_calls: 8_192,
            queued_signals: 65_536,
            burst_secs: 0,
        };
        let intake = Intake::start(
            &accept,
            &stores.pipeline,
            (directory, LastSeen::default()),
            (&SystemClock::shared(), &SystemIds::shared()),
            &IngestMetrics::new(&metrics)?,
            lifecycle,
        );
        let orgs = (0..ORGS).map(|_| OrgId(SystemIds.next())).collect();
        let mut tx = stores.owner.begin().await?;
        sqlx::query(
            "CREATE TABLE bare (id uuid PRIMARY KEY, org uuid, key text, body jsonb, UNIQUE (org, key))",
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Self {
            stores,
            intake,
            orgs,
            next: Arc::default(),
            time,
        })
    }

    /// The ceiling: the same signals as bare rows of one table.
    async fn rows(&self, connections: usize, rows: usize) -> Result<()> {
        let work = move |bench: Self| async move {
            let (mut ids, mut keys, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..rows {
                let n = bench.next.fetch_add(1, Ordering::Relaxed);
                ids.push(SystemIds.next());
                keys.push(format!("key-{n:016}"));
                bodies.push(signal(n));
            }
            let mut tx = bench.stores.pipeline.begin().await?;
            sqlx::query(
                "INSERT INTO bare SELECT i, $4, k, b::jsonb FROM unnest($1::uuid[], $2::text[], $3::text[]) AS r (i, k, b)
                 ON CONFLICT DO NOTHING",
            )
            .bind(ids)
            .bind(keys)
            .bind(bodies)
            .bind(bench.orgs[0].uuid())
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(rows)
        };
        self.run(
            &format!("bare rows, {rows} x {connections} connections"),
            connections,
            work,
        )
        .await
    }

    /// Calls of single signals, as the gateway hands them over.
    async fn accept(&self, callers: usize, per_call: usize, repeat: bool) -> Result<()> {
        let work = move |bench: Self| async move {
            let (limits, now) = (Limits::default(), ids::Clock::now(&SystemClock));
            let mut drafts = Vec::with_capacity(per_call);
            for at in 0..per_call {
                let n = bench.next.fetch_add(1, Ordering::Relaxed);
                // One in ten repeats the key of an earlier one.
                let n = if repeat && at % 10 == 9 { n / 2 } else { n };
                let body = signal(n);
                let item =
                    read_single(body.as_bytes(), &limits)?.and_then(|input| validate(input, &limits, now));
                drafts.push(Draft {
                    org: bench.orgs[usize::try_from(n)? % ORGS],
                    items: vec![item],
                    key: None,
                });
            }
            bench.finish(drafts).await
        };
        let what = if repeat { ", 10 % repeats" } else { "" };
        self.run(
            &format!("single signals, {per_call} a call, {callers} callers{what}"),
            callers,
            work,
        )
        .await
    }

    /// Requests of many signals.
    async fn batches(&self, callers: usize, signals: usize) -> Result<()> {
        let work = move |bench: Self| async move {
            let (limits, now) = (Limits::default(), ids::Clock::now(&SystemClock));
            let first = bench.next.fetch_add(u64::try_from(signals)?, Ordering::Relaxed);
            let items: Vec<String> = (first..first + u64::try_from(signals)?).map(signal).collect();
            let body = format!("{{\"signals\":[{}]}}", items.join(","));
            let read = read_batch(body.as_bytes(), &limits)?;
            let items = read
                .into_iter()
                .map(|item| item.and_then(|input| validate(input, &limits, now)))
                .collect();
            let org = bench.orgs[usize::try_from(first)? / signals % ORGS];
            bench
                .finish(vec![Draft {
                    org,
                    items,
                    key: None,
                }])
                .await
        };
        self.run(&format!("batches of {signals}, {callers} callers"), callers, work)
            .await
    }

    async fn finish(&self, drafts: Vec<Draft>) -> Result<usize> {
        let mut stored = 0;
        for verdicts in self.intake.accept(drafts).await {
            stored += verdicts?.items.len();
        }
        Ok(stored)
    }

    /// What was accepted, recorded as if resolved to nobody.
    async fn record(&self, workers: usize) -> Result<()> {
        let mut tx = self.stores.pipeline.begin().await?;
        let rows =
            sqlx::query("SELECT org_id, id, payload FROM batches ORDER BY signal_count DESC LIMIT 4000")
                .fetch_all(&mut *tx)
                .await?;
        tx.rollback().await;
        let mut batches = Vec::new();
        for row in rows {
            let payload: Vec<u8> = row.try_get("payload")?;
            let plain = contracts::codec::decompress(&payload)?;
            let event = <SignalsAccepted as prost::Message>::decode(plain.as_slice())?;
            let org = OrgId(row.try_get("org_id")?);
            let read = event
                .signals
                .into_iter()
                .map(|signal| Resolved::read(org, signal));
            batches.push(Batch {
                id: BatchId(row.try_get("id")?),
                org,
                signals: read.collect::<Result<Vec<_>, _>>()?,
            });
        }
        let (count, sizes) = (
            batches.len(),
            batches.iter().map(|batch| batch.signals.len()).sum::<usize>(),
        );
        let queue = Arc::new(parking_lot::Mutex::new(batches));
        let work = move |bench: Self| {
            let queue = Arc::clone(&queue);
            async move {
                let Some(batch) = queue.lock().pop() else {
                    return Ok(0);
                };
                let (size, now) = (batch.signals.len(), ids::Clock::now(&SystemClock));
                record(&bench.stores.pipeline, &SystemIds, now, &[batch]).await?;
                Ok(size)
            }
        };
        let what = format!(
            "record, {workers} workers, {} signals a batch",
            sizes / count.max(1)
        );
        self.run(&what, workers, work).await
    }

    /// Repeats `work` with so many at once, and prints signals per second and the time of one round.
    async fn run<F, W>(&self, what: &str, tasks: usize, work: F) -> Result<()>
    where
        F: Fn(Self) -> W + Clone + Send + Sync + 'static,
        W: Future<Output = Result<usize>> + Send,
    {
        let begun = Instant::now();
        let mut running = JoinSet::new();
        for _ in 0..tasks {
            let (bench, work, time) = (self.clone(), work.clone(), self.time);
            running.spawn(async move {
                let (mut done, mut took) = (0, Vec::new());
                while begun.elapsed() < time {
                    let round = Instant::now();
                    match work(bench.clone()).await? {
                        0 => break,
                        signals => done += signals,
                    }
                    took.push(round.elapsed());
                }
                anyhow::Ok((done, took))
            });
        }
        let (mut done, mut took) = (0, Vec::new());
        while let Some(outcome) = running.join_next().await {
            let (signals, rounds) = outcome.context("a task")??;
            done += signals;
            took.extend(rounds);
        }
        let rate = done as f64 / begun.elapsed().as_secs_f64();
        took.sort_unstable();
        let at = |share: f64| {
            took.get((took.len() as f64 * share) as usize)
                .copied()
                .unwrap_or_default()
        };
        println!(
            "{what}: {rate:.0} signals/s, p50 {:.1?}, p99 {:.1?}",
            at(0.5),
            at(0.99)
        );
        Ok(())
    }
}

impl Clone for Bench {
    fn clone(&self) -> Self {
        Self {
            stores: self.stores.clone(),
            intake: self.intake.clone(),
            orgs: self.orgs.clone(),
            next: Arc::clone(&self.next),
            time: self.time,
        }
    }
}
