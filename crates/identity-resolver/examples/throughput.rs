//! How many signals per second one replica resolves, on a durable Postgres of its own: persons seen for the first time,
//! and known ones, in full and in small batches. `cargo run --release -p identity-resolver --example throughput [FILE]`
//! prints a table, and writes it to FILE.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::print_stdout, reason = "it prints its result")]

use std::sync::Arc;
use std::time::Instant;

use contracts::Envelope;
use contracts::signals::v1::{Actor, Signal, SignalsAccepted};
use eventbus::Handler as _;
use futures::stream::{self, StreamExt as _};
use identity_resolver::config::Settings;
use identity_resolver::events::AcceptedHandler;
use identity_resolver::resolver::Resolver;
use identity_resolver::{MIGRATOR, SCHEMA};
use ids::{Clock as _, EventId, IdGen as _, OrgId, SystemClock, SystemIds};
use lifecycle::Lifecycle;
use local_stack::{Postgres, PostgresOptions};
use store::bootstrap::{ServiceRoles, bootstrap};
use store::{PipelineDb, Stores};
use telemetry::Metrics;
use test_kit::database_settings;
use uuid::Uuid;

/// Handlers at once, as in `default.toml`.
const CONCURRENCY: usize = 8;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let directory = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(PostgresOptions::new(directory.path().join("postgres")))
        .await
        .unwrap();
    let url = postgres.superuser_url("bench");
    let settings = database_settings(&url, SCHEMA).unwrap();
    bootstrap(&url.into(), "bench", &[ServiceRoles::from(&settings)])
        .await
        .unwrap();
    store::migrate(&settings, &MIGRATOR).await.unwrap();
    let lifecycle = Lifecycle::new();
    let stores = Stores::connect(&settings, &lifecycle, &Metrics::new("bench"))
        .await
        .unwrap();

    let mut lines = vec![format!(
        "{:<46} {:>10} {:>9} {:>12}",
        "what", "signals", "seconds", "signals/s"
    )];
    let mut report = |what: &str, signals: usize, seconds: f64| {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let rate = signals as f64 / seconds;
        lines.push(format!("{what:<46} {signals:>10} {seconds:>9.2} {rate:>12.0}"));
        println!("{}", lines.last().unwrap());
    };
    let resolver = Arc::new(AcceptedHandler(Arc::new(resolver(&stores.pipeline))));
    let people = |n: usize| (0..n).map(|i| (i, i % 2_000));
    let phases = [
        (
            "new persons, 512 a batch, one organization",
            batches(1, people(40_000), 512),
        ),
        (
            "known persons, 512 a batch, one organization",
            batches(1, people(40_000).cycle().take(200_000), 512),
        ),
        (
            "known persons, 10 a batch, one organization",
            batches(1, people(40_000), 10),
        ),
        (
            "known persons, 1 a batch, one organization",
            batches(1, people(5_000), 1),
        ),
        (
            "new persons, 10 a batch, four organizations",
            batches(4, people(20_000).map(|(p, c)| (p + 50_000, c)), 10),
        ),
        (
            "new visitors, 512 a batch, one organization",
            batches(1, (0..40_000).map(|i| (i + 1_000_000, 0)), 512),
        ),
    ];
    for (what, envelopes) in phases {
        let signals = envelopes.iter().map(|(_, n)| n).sum();
        let begin = Instant::now();
        stream::iter(envelopes)
            .map(|(envelope, _)| resolver.handle(envelope))
            .buffer_unordered(CONCURRENCY)
            .for_each(|done| async move { done.unwrap() })
            .await;
        report(what, signals, begin.elapsed().as_secs_f64());
    }
    if let Some(file) = std::env::args().nth(1) {
        std::fs::write(file, lines.join("\n") + "\n").unwrap();
    }
    lifecycle.stop(std::time::Duration::from_secs(5)).await.unwrap();
}

fn resolver(db: &PipelineDb) -> Resolver {
    let key = serde_json::json!({"security": {"principal_keys": ["k"]}});
    let settings = Settings::load(None, std::iter::empty(), Some(key))
        .unwrap()
        .resolver;
    let metrics = Metrics::new("identity-resolver");
    Resolver::new(
        db,
        &settings,
        SystemClock::shared(),
        SystemIds::shared(),
        &metrics,
    )
    .unwrap()
}

/// Batches of page views; from a million upwards the person is a visitor only.
fn batches(orgs: u128, people: impl Iterator<Item = (usize, usize)>, size: usize) -> Vec<(Envelope, usize)> {
    let people: Vec<_> = people.collect();
    people
        .chunks(size)
        .zip((0..orgs).cycle())
        .map(|(chunk, org)| {
            let org = OrgId(Uuid::from_u128(org));
            let batch = SignalsAccepted {
                batch_id: SystemIds.next().to_string(),
                organization_id: org.to_string(),
                signals: chunk
                    .iter()
                    .map(|(person, company)| signal(*person, *company))
                    .collect(),
            };
            let now = SystemClock.now();
            let about = batch.batch_id.clone();
            (
                Envelope::wrap(&batch, EventId::new(&SystemIds), org, about, now),
                chunk.len(),
            )
        })
        .collect()
}

fn signal(person: usize, company: usize) -> Signal {
    let known = person < 1_000_000;
    Signal {
        id: SystemIds.next().to_string(),
        r#type: "page_view".to_owned(),
        timestamp: Some(contracts::convert::timestamp(SystemClock.now())),
        anonymous_id: (!known).then(|| format!("visitor-{person}")),
        actor: known.then(|| Actor {
            email: Some(format!("person-{person}@company-{company}.com")),
            name: Some(format!("Person {person}")),
            ..Actor::default()
        }),
        ..Signal::default()
    }
}
