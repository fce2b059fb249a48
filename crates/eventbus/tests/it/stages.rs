//! What a service says about how far it is behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use contracts::Event as _;
use contracts::events::v1::ContactIdentified;
use contracts::ops::v1::Stage;
use eventbus::{ConsumerSpec, StageReporter};
use test_kit::wait_for;

use crate::harness::*;

#[tokio::test]
async fn lag_age_and_dead_letters_are_told_and_fall_back_to_zero() {
    let db = Database::create().await;
    let service = Service::start(&db, &db.bus_settings()).await.relay();
    let released = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&released);
    let told = contacts(org(1), 30);
    let bad = told[0].id;
    let patient = ConsumerSpec {
        max_deliver: 10_000,
        ..spec()
    };
    service.consume(
        patient,
        misbehaving(&service, move |e, _| {
            match (e.id == bad, flag.load(Ordering::SeqCst)) {
                (true, _) => Some(Misdeed::Poison),
                (false, false) => Some(Misdeed::Retry),
                (false, true) => None,
            }
        }),
    );
    let reporter = StageReporter::new(SERVICE, &service.bus, &service.stores);
    service.tell(&told).await;
    let stages = async || reporter.stages().await.ok();
    let behind: Vec<Stage> = wait_for("29 behind and one dead", SOON, async || {
        let stages = stages().await?;
        (stages[1].lag == 29 && stages[1].dead_letters == 1 && stages[1].oldest_age_ms > 100)
            .then_some(stages)
    })
    .await;
    assert_eq!(behind[0].name, "bus_test/outbox");
    assert_eq!((behind[0].lag, behind[0].oldest_age_ms), (0, 0));
    assert_eq!(behind[1].name, format!("bus_test/{}", ContactIdentified::TYPE));
    assert!(behind[1].oldest_age_ms < 20_000);

    released.store(true, Ordering::SeqCst);
    wait_for("nothing behind", SOON, async || {
        let stage = stages().await?.remove(1);
        (stage.lag == 0 && stage.oldest_age_ms == 0).then_some(())
    })
    .await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_that_cannot_be_published_shows_its_lag() {
    let (db, mut broker) = (Database::create().await, Broker::start().await);
    let service = Service::start(&db, &broker.settings()).await.relay();
    let reporter = StageReporter::new(SERVICE, &service.bus, &service.stores);
    broker.nats.kill().await.unwrap();
    service.tell_each(org(1), 5).await;
    // Only the outbox is this service's: no consumer runs, so the broker is not asked.
    wait_for("the lag", SOON, async || {
        let stage = reporter.stages().await.ok()?.remove(0);
        (stage.lag == 5 && stage.oldest_age_ms > 0).then_some(())
    })
    .await;
    broker.nats.restart().await.unwrap();
    service.wait_published().await;
    assert_eq!(reporter.stages().await.unwrap()[0].lag, 0);
    service.stop().await;
}
