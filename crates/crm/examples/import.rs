//! Imports a table of contacts into a database of its own and takes it back; prints rows per second, memory, and the ratio to what
//! Postgres takes in by COPY into an equal table, measured in the same run.
//!
//! `cargo run --release -p crm --example import -- 1000000`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for people, which ends when something is wrong"
)]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use ::store::OrgScope;
use crm::config::ImportSettings;
use crm::domain::extras::Object;
use crm::metrics::ImportMetrics;
use crm::store::{Records, Write};
use crm::transfer::{ImportWorker, START, Upload, UploadHead};
use ids::{IdGen as _, OrgId, SystemClock, SystemIds};
use sqlx::Connection as _;
use test_kit::TestStores;

/// Rows that are made, and handed over, at once.
const PART: usize = 10_000;

fn rows(from: usize, to: usize) -> String {
    let mut text = String::new();
    for n in from..to {
        let _ = writeln!(
            text,
            "{n},First{n},Last{n},person{n}@company{}.com,Engineer {},Company {}",
            n % 50_000,
            n % 300,
            n % 50_000
        );
    }
    text
}

/// `VmHWM` of this process, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    kib / 1024
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn rate(rows: usize, since: Instant) -> f64 {
    rows as f64 / since.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() {
    let count: usize = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(100_000);
    let stores = TestStores::create(crm::SCHEMA, &crm::MIGRATOR).await;
    let ceiling = ceiling(&stores, count).await;
    println!(
        "ceiling: {ceiling:.0} rows/s by COPY into tables with the columns and indexes of contacts and their identities"
    );
    let records = Records::new(stores.stores(), SystemClock::shared(), SystemIds::shared());
    let lanes = std::env::args()
        .nth(2)
        .and_then(|text| text.parse().ok())
        .unwrap_or(3);
    let settings = ImportSettings {
        max_bytes: 1 << 30,
        chunk_rows: 4_000,
        lanes,
        workers: 1,
        lease_secs: 15.0,
        poll_ms: 100,
    };
    let metrics = ImportMetrics::new(&telemetry::Metrics::new("bench")).unwrap();
    let worker = ImportWorker::new(records.clone(), settings.clone(), metrics);
    let write = Write {
        scope: OrgScope::new(OrgId(SystemIds.next())),
        by: "user:bench".to_owned(),
        dry_run: false,
    };
    let begun = Instant::now();
    let head = UploadHead::read(Object::Contact.name(), None, None, None).unwrap();
    let mut upload = Upload::begin(&records, &settings, &write, head).await.unwrap();
    upload
        .take(b"Record ID,First Name,Last Name,Email,Job Title,Company Name\n")
        .await
        .unwrap();
    for from in (0..count).step_by(PART) {
        upload
            .take(rows(from, (from + PART).min(count)).as_bytes())
            .await
            .unwrap();
    }
    let import = upload.end().await.unwrap();
    println!(
        "upload and analysis: {:.0} rows/s, {} bytes",
        rate(count, begun),
        import.bytes
    );
    for (from, to, name) in [
        ("uploaded", "committing", "commit"),
        ("committed", "undoing", "undo"),
    ] {
        records
            .turn_import(&write, import.id, (&[from], to), None)
            .await
            .unwrap();
        let begun = Instant::now();
        while worker.work().await.unwrap() {}
        let rate = rate(count, begun);
        let done = records.import(&write.scope, import.id).await.unwrap();
        let behind = index(&worker).await;
        println!(
            "{name}: {rate:.0} rows/s, searchable {:.1} s later; {:.2} of the ceiling, {:?} {:?}, peak memory of this process {} MiB",
            behind.as_secs_f64(),
            rate / ceiling,
            done.state,
            done.counts,
            peak()
        );
    }
}

/// Lets search catch up; how long that took.
async fn index(worker: &ImportWorker) -> Duration {
    let begun = Instant::now();
    let mut place = START;
    while let Some(reached) = worker.index(place).await.unwrap() {
        place = reached;
    }
    begun.elapsed()
}

/// Rows per second of COPY, without row-level security, into tables like those of contacts and their identities.
async fn ceiling(stores: &TestStores, count: usize) -> f64 {
    let mut admin = sqlx::PgConnection::connect(&stores.database().url())
        .await
        .unwrap();
    sqlx::raw_sql(
        "SET search_path = crm; CREATE TABLE plain (LIKE contacts INCLUDING ALL); \
         CREATE TABLE plain_identities (LIKE contact_identities INCLUDING ALL)",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    let org = SystemIds.next();
    let begun = Instant::now();
    for from in (0..count).step_by(PART) {
        let (mut contacts, mut identities) = (String::new(), String::new());
        for n in from..(from + PART).min(count) {
            let id = SystemIds.next();
            let (name, email) = (
                format!("First{n} Last{n}"),
                format!("person{n}@company{}.com", n % 50_000),
            );
            let _ = writeln!(
                contacts,
                "{org}\t{id}\tt\t{name}\t{}\t{email}\tEngineer\tCompany\t{{name}}\t0\tnow\tnow\tnow\tnow\t1",
                name.to_lowercase()
            );
            let _ = writeln!(
                identities,
                "{org}\t{}\temail\t{email}\t{id}\t0\tf\t0.95",
                ids::derived(id, "stated by hand")
            );
        }
        let into = "COPY plain (org_id, id, recorded, name, name_key, email, title, company, edited_fields, revision, first_seen_at, \
                    last_seen_at, created_at, updated_at, version) FROM STDIN";
        copy(&mut admin, into, contacts).await;
        let into = "COPY plain_identities (org_id, told_by, type, value, contact_id, position, verified, confidence) FROM STDIN";
        copy(&mut admin, into, identities).await;
    }
    let rate = rate(count, begun);
    sqlx::raw_sql("DROP TABLE plain, plain_identities")
        .execute(&mut admin)
        .await
        .unwrap();
    rate
}

async fn copy(admin: &mut sqlx::PgConnection, statement: &str, text: String) {
    let mut copy = admin.copy_in_raw(statement).await.unwrap();
    copy.send(text.into_bytes()).await.unwrap();
    copy.finish().await.unwrap();
}
