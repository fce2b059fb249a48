//! How many signals per second: single requests until durable, and batches until scored. Memory is watched meanwhile.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use sqlx::PgPool;

use super::ceiling;
use super::report::{Results, Row};
use crate::load::run::Load;
use crate::load::signals::Signals;
use crate::system::System;

/// Companies and people per company in the load.
const ACCOUNTS: u64 = 1_000;
const PEOPLE: u64 = 5;
const BATCH: u64 = 100;
/// Longest wait for the pipeline to finish after the load.
const DRAIN: Duration = Duration::from_secs(120);

fn load(system: &System, run: &str, batch: u64, connections: usize) -> Load {
    Load {
        host: system.host().to_owned(),
        api_key: system.endpoints.api_key.clone(),
        signals: Signals::new(run, ACCOUNTS, PEOPLE),
        batch,
        connections,
        next: Arc::new(AtomicU64::new(0)),
    }
}

/// Single-signal requests over 64 connections.
pub async fn single(
    system: &System,
    pool: &PgPool,
    time: Duration,
    results: &mut Results,
) -> anyhow::Result<()> {
    let ceiling = ceiling::single_rows(&system.endpoints.postgres).await?;
    let load = load(system, "single", 1, 64);
    load.closed_loop(Duration::from_secs(2)).await?;
    let report = load.closed_loop(time).await?;
    let backlog = Instant::now();
    settle(pool).await?;
    let backlog = backlog.elapsed().as_secs_f64();
    let rate = report.rate(1);
    let ratio = rate / ceiling;
    let p99 = report.latency_ms(99.0);
    anyhow::ensure!(report.refused == 0, "{} requests were refused", report.refused);
    results.add(Row {
        what: "single-signal POSTs, 64 connections, durable answer".into(),
        measured: format!(
            "{rate:.0}/s, p50 {:.1} ms, p99 {p99:.1} ms; all scored {backlog:.0} s after the last",
            report.latency_ms(50.0)
        ),
        ceiling: format!("{ceiling:.0}/s single-row INSERTs, 16 connections"),
        ratio: Some(ratio),
        goal: "≥ 2, p99 ≤ 15 ms".into(),
        reached: ratio >= 2.0 && p99 <= 15.0,
    });
    Ok(())
}

/// Batches of 100 over 16 connections for `time`, counted when the last of them is in the roll-ups and scored.
pub async fn batches(
    system: &System,
    pool: &PgPool,
    time: Duration,
    results: &mut Results,
) -> anyhow::Result<()> {
    settle(pool).await?;
    let ceiling = ceiling::bulk_rows(&system.endpoints.postgres).await?;
    let (before, _) = scored(pool).await?;
    let started = Instant::now();
    let load = load(system, "batch", BATCH, 16);
    let sending = load.closed_loop(time);
    let watching = peak_memory(system, time);
    let (report, peak) = tokio::join!(sending, watching);
    let (report, peak) = (report?, peak?);
    let sent = i64::try_from(report.accepted * BATCH)?;
    wait_until_scored(pool, before + sent).await?;
    let elapsed = started.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = sent as f64 / elapsed.as_secs_f64();
    let ratio = rate / ceiling;
    results.add(Row {
        what: format!("batches of {BATCH}, {} s, from POST to scored", time.as_secs()),
        measured: format!(
            "{rate:.0} signals/s scored ({:.0}/s accepted, p99 {:.0} ms; all scored {:.1} s after the last)",
            report.rate(BATCH),
            report.latency_ms(99.0),
            (elapsed.saturating_sub(time)).as_secs_f64(),
        ),
        ceiling: format!("{ceiling:.0} rows/s INSERT … FROM UNNEST"),
        ratio: Some(ratio),
        goal: "≥ 0.20".into(),
        reached: ratio >= 0.20,
    });
    results.add(Row {
        what: "memory of all services in one process under that load".into(),
        measured: format!("{peak:.0} MiB at most"),
        ceiling: "–".into(),
        ratio: None,
        goal: "≤ 400 MiB".into(),
        reached: peak <= 400.0,
    });
    Ok(())
}

/// Waits until nothing of an earlier load is left to be scored.
pub async fn settle(pool: &PgPool) -> anyhow::Result<()> {
    let (accepted,): (i64,) = sqlx::query_as("SELECT count(*) FROM signal_ingest.idempotency_keys")
        .fetch_one(pool)
        .await?;
    wait_until_scored(pool, accepted).await
}

/// A quarter of the load for a long time: memory at the end against memory after the first fifth.
pub async fn soak(system: &System, time: Duration, results: &mut Results) -> anyhow::Result<()> {
    let load = load(system, "soak", BATCH, 4);
    let watch = async {
        tokio::time::sleep(time / 5).await;
        let early = peak_memory(system, time / 10).await?;
        tokio::time::sleep(time * 6 / 10).await;
        anyhow::Ok((early, peak_memory(system, time / 10).await?))
    };
    let (report, memory) = tokio::join!(load.open_loop(time, 5_000.0), watch);
    let (report, (early, late)) = (report?, memory?);
    results.add(Row {
        what: format!(
            "memory over {} minutes at {:.0} signals/s",
            time.as_secs() / 60,
            report.rate(BATCH)
        ),
        measured: format!("{early:.0} MiB early, {late:.0} MiB at the end"),
        ceiling: "–".into(),
        ratio: Some(late / early),
        goal: "no growth (≤ 1.10)".into(),
        reached: late / early <= 1.10,
    });
    Ok(())
}

/// Signals in the roll-ups, and accounts that still wait to be scored.
async fn scored(pool: &PgPool) -> anyhow::Result<(i64, i64)> {
    Ok(sqlx::query_as(
        "SELECT (SELECT coalesce(sum(signals), 0)::bigint FROM scoring.activity),
                (SELECT count(*) FROM scoring.schedule WHERE dirty)",
    )
    .fetch_one(pool)
    .await?)
}

async fn wait_until_scored(pool: &PgPool, signals: i64) -> anyhow::Result<()> {
    let deadline = Instant::now() + DRAIN;
    loop {
        let (counted, waiting) = scored(pool).await?;
        if counted >= signals && waiting == 0 {
            anyhow::ensure!(
                counted == signals,
                "{counted} signals in the roll-ups, {signals} were accepted"
            );
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "{counted} of {signals} scored after {DRAIN:?}, {waiting} waiting"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn peak_memory(system: &System, time: Duration) -> anyhow::Result<f64> {
    let until = Instant::now() + time;
    let mut peak: f64 = 0.0;
    while Instant::now() < until {
        peak = peak.max(system.resident_mib()?);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(peak)
}
