//! What the streams look like at the broker.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use eventbus::BusSettings;
use settings::Validate as _;

use crate::harness::*;

async fn found(settings: &BusSettings, name: &str) -> Config {
    let stream = raw(settings)
        .await
        .get_stream(format!("{}_{name}", settings.namespace))
        .await
        .unwrap();
    stream.cached_info().config.clone()
}

#[tokio::test]
async fn streams_are_made_as_the_settings_say_and_follow_them() {
    let db = Database::create().await;
    let settings = db.bus_settings();
    let service = Service::start(&db, &settings).await;
    for (name, mib, days) in [("EVENTS", 16, 30), ("PIPELINE", 4, 7)] {
        let config = found(&settings, name).await;
        assert_eq!(config.retention, RetentionPolicy::Limits);
        assert_eq!(config.discard, DiscardPolicy::New);
        assert_eq!(config.storage, StorageType::File);
        assert_eq!(config.max_bytes, mib << 20);
        assert_eq!(config.max_age, Duration::from_secs(days * 24 * 3600));
        assert_eq!(config.duplicate_window, Duration::from_secs(30 * 60));
        assert_eq!(config.num_replicas, 1);
    }
    let advisories = found(&settings, "ADVISORIES").await;
    assert_eq!(advisories.subjects.len(), 4);
    service.stop().await;

    let larger = BusSettings {
        events_max_bytes: 20 << 20,
        ..settings.clone()
    };
    let service = Service::start(&db, &larger).await;
    assert_eq!(found(&settings, "EVENTS").await.max_bytes, 20 << 20);
    assert_eq!(found(&settings, "PIPELINE").await.max_bytes, 4 << 20);
    service.stop().await;
}

#[tokio::test]
async fn a_stream_changed_by_hand_is_put_right_when_the_connection_comes_back() {
    let (db, mut broker) = (Database::create().await, Broker::start().await);
    let settings = broker.settings();
    let service = Service::start(&db, &settings).await;
    let mut changed = found(&settings, "EVENTS").await;
    changed.max_bytes = 2 << 20;
    changed.discard = DiscardPolicy::Old;
    raw(&settings).await.update_stream(&changed).await.unwrap();
    broker.nats.kill().await.unwrap();
    broker.nats.restart().await.unwrap();
    test_kit::wait_for("the settings hold again", LATER, async || {
        let config = found(&settings, "EVENTS").await;
        (config.max_bytes == 16 << 20 && config.discard == DiscardPolicy::New).then_some(())
    })
    .await;
    service.stop().await;
}

#[test]
fn settings_that_contradict_each_other_are_refused_by_name() {
    let fine = BusSettings::default();
    fine.validate().unwrap();
    let refused = |settings: BusSettings| settings.validate().unwrap_err().to_string();
    let namespace = "a.b".to_owned();
    assert!(
        refused(BusSettings {
            namespace,
            ..fine.clone()
        })
        .contains("bus.namespace")
    );
    assert!(
        refused(BusSettings {
            replicas: 2,
            ..fine.clone()
        })
        .contains("bus.replicas")
    );
    assert!(
        refused(BusSettings {
            events_max_bytes: 0,
            ..fine.clone()
        })
        .contains("bus.events_max_bytes")
    );
    let window = refused(BusSettings {
        duplicate_window_secs: 8 * 24 * 3600,
        ..fine
    });
    assert!(window.contains("bus.duplicate_window_secs") && window.contains("bus.pipeline_max_age_secs"));
}

#[test]
fn settings_never_show_a_password() {
    let settings = BusSettings {
        url: "nats://u:hunter2@a:4222, nats://b:4222".to_owned(),
        password: "hunter3".to_owned().into(),
        ..BusSettings::default()
    };
    let shown = format!("{settings:?}");
    assert!(shown.contains("a:4222") && shown.contains("b:4222"), "{shown}");
    assert!(!shown.contains("hunter"), "{shown}");
}
