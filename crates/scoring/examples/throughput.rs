//! How many recorded signals per second one process rolls up and scores, on the test stack's Postgres (no fsync), without
//! the broker: `cargo run --release --example throughput [accounts] [actors per account] [batches] [signals per batch]`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for people who measure"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use contracts::convert::timestamp;
use contracts::events::v1::SignalsRecorded;
use contracts::signals::v1::Signal;
use contracts::{Envelope, convert::to_struct};
use eventbus::Handler as _;
use ids::{Clock as _, EventId, IdGen as _, OrgId, SystemClock, SystemIds};
use jiff::Timestamp;
use lifecycle::{Lifecycle, OnExit, Phase};
use scoring::config::Settings;
use scoring::events::{self as on, Desk};
use scoring::metrics::ScoringMetrics;
use scoring::worker::{self, Scorer, ScorerDeps};
use serde_json::json;
use telemetry::Metrics;
use test_kit::TestStores;
use tokio::sync::Notify;
use uuid::Uuid;

const KINDS: [&str; 6] = [
    "api_call",
    "page_view",
    "docs_view",
    "package_install",
    "login",
    "feature_used",
];

fn argument(n: usize, default: usize) -> usize {
    std::env::args()
        .nth(n)
        .map_or(default, |text| text.parse().unwrap())
}

fn batch(org: OrgId, shape: (usize, usize), size: usize, n: usize, at: Timestamp) -> Envelope {
    let (accounts, actors) = shape;
    let signals = (0..size).map(|m| {
        // Any fixed mixing will do.
        let dice = (n * size + m).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let (account, actor) = (dice % accounts, dice / accounts % actors);
        let metadata = json!({"path": "/v1/query", "usage": dice % 100, "limit": 100});
        Signal {
            id: SystemIds.next().to_string(),
            r#type: KINDS[dice / 7 % 6].into(),
            timestamp: Some(timestamp(at)),
            account_id: Some(Uuid::from_u128(1 + account as u128).to_string()),
            actor_id: Some(Uuid::from_u128(1_000_000 + (account * actors + actor) as u128).to_string()),
            metadata: (m % 10 == 0).then(|| to_struct(metadata.as_object().unwrap().clone())),
            ..Signal::default()
        }
    });
    let id = SystemIds.next();
    let event = SignalsRecorded {
        batch_id: id.to_string(),
        organization_id: org.to_string(),
        signals: signals.collect(),
    };
    Envelope::wrap(&event, EventId(id), org, id.to_string(), at)
}

#[tokio::main]
#[expect(clippy::too_many_lines, reason = "a program that runs from top to bottom")]
async fn main() {
    let shape = (argument(1, 1_000), argument(2, 10));
    let (batches, size) = (argument(3, 1_000), argument(4, 500));
    let stores = TestStores::create(scoring::SCHEMA, &scoring::MIGRATOR).await;
    let life = Lifecycle::new();
    let key = json!({"security": {"principal_keys": ["none"]}});
    let settings = Settings::load(None, std::iter::empty(), Some(key)).unwrap();
    let metrics = ScoringMetrics::new(&Metrics::new("scoring")).unwrap();
    let poke = Arc::new(Notify::new());
    let desk = Desk {
        pipeline: stores.pipeline.clone(),
        clock: SystemClock::shared(),
        poke: Arc::clone(&poke),
        metrics: metrics.clone(),
    };
    let handler = Arc::new(on::SignalsRecorded::start(desk, settings.rollup, &life));
    let scorer = Scorer::new(ScorerDeps {
        stores: stores.stores().clone(),
        clock: SystemClock::shared(),
        ids: SystemIds::shared(),
        settings: settings.scoring,
        metrics: metrics.clone(),
    })
    .unwrap();
    println!(
        "{} accounts of {} actors, {batches} batches of {size}",
        shape.0, shape.1
    );
    let org = OrgId(SystemIds.next());
    for (name, scoring) in [
        ("first rows", false),
        ("the same rows again", false),
        ("and scored meanwhile", true),
    ] {
        if scoring {
            let (scorer, poke) = (scorer.clone(), Arc::clone(&poke));
            life.spawn("scorer", Phase::Work, OnExit::restart(), move |shutdown| {
                worker::run(scorer.clone(), Arc::clone(&poke), shutdown)
            });
        }
        let envelopes: Vec<_> = (0..batches)
            .map(|n| batch(org, shape, size, n, SystemClock.now()))
            .collect();
        let begun = Instant::now();
        roll_up(&handler, envelopes, settings.rollup.concurrency).await;
        let rolled = begun.elapsed();
        if scoring {
            while scoring::store::schedule::waiting(&stores.pipeline, SystemClock.now())
                .await
                .unwrap()
                .accounts
                > 0
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        let total = begun.elapsed();
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let rate = |time: Duration| (batches * size) as f64 / time.as_secs_f64();
        println!(
            "{name}: {:.0} signals/s rolled up, {:.0} signals/s to the end",
            rate(rolled),
            rate(total)
        );
    }
    println!(
        "{} scores, {} moved, {:.1} ms per round, {:.0} accounts per round",
        metrics.scores.get(),
        metrics.moved.get(),
        metrics.round.get_sample_sum() * 1_000.0 / metrics.round.get_sample_count().max(1) as f64,
        metrics.round_accounts.get_sample_sum() / metrics.round_accounts.get_sample_count().max(1) as f64,
    );
    life.stop(Duration::from_secs(10)).await.unwrap();
}

async fn roll_up(handler: &Arc<on::SignalsRecorded>, envelopes: Vec<Envelope>, concurrency: usize) {
    let (envelopes, next) = (Arc::new(envelopes), Arc::new(AtomicUsize::new(0)));
    let workers = (0..concurrency).map(|_| {
        let (handler, envelopes, next) = (Arc::clone(handler), Arc::clone(&envelopes), Arc::clone(&next));
        lifecycle::detach("worker", async move {
            while let Some(envelope) = envelopes.get(next.fetch_add(1, Ordering::Relaxed)) {
                handler.handle(envelope.clone()).await.unwrap();
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
}
