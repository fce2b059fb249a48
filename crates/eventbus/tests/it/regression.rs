//! A broker that has lost the end of a stream, and has filled it up with others' messages since.

use std::path::Path;

use contracts::Event as _;
use contracts::events::v1::ContactIdentified;
use uuid::Uuid;

use crate::harness::*;

#[tokio::test(flavor = "multi_thread")]
async fn lost_events_are_published_again_although_others_took_their_sequences() {
    let (db, directory) = (Database::create().await, tempfile::tempdir().unwrap());
    let mut options = local_stack::NatsOptions::new(directory.path().join("nats"));
    options.max_file_store_bytes = 1 << 30;
    let mut nats = local_stack::Nats::start(options).await.unwrap();
    let (store, backup) = (
        directory.path().join("nats/store"),
        directory.path().join("backup"),
    );
    let settings = bus_settings(&nats.url());

    let first = Service::start(&db, &settings).await.relay();
    let mut told = first.tell_each(org(1), 100).await;
    first.wait_published().await;
    first.stop().await;
    nats.stop().await.unwrap();
    copy(&store, &backup);

    nats.restart().await.unwrap();
    let second = Service::start(&db, &settings).await.relay();
    told.extend(second.tell_each(org(1), 77).await);
    second.wait_published().await;
    second.stop().await;
    // As after a power cut: the disk has what it had some time ago.
    nats.kill().await.unwrap();
    nats.wipe_store().await.unwrap();
    copy(&backup, &store);
    nats.restart().await.unwrap();

    let js = raw(&settings).await;
    let mut others = Vec::new();
    for n in 0..150_u128 {
        let id = Uuid::from_u128(n + 1);
        let subject = format!(
            "{}.evt.{}.{}",
            settings.namespace,
            org(2),
            ContactIdentified::TYPE
        );
        let message = async_nats::jetstream::message::PublishMessage::build().message_id(id.to_string());
        js.send_publish(subject, message).await.unwrap().await.unwrap();
        others.push(id);
    }

    let third = Service::start(&db, &settings).await.relay();
    test_kit::wait_for("the repair", LATER, async || {
        (third.metric("relay_republished_total") > 0.0).then_some(())
    })
    .await;
    third.wait_published().await;
    // Only what was lost.
    assert_eq!(third.metric("relay_republished_total"), 77.0);
    let mut all: Vec<Uuid> = told.into_iter().chain(others).collect();
    all.sort();
    assert_eq!(stored_ids(&settings).await, all);
    third.stop().await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
