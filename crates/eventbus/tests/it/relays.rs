//! From the outbox to the streams.

use std::time::{Duration, Instant};

use contracts::events::v1::AccountDiscovered;
use contracts::signals::v1::{Signal, SignalsAccepted};
use sqlx::Connection as _;
use test_kit::wait_for;

use crate::harness::*;

#[tokio::test]
async fn committed_events_are_published_in_order_under_their_own_ids() {
    let db = Database::create().await;
    let settings = db.bus_settings();
    let service = Service::start(&db, &settings).await.relay();
    let told = contacts(org(1), 600);
    service.tell(&told).await;
    service.wait_published().await;
    let stored = stored(&settings).await;
    assert_eq!(
        stored.iter().map(|(_, id)| *id).collect::<Vec<_>>(),
        ids_of(&told)
    );
    let marked: Vec<(uuid::Uuid, i64)> = service
        .rows("SELECT id, stream_seq FROM outbox WHERE published_at IS NOT NULL ORDER BY id")
        .await;
    let expected: Vec<_> = stored
        .iter()
        .map(|(seq, id)| (*id, i64::try_from(*seq).unwrap()))
        .collect();
    assert_eq!(marked, expected);
    assert_eq!(service.metric("relay_published_total"), 600.0);
    service.stop().await;
}

#[tokio::test]
async fn a_rolled_back_event_is_never_published() {
    let db = Database::create().await;
    let settings = db.bus_settings();
    let service = Service::start(&db, &settings).await.relay();
    let mut tx = service.stores.pipeline.begin().await.unwrap();
    eventbus::enqueue(&mut tx, &contact(org(1))).await.unwrap();
    tx.rollback().await;
    let told = service.tell_each(org(1), 1).await;
    service.wait_published().await;
    assert_eq!(stored_ids(&settings).await, told);
    service.stop().await;
}

#[tokio::test]
async fn internal_events_travel_in_their_own_stream_and_compressed() {
    let db = Database::create().await;
    let settings = db.bus_settings();
    let service = Service::start(&db, &settings).await.relay();
    let signals = vec![
        Signal {
            r#type: "repo_star".into(),
            ..Signal::default()
        };
        200
    ];
    let batch = SignalsAccepted {
        batch_id: "b".into(),
        organization_id: org(1).to_string(),
        signals,
    };
    service.tell(&[event(org(1), &batch)]).await;
    service.wait_published().await;
    assert!(stored(&settings).await.is_empty());
    let stream = raw(&settings)
        .await
        .get_stream(format!("{}_PIPELINE", settings.namespace))
        .await
        .unwrap();
    let message = stream.get_raw_message(1).await.unwrap();
    assert_eq!(message.headers.get("content-encoding").unwrap().as_str(), "zstd");
    assert!(
        message
            .subject
            .ends_with(&format!("pipeline.{}.signals.accepted", org(1)))
    );
    service.stop().await;
}

#[tokio::test]
async fn a_row_that_no_broker_takes_becomes_a_dead_letter_and_its_neighbours_go_on() {
    let db = Database::create().await;
    let settings = db.bus_settings();
    let service = Service::start(&db, &settings).await.relay();
    let too_large = AccountDiscovered {
        name: Some("x".repeat(2 << 20)),
        ..Default::default()
    };
    let told = [contact(org(1)), event(org(1), &too_large), contact(org(1))];
    service.tell(&told).await;
    service.wait_published().await;
    assert_eq!(
        stored_ids(&settings).await,
        [told[0].id.uuid(), told[2].id.uuid()]
    );
    let dead = service.dead_letters().await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].letter.message_id, told[1].id.uuid());
    assert_eq!(dead[0].letter.org, Some(org(1)));
    assert_eq!(dead[0].letter.consumer, "bus_test_outbox");
    assert_eq!(dead[0].letter.payload, told[1].payload);

    // Asked to try again, it fails again and waits again.
    store::dead_letters::request_redrive(&service.stores.pipeline, &store::dead_letters::Redrive::All)
        .await
        .unwrap();
    wait_for("the second attempt", SOON, async || {
        (service.dead_letters().await[0].letter.attempts == 2).then_some(())
    })
    .await;
    service.stop().await;
}

#[tokio::test]
async fn a_full_stream_holds_events_back_in_the_outbox_and_loses_none() {
    let db = Database::create().await;
    let settings = eventbus::BusSettings {
        events_max_bytes: 1 << 20,
        ..db.bus_settings()
    };
    let service = Service::start(&db, &settings).await.relay();
    let large = AccountDiscovered {
        name: Some("x".repeat(50_000)),
        ..Default::default()
    };
    let told: Vec<_> = (0..30).map(|_| event(org(1), &large)).collect();
    service.tell(&told).await;
    wait_for("the stream is full", SOON, async || {
        (service.metric("relay_publish_failures_total{reason=\"full\"}") > 0.0).then_some(())
    })
    .await;
    let held_back = service.unpublished().await;
    assert!(0 < held_back && held_back < 30, "{held_back}");

    // An operator makes room.
    let js = raw(&settings).await;
    let stream = js
        .get_stream(format!("{}_EVENTS", settings.namespace))
        .await
        .unwrap();
    let mut config = stream.cached_info().config.clone();
    config.max_bytes = 4 << 20;
    js.update_stream(&config).await.unwrap();
    service.wait_published().await;
    assert_eq!(stored_ids(&settings).await, ids_of(&told));
    assert!(service.dead_letters().await.is_empty());
    service.stop().await;
}

#[tokio::test]
async fn one_relay_leads_and_another_takes_over_when_it_is_cut_off() {
    let db = Database::create().await;
    let settings = db.bus_settings();
    let first = Service::start(&db, &settings).await.relay();
    let mut told = first.tell_each(org(1), 20).await;
    first.wait_published().await;
    let second = Service::start(&db, &settings).await.relay();
    told.extend(second.tell_each(org(1), 20).await);
    first.wait_published().await;
    assert_eq!(
        first.metric("relay_leader_info") + second.metric("relay_leader_info"),
        1.0
    );

    // The leader's process dies: its connection, and with it its lock, is gone.
    let mut admin = db.admin().await;
    first.life.shutdown();
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%leader%' AND datname = current_database()")
        .execute(&mut admin)
        .await
        .unwrap();
    first.stop().await;
    let cut = Instant::now();
    told.extend(second.tell_each(org(1), 20).await);
    second.wait_published().await;
    assert!(cut.elapsed() < Duration::from_secs(5), "{:?}", cut.elapsed());
    assert_eq!(second.metric("relay_leader_info"), 1.0);
    told.sort();
    assert_eq!(stored_ids(&settings).await, told);
    admin.close().await.unwrap();
    second.stop().await;
}

#[tokio::test]
async fn a_leader_that_loses_its_lock_while_it_lives_repeats_nothing() {
    let db = Database::create().await;
    let settings = db.bus_settings();
    let services = [
        Service::start(&db, &settings).await.relay(),
        Service::start(&db, &settings).await.relay(),
    ];
    let mut admin = db.admin().await;
    let mut told = Vec::new();
    for round in 0..6 {
        told.extend(services[round % 2].tell_each(org(1), 40).await);
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%leader%' AND datname = current_database()")
            .execute(&mut admin)
            .await
            .unwrap();
    }
    services[0].wait_published().await;
    told.sort();
    assert_eq!(stored_ids(&settings).await, told);
    admin.close().await.unwrap();
    for service in &services {
        service.stop().await;
    }
}

#[tokio::test]
async fn a_relay_that_is_held_publishes_when_it_is_let_go_and_when_it_is_stopped() {
    let db = Database::create().await;
    let settings = db.bus_settings();
    let (hold, held) = tokio::sync::watch::channel(true);
    let service = Service::start(&db, &settings).await;
    eventbus::Relay::spawn_with(
        held,
        &service.bus,
        &service.stores,
        SERVICE,
        &service.life,
        &service.metrics,
    )
    .unwrap();
    let mut told = service.tell_each(org(1), 3).await;
    wait_for("the relay leads", LATER, async || {
        (service.metric("relay_leader_info") == 1.0).then_some(())
    })
    .await;
    // Longer than any pause of a relay that is not held.
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(service.unpublished().await, 3);
    hold.send_replace(false);
    service.wait_published().await;
    hold.send_replace(true);
    told.extend(service.tell_each(org(1), 2).await);
    service.stop().await;
    assert_eq!(stored_ids(&settings).await, told);
}
