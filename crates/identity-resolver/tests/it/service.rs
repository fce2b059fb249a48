//! The whole service: from `signals.accepted` on the bus to what it tells there.

use std::net::SocketAddr;
use std::time::Duration;

use contracts::ops::v1::stage_service_client::StageServiceClient;
use contracts::ops::v1::{ListStagesRequest, Stage};
use eventbus::{Bus, BusSettings};
use identity_resolver::app::{self, Deps};
use identity_resolver::{CONSUMER, SERVICE};
use ids::{SystemClock, SystemIds};
use lifecycle::Lifecycle;
use rpc::{KeyPair, Principal, Signer, Verifier};
use serde_json::json;
use telemetry::Metrics;
use test_kit::{unique_prefix, wait_for};
use tokio::net::TcpListener;
use tonic::Request;

use crate::harness::*;

const SOON: Duration = Duration::from_secs(20);

/// The service, running on `base`.
struct Running {
    lifecycle: Lifecycle,
    address: SocketAddr,
    signer: Signer,
}

async fn start(base: &Base) -> Running {
    let (lifecycle, metrics) = (Lifecycle::new(), Metrics::new(SERVICE));
    let bus = BusSettings {
        url: base.stores.database().stack().nats_url().to_owned(),
        namespace: unique_prefix(),
        events_max_bytes: 64 << 20,
        pipeline_max_bytes: 64 << 20,
        ..BusSettings::default()
    };
    let pair = KeyPair::generate();
    let deps = Deps {
        bus: Bus::connect(&bus, &lifecycle, &metrics).await.unwrap(),
        stores: (*base.stores).clone(),
        lifecycle: lifecycle.clone(),
        metrics,
        clock: SystemClock::shared(),
        ids: SystemIds::shared(),
        verifier: Verifier::new(std::slice::from_ref(&pair.public), SystemClock::shared()).unwrap(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = settings(json!({"security": {"principal_keys": [pair.public]}}));
    app::start(&settings, &deps, listener).unwrap();
    let signer = Signer::new(&pair.private, SystemClock::shared()).unwrap();
    Running {
        lifecycle,
        address,
        signer,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_on_the_bus_are_resolved_and_poison_does_not_hold_them_up() {
    let base = Base::create().await;
    let running = start(&base).await;
    let mut accepted_events = Vec::new();
    for i in 0..40 {
        accepted_events.push(accepted(
            org(i % 3),
            &batch(&[&format!("email=p{}@acme.com; anon=a{i}", i % 7), "anon=x"]),
        ));
    }
    // The subject says one organization, the payload another.
    let mut poison = accepted(org(0), &batch(&["anon=a1"]));
    poison.subject.org = org(9);
    accepted_events.insert(20, poison);
    // This service's own outbox and relay stand in for signal-ingest's.
    let mut tx = base.stores.pipeline.begin().await.unwrap();
    eventbus::enqueue_all(&mut tx, &accepted_events).await.unwrap();
    tx.commit().await.unwrap();

    let published =
        "SELECT count(*) FROM outbox WHERE published_at IS NOT NULL AND subject LIKE '%.signals.resolved'";
    wait_for("every batch is resolved and told", SOON, async || {
        (base.count(published).await == 40).then_some(())
    })
    .await;
    let dead = "SELECT count(*) FROM dead_letters";
    wait_for("the poison is set aside", SOON, async || {
        (base.count(dead).await == 1).then_some(())
    })
    .await;
    let consumers: Vec<(String,)> = base.rows("SELECT consumer FROM dead_letters").await;
    assert_eq!(consumers[0].0, CONSUMER);
    assert_eq!(
        base.count("SELECT count(*) FROM actors WHERE kind = 'person'")
            .await,
        21
    );
    assert_eq!(
        base.count("SELECT count(*) FROM org_epochs WHERE org_id <> '00000000-0000-0000-0000-000000000009'")
            .await,
        3
    );

    let mut stages = StageServiceClient::connect(format!("http://{}", running.address))
        .await
        .unwrap();
    let settled = wait_for("nothing lags", SOON, async || {
        let mut request = Request::new(ListStagesRequest {});
        let token = running.signer.token(&Principal::system("gateway")).unwrap();
        let key = token.parse().unwrap();
        request.metadata_mut().insert(rpc::PRINCIPAL_KEY, key);
        let answer = stages.list_stages(request).await.unwrap().into_inner().stages;
        answer
            .iter()
            .all(|stage: &Stage| stage.lag == 0)
            .then_some(answer)
    })
    .await;
    let names: Vec<_> = settled
        .iter()
        .map(|stage| (stage.name.as_str(), stage.dead_letters))
        .collect();
    assert_eq!(
        names,
        [
            ("identity-resolver/outbox", 0),
            ("identity-resolver/signals.accepted", 1),
            ("identity-resolver/people.stated", 0),
            ("identity-resolver/companies.stated", 0),
        ]
    );
    running.lifecycle.stop(Duration::from_secs(5)).await.unwrap();
}
