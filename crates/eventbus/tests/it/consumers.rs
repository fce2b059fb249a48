//! From the stream to the handler.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use contracts::events::v1::ContactIdentified;
use contracts::{Envelope, Event as _};
use eventbus::{ConsumerSpec, Delivery as _, Handler, HandlerError};
use parking_lot::Mutex;
use test_kit::wait_for;
use uuid::Uuid;

use crate::harness::*;

#[tokio::test]
async fn every_event_takes_effect_once_under_its_own_tenant() {
    let db = Database::create().await;
    let settings = db.bus_settings();
    let service = Service::start(&db, &settings).await.relay();
    service.consume(spec(), Once(service.stores.clone()));
    let mut told = contacts(org(1), 150);
    told.extend(contacts(org(2), 150));
    service.tell(&told).await;
    service.wait_effects(&ids_of(&told)).await;
    let owners: Vec<(Uuid, Uuid)> = service.rows("SELECT event_id, org_id FROM effects").await;
    let expected: HashSet<_> = told.iter().map(|e| (e.id.uuid(), e.org().uuid())).collect();
    assert_eq!(owners.into_iter().collect::<HashSet<_>>(), expected);
    service.stop().await;
}

#[tokio::test]
async fn five_percent_forced_redelivery_changes_nothing() {
    let db = Database::create().await;
    let service = Service::start(&db, &db.bus_settings()).await.relay();
    let handler = With {
        inner: Once(service.stores.clone()),
        runs: Arc::default(),
        before: |_: &Envelope, _| None,
        // The effect is stored, and the broker is told that it is not.
        after: |run| {
            if run % 20 == 0 {
                Err(HandlerError::Retry(anyhow::anyhow!("again")))
            } else {
                Ok(())
            }
        },
    };
    let runs = Arc::clone(&handler.runs);
    service.consume(
        ConsumerSpec {
            max_deliver: 20,
            ..spec()
        },
        handler,
    );
    let told = contacts(org(1), 1_000);
    service.tell(&told).await;
    service.wait_effects(&ids_of(&told)).await;
    wait_for("the redeliveries", SOON, async || {
        (runs.load(std::sync::atomic::Ordering::SeqCst) >= 1_050).then_some(())
    })
    .await;
    assert_eq!(service.effects().await.len(), 1_000);
    assert!(service.dead_letters().await.is_empty());
    assert!(service.metric("consumer_redeliveries_total") >= 50.0);
    service.stop().await;
}

#[tokio::test]
async fn replicas_share_the_work() {
    let db = Database::create().await;
    let settings = db.bus_settings();
    let services = [
        Service::start(&db, &settings).await.relay(),
        Service::start(&db, &settings).await,
    ];
    for service in &services {
        service.consume(spec(), Once(service.stores.clone()));
    }
    let told = contacts(org(1), 2_000);
    services[0].tell(&told).await;
    services[1].wait_effects(&ids_of(&told)).await;
    for service in &services {
        assert!(service.metric("consumer_handled_total") > 0.0);
        service.stop().await;
    }
}

#[tokio::test]
async fn what_is_in_hand_at_shutdown_is_finished_and_the_rest_handed_back() {
    let db = Database::create().await;
    let settings = db.bus_settings();
    let first = Service::start(&db, &settings).await.relay();
    let slow = SlowOnce(Once(first.stores.clone()));
    // An ack wait longer than this test waits: what comes again was handed back.
    let patient = || ConsumerSpec {
        concurrency: 2,
        handler_timeout: Duration::from_mins(10),
        ..spec()
    };
    first.consume(patient(), slow);
    let told = contacts(org(1), 100);
    first.tell(&told).await;
    wait_for("the first effects", SOON, async || {
        (first.effects().await.len() > 5).then_some(())
    })
    .await;
    first.stop().await;
    let second = Service::start(&db, &settings).await;
    second.consume(patient(), Once(second.stores.clone()));
    second.wait_effects(&ids_of(&told)).await;
    second.stop().await;
}

struct SlowOnce(Once);

impl Handler for SlowOnce {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.0.handle(envelope).await
    }
}

#[tokio::test]
async fn a_deleted_consumer_is_made_again_and_nothing_happens_twice() {
    let db = Database::create().await;
    let settings = db.bus_settings();
    let service = Service::start(&db, &settings).await.relay();
    service.consume(spec(), Once(service.stores.clone()));
    let mut told = service.tell_each(org(1), 50).await;
    service.wait_effects(&told).await;
    let js = raw(&settings).await;
    js.delete_consumer_from_stream(spec().durable(), format!("{}_EVENTS", settings.namespace))
        .await
        .unwrap();
    told.extend(service.tell_each(org(1), 50).await);
    service.wait_effects(&told).await;
    assert!(service.metric("consumer_rebuilds_total") >= 1.0);
    service.stop().await;
}

#[tokio::test]
async fn a_changed_specification_updates_the_consumer() {
    let db = Database::create().await;
    let settings = db.bus_settings();
    let first = Service::start(&db, &settings).await;
    first.consume(spec(), Once(first.stores.clone()));
    let js = raw(&settings).await;
    let stream = js
        .get_stream_no_info(format!("{}_EVENTS", settings.namespace))
        .await
        .unwrap();
    let max_deliver = async || {
        stream
            .consumer_info(spec().durable())
            .await
            .ok()
            .map(|info| info.config.max_deliver)
    };
    wait_for("the consumer", SOON, async || {
        (max_deliver().await == Some(4)).then_some(())
    })
    .await;
    first.stop().await;
    let second = Service::start(&db, &settings).await;
    second.consume(
        ConsumerSpec {
            max_deliver: 9,
            ..spec()
        },
        Once(second.stores.clone()),
    );
    wait_for("the new limit", SOON, async || {
        (max_deliver().await == Some(9)).then_some(())
    })
    .await;
    second.stop().await;
}

#[tokio::test]
async fn the_trace_of_the_producer_reaches_the_handler() {
    let db = Database::create().await;
    let service = Service::start(&db, &db.bus_settings()).await.relay();
    let seen = Arc::new(Mutex::new(Vec::new()));
    service.consume(spec(), Notes(Arc::clone(&seen)));
    let mut told = contact(org(1));
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    told.traceparent = Some(traceparent.to_owned());
    service.tell(std::slice::from_ref(&told)).await;
    wait_for("the event", SOON, async || {
        (!seen.lock().is_empty()).then_some(())
    })
    .await;
    let envelope: Envelope = seen.lock()[0].clone();
    assert_eq!(envelope.traceparent.as_deref(), Some(traceparent));
    assert_eq!(envelope.about, told.about);
    assert_eq!(envelope.source, ContactIdentified::SOURCE);
    assert_eq!(envelope.time.as_microsecond(), told.time.as_microsecond());
    assert_eq!(envelope.payload, told.payload);
    service.stop().await;
}

struct Notes(Arc<Mutex<Vec<Envelope>>>);

impl Handler for Notes {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        self.0.lock().push(envelope);
        Ok(())
    }
}

#[test]
fn s_07_a_payload_of_another_organization_is_poison() {
    let envelope = contact(org(1));
    assert!(envelope.check_org(&org(1).to_string()).is_ok());
    for other in [org(2).to_string(), String::new(), "x".to_owned()] {
        assert!(matches!(envelope.check_org(&other), Err(HandlerError::Poison(_))));
    }
    assert_eq!(envelope.scope().org(), org(1));
    assert!(envelope.read::<ContactIdentified>().is_ok());
    let other = envelope.read::<contracts::events::v1::AccountDiscovered>();
    assert!(matches!(other, Err(HandlerError::Poison(_))));
}

#[tokio::test]
async fn a_specification_that_makes_no_sense_is_refused() {
    let db = Database::create().await;
    let service = Service::start(&db, &db.bus_settings()).await;
    let refused = |spec: ConsumerSpec| {
        let handler = Arc::new(Once(service.stores.clone()));
        eventbus::spawn_consumer(
            &service.bus,
            &service.stores,
            spec,
            handler,
            &service.life,
            &service.metrics,
        )
        .unwrap_err()
        .to_string()
    };
    assert!(refused(ConsumerSpec::new(SERVICE, "no.such_event")).contains("no.such_event"));
    assert!(refused(spec().concurrency(0)).contains("concurrency"));
    assert!(
        refused(ConsumerSpec {
            max_deliver: 0,
            ..spec()
        })
        .contains("max_deliver")
    );
    service.stop().await;
}
