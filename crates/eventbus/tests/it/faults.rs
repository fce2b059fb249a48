//! Brokers and databases that die.

use std::time::Duration;

use eventbus::ConsumerSpec;
use local_stack::{Postgres, PostgresOptions};
use settings::Secret;
use test_kit::wait_for;

use crate::harness::*;

#[tokio::test(flavor = "multi_thread")]
async fn events_survive_kills_of_the_broker_and_take_effect_once() {
    let (db, mut broker) = (Database::create().await, Broker::start().await);
    let settings = broker.settings();
    let service = Service::start(&db, &settings).await.relay();
    service.consume(spec(), Once(service.stores.clone()));
    let mut told = Vec::new();
    for _ in 0..3 {
        let (more, ()) = tokio::join!(service.tell_each(org(1), 300), async {
            wait_for("some were published", SOON, async || {
                (service.metric("relay_published_total") > told.len() as f64).then_some(())
            })
            .await;
            broker.nats.kill().await.unwrap();
            broker.nats.restart().await.unwrap();
        });
        told.extend(more);
    }
    service.wait_published().await;
    service.wait_effects(&told).await;
    told.sort();
    assert_eq!(stored_ids(&settings).await, told);
    assert!(service.dead_letters().await.is_empty());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_back_empty_is_filled_again_by_the_outbox() {
    let (db, mut broker) = (Database::create().await, Broker::start().await);
    let settings = broker.settings();
    let service = Service::start(&db, &settings).await.relay();
    service.consume(spec(), Once(service.stores.clone()));
    let mut told = service.tell_each(org(1), 200).await;
    service.wait_effects(&told).await;
    for _ in 0..2 {
        broker.nats.kill().await.unwrap();
        broker.nats.wipe_store().await.unwrap();
        told.extend(service.tell_each(org(1), 50).await);
        broker.nats.restart().await.unwrap();
        told.extend(service.tell_each(org(1), 50).await);
        service.wait_effects(&told).await;
        service.wait_published().await;
    }
    told.sort();
    assert_eq!(stored_ids(&settings).await, told);
    assert!(service.metric("relay_republished_total") >= 200.0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_deleted_under_way_is_made_and_filled_again() {
    let db = Database::create().await;
    let settings = db.bus_settings();
    let service = Service::start(&db, &settings).await.relay();
    service.consume(spec(), Once(service.stores.clone()));
    let mut told = service.tell_each(org(1), 100).await;
    service.wait_effects(&told).await;
    raw(&settings)
        .await
        .delete_stream(format!("{}_EVENTS", settings.namespace))
        .await
        .unwrap();
    told.extend(service.tell_each(org(1), 100).await);
    service.wait_effects(&told).await;
    service.wait_published().await;
    told.sort();
    wait_for("the stream holds all again", SOON, async || {
        (stored_ids(&settings).await == told).then_some(())
    })
    .await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_freezes_without_a_word_is_noticed_and_work_goes_on_after() {
    let (db, broker) = (Database::create().await, Broker::start().await);
    let settings = broker.settings();
    let service = Service::start(&db, &settings).await.relay();
    service.consume(spec(), Once(service.stores.clone()));
    let mut told = service.tell_each(org(1), 50).await;
    service.wait_effects(&told).await;
    let signal = |name: &str| {
        let pid = broker.nats.pid().unwrap().to_string();
        let sent = std::process::Command::new("kill").args([name, &pid]).status();
        assert!(sent.unwrap().success());
    };
    signal("-STOP");
    told.extend(service.tell_each(org(1), 50).await);
    // No error ever comes of it: the connection stays open. The wall clock tells.
    wait_for("the silence is noticed", SOON, async || {
        (service.metric("consumer_rebuilds_total") >= 1.0).then_some(())
    })
    .await;
    signal("-CONT");
    service.wait_effects(&told).await;
    service.wait_published().await;
    told.sort();
    assert_eq!(stored_ids(&settings).await, told);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_starts_before_the_broker_catches_up() {
    let (db, mut broker) = (Database::create().await, Broker::start().await);
    let settings = eventbus::BusSettings {
        connect_wait_ms: 100,
        ..broker.settings()
    };
    broker.nats.kill().await.unwrap();
    let service = Service::start(&db, &settings).await.relay();
    service.consume(spec(), Once(service.stores.clone()));
    assert!(!service.life.readiness().ready);
    let told = service.tell_each(org(1), 50).await;
    broker.nats.restart().await.unwrap();
    service.wait_effects(&told).await;
    let ready = async || service.life.readiness().ready.then_some(());
    wait_for("readiness", SOON, ready).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_database_uses_up_no_attempts() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = PostgresOptions::new(directory.path().join("postgres"));
    options.durable = false;
    let mut postgres = Postgres::start(options).await.unwrap();
    let url = postgres.superuser_url("outage");
    let mut db = db_settings(&url);
    db.acquire_timeout_ms = 300;
    store::bootstrap::bootstrap(&Secret::new(url), &db.database, &[(&db).into()])
        .await
        .unwrap();
    let none = sqlx::migrate::Migrator {
        migrations: Vec::new().into(),
        ..sqlx::migrate::Migrator::DEFAULT
    };
    store::migrate(&db, &none).await.unwrap();
    let mut owner = <sqlx::PgConnection as sqlx::Connection>::connect(&as_role(&db, "bus_test_owner"))
        .await
        .unwrap();
    sqlx::raw_sql(TABLES).execute(&mut owner).await.unwrap();
    drop(owner);

    let broker = Broker::start().await;
    let service = Service::start_on(&db, &broker.settings()).await.relay();
    let told = contacts(org(1), 40);
    service.tell(&told).await;
    service.wait_published().await;
    postgres.kill().await.unwrap();
    // One attempt is all there is, and it is made while there is no database.
    service.consume(
        ConsumerSpec {
            max_deliver: 1,
            ..spec()
        },
        Once(service.stores.clone()),
    );
    wait_for("handlers tried", SOON, async || {
        (service.metric("consumer_handler_seconds_count") >= 8.0).then_some(())
    })
    .await;
    tokio::time::timeout(Duration::from_secs(10), postgres.restart())
        .await
        .unwrap()
        .unwrap();
    service.wait_effects(&ids_of(&told)).await;
    assert!(service.dead_letters().await.is_empty());
    service.stop().await;
}
