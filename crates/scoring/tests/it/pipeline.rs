//! The whole service on a real broker: recorded signals in, score changes out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::events::v1 as events;
use contracts::ops::v1::ListStagesRequest;
use contracts::ops::v1::stage_service_client::StageServiceClient;
use eventbus::{Bus, BusSettings, ConsumerSpec, Delivery as _, Handler, HandlerError, spawn_consumer};
use ids::{SystemClock, SystemIds};
use lifecycle::Lifecycle;
use rpc::{KeyPair, Principal, Signer, Verifier};
use scoring::app::{self, Deps};
use scoring::config::Settings;
use telemetry::Metrics;
use test_kit::{TestStores, unique_prefix, wait_for};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::harness::{SOON, Said as _, batch, new_id, new_org, signal, wrap};

/// A running service, and a bus of a test's own beside it.
struct Running {
    stores: TestStores,
    life: Lifecycle,
    changes: mpsc::UnboundedReceiver<(Instant, events::AccountScoreChanged)>,
    grpc: String,
    signer: Signer,
}

struct Collect(mpsc::UnboundedSender<(Instant, events::AccountScoreChanged)>);

impl Handler for Collect {
    async fn handle(&self, envelope: contracts::Envelope) -> Result<(), HandlerError> {
        let _ = self.0.send((Instant::now(), envelope.read()?));
        Ok(())
    }
}

async fn run() -> Running {
    let stores = TestStores::create(scoring::SCHEMA, &scoring::MIGRATOR).await;
    let (life, metrics) = (Lifecycle::new(), Metrics::new("scoring"));
    let bus_settings: BusSettings = serde_json::from_value(serde_json::json!({
        "url": stores.database().stack().nats_url(),
        "namespace": unique_prefix(),
        "events_max_bytes": 64 << 20,
        "pipeline_max_bytes": 64 << 20,
        "advisories_max_bytes": 1 << 20,
    }))
    .unwrap();
    let bus = Bus::connect(&bus_settings, &life, &metrics).await.unwrap();
    let pair = KeyPair::generate();
    let key = serde_json::json!({"security": {"principal_keys": [pair.public]}});
    let settings = Settings::load(None, std::iter::empty(), Some(key)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let grpc = format!("http://{}", listener.local_addr().unwrap());
    let deps = Deps {
        bus: bus.clone(),
        stores: stores.stores().clone(),
        lifecycle: life.clone(),
        metrics: metrics.clone(),
        clock: SystemClock::shared(),
        ids: SystemIds::shared(),
        verifier: Verifier::new(&settings.security.principal_keys, SystemClock::shared()).unwrap(),
    };
    app::start(&settings, &deps, listener).unwrap();
    let (sender, changes) = mpsc::unbounded_channel();
    let spec = ConsumerSpec::new("test", "account.score_changed");
    spawn_consumer(
        &bus,
        stores.stores(),
        spec,
        Arc::new(Collect(sender)),
        &life,
        &Metrics::new("test"),
    )
    .unwrap();
    let signer = Signer::new(&pair.private, SystemClock::shared()).unwrap();
    Running {
        stores,
        life,
        changes,
        grpc,
        signer,
    }
}

impl Running {
    /// Publishes as another service would: through this schema's outbox.
    async fn publish(&self, envelopes: &[contracts::Envelope]) {
        let mut tx = self.stores.pipeline.begin().await.unwrap();
        eventbus::enqueue_all(&mut tx, envelopes).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn counted(&self, org: ids::OrgId) -> i64 {
        let mut tx = self.stores.pipeline.begin().await.unwrap();
        let sum =
            sqlx::query_scalar("SELECT COALESCE(sum(signals), 0)::bigint FROM activity WHERE org_id = $1")
                .bind(org.uuid())
                .fetch_one(&mut *tx)
                .await
                .unwrap();
        tx.rollback().await;
        sum
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn recorded_signals_become_told_scores_and_poison_harms_nobody() {
    let mut running = run().await;
    let org = new_org();
    let accounts: Vec<Uuid> = (0..20).map(|_| new_id()).collect();
    let at = crate::harness::start();
    let mut envelopes = Vec::new();
    for n in 0..60_usize {
        let signals = (0..10).map(|m| signal("login", at).by(new_id()).of(accounts[(n + m) % 20]));
        let envelope = wrap(org, &batch(org, signals.collect()), at);
        // The same batch under another event id: a broker's repeat that no message id tells.
        let mut repeat = envelope.clone();
        repeat.id = ids::EventId(new_id());
        envelopes.extend([envelope, repeat]);
        if n % 20 == 0 {
            let mut poison = wrap(org, &batch(org, vec![signal("login", at)]), at);
            poison.payload = bytes_of_garbage();
            envelopes.push(poison);
        }
    }
    running.publish(&envelopes).await;
    wait_for("all signals to be counted", SOON, async || {
        (running.counted(org).await >= 600).then_some(())
    })
    .await;
    let mut last = std::collections::BTreeMap::new();
    wait_for("all accounts to be told with all their users", SOON, async || {
        while let Ok((_, change)) = running.changes.try_recv() {
            let score = change.score.unwrap();
            let users = score.factors[0].evidence.as_ref().unwrap().count;
            last.insert(score.account_id, users);
        }
        (last.len() == 20 && last.values().all(|users| *users >= 10)).then_some(())
    })
    .await;
    wait_for("the poison to be put away", SOON, async || {
        let waiting = store::dead_letters::waiting(&running.stores.pipeline)
            .await
            .unwrap();
        (waiting.iter().map(|consumer| consumer.count).sum::<u64>() == 3).then_some(())
    })
    .await;
    assert_eq!(running.counted(org).await, 600);
    stages(&running).await;
    running.life.stop(Duration::from_secs(10)).await.unwrap();
}

/// The stages of the service, once nothing waits.
async fn stages(running: &Running) {
    let client = StageServiceClient::connect(running.grpc.clone()).await.unwrap();
    let token = running.signer.token(&Principal::system("gateway")).unwrap();
    let stages = wait_for("nothing to wait", SOON, async || {
        let mut request = tonic::Request::new(ListStagesRequest {});
        request
            .metadata_mut()
            .insert(rpc::PRINCIPAL_KEY, token.parse().unwrap());
        let stages = client
            .clone()
            .list_stages(request)
            .await
            .unwrap()
            .into_inner()
            .stages;
        stages.iter().all(|stage| stage.lag == 0).then_some(stages)
    })
    .await;
    let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
    for name in [
        "scoring/outbox",
        "scoring/signals.recorded",
        "scoring/identity.merged",
        "scoring/queue",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    let recorded = stages
        .iter()
        .find(|stage| stage.name == "scoring/signals.recorded")
        .unwrap();
    assert_eq!(recorded.dead_letters, 3);
}

fn bytes_of_garbage() -> prost::bytes::Bytes {
    prost::bytes::Bytes::from_static(b"\xff\xff\xff\xff")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_signal_is_scored_and_told_within_a_blink() {
    let mut running = run().await;
    let org = new_org();
    // Warm: connections, statements, the relay's leadership.
    for n in 0..12 {
        let at = crate::harness::start();
        let account = new_id();
        let begun = Instant::now();
        running
            .publish(&[wrap(
                org,
                &batch(org, vec![signal("login", at).by(new_id()).of(account)]),
                at,
            )])
            .await;
        let (told, change) = tokio::time::timeout(SOON, running.changes.recv())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(change.score.unwrap().account_id, account.to_string());
        println!(
            "{n}: published to told in {:.1} ms",
            told.duration_since(begun).as_secs_f64() * 1_000.0
        );
    }
    running.life.stop(Duration::from_secs(10)).await.unwrap();
}
