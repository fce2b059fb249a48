//! Messages that cannot be handled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use contracts::Event as _;
use contracts::events::v1::ContactIdentified;
use eventbus::ConsumerSpec;
use store::dead_letters::{self, Redrive};
use test_kit::wait_for;

use crate::harness::*;

#[tokio::test]
async fn a_poisonous_event_is_kept_with_its_reason_and_its_neighbours_go_on() {
    let db = Database::create().await;
    let service = Service::start(&db, &db.bus_settings()).await.relay();
    let told = contacts(org(1), 101);
    let bad = told[50].id;
    service.consume(
        spec(),
        misbehaving(&service, move |e, _| (e.id == bad).then_some(Misdeed::Poison)),
    );
    service.tell(&told).await;
    let good: Vec<_> = ids_of(&told).into_iter().filter(|id| *id != bad.uuid()).collect();
    service.wait_effects(&good).await;
    wait_for("the dead letter", SOON, async || {
        (!service.dead_letters().await.is_empty()).then_some(())
    })
    .await;
    let dead = service.dead_letters().await;
    assert_eq!(dead.len(), 1);
    let letter = &dead[0].letter;
    assert_eq!(
        (letter.message_id, letter.org, letter.attempts),
        (bad.uuid(), Some(org(1)), 1)
    );
    assert_eq!(letter.consumer, spec().durable());
    assert!(letter.reason.contains("cannot ever work"), "{}", letter.reason);
    assert_eq!(letter.payload, told[50].payload);
    assert_eq!(letter.subject, told[50].subject.text());
    service.stop().await;
}

#[tokio::test]
async fn a_message_that_is_not_an_event_of_ours_is_kept_at_once() {
    let db = Database::create().await;
    let settings = db.bus_settings();
    let service = Service::start(&db, &settings).await.relay();
    service.consume(spec(), Once(service.stores.clone()));
    let js = raw(&settings).await;
    let mut told = service.tell_each(org(1), 3).await;
    let subject = |org: &str| format!("{}.evt.{org}.{}", settings.namespace, ContactIdentified::TYPE);
    js.publish(subject(&org(1).to_string()), "no headers".into())
        .await
        .unwrap()
        .await
        .unwrap();
    js.publish(subject("not-an-organization"), "\u{0}".into())
        .await
        .unwrap()
        .await
        .unwrap();
    let mut headers = async_nats::HeaderMap::new();
    for (name, value) in contact(org(1)).headers() {
        headers.insert(name, value.as_str());
    }
    headers.insert("ce-type", "account.discovered");
    js.publish_with_headers(subject(&org(1).to_string()), headers, "".into())
        .await
        .unwrap()
        .await
        .unwrap();
    told.extend(service.tell_each(org(1), 3).await);
    service.wait_effects(&told).await;
    wait_for("three dead letters", SOON, async || {
        (service.dead_letters().await.len() == 3).then_some(())
    })
    .await;
    let mut orgs: Vec<_> = service
        .dead_letters()
        .await
        .into_iter()
        .map(|dead| dead.letter.org)
        .collect();
    orgs.sort();
    assert_eq!(orgs, [None, Some(org(1)), Some(org(1))]);
    service.stop().await;
}

#[tokio::test]
async fn a_handler_that_panics_is_tried_again_and_then_given_up_on() {
    let db = Database::create().await;
    let service = Service::start(&db, &db.bus_settings()).await.relay();
    let told = contacts(org(1), 20);
    let (always, once) = (told[5].id, told[10].id);
    let tries = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&tries);
    service.consume(
        spec(),
        misbehaving(&service, move |e, _| {
            let first = e.id == once && seen.fetch_add(1, Ordering::SeqCst) == 0;
            (e.id == always || first).then_some(Misdeed::Panic)
        }),
    );
    service.tell(&told).await;
    let good: Vec<_> = ids_of(&told)
        .into_iter()
        .filter(|id| *id != always.uuid())
        .collect();
    service.wait_effects(&good).await;
    wait_for("the dead letter", SOON, async || {
        (service.dead_letters().await.len() == 1).then_some(())
    })
    .await;
    let letter = service.dead_letters().await.remove(0).letter;
    assert_eq!((letter.message_id, letter.attempts), (always.uuid(), 4));
    assert!(
        letter.reason.contains("panic: a handler that panics"),
        "{}",
        letter.reason
    );
    assert!(tries.load(Ordering::SeqCst) >= 2);
    service.stop().await;
}

#[tokio::test]
async fn a_handler_that_hangs_is_cut_off_and_holds_up_nobody() {
    let db = Database::create().await;
    let service = Service::start(&db, &db.bus_settings()).await.relay();
    let told = contacts(org(1), 30);
    let stuck = told[0].id;
    let spec = ConsumerSpec {
        handler_timeout: Duration::from_millis(300),
        max_deliver: 3,
        ..spec()
    };
    service.consume(
        spec,
        misbehaving(&service, move |e, _| (e.id == stuck).then_some(Misdeed::Hang)),
    );
    service.tell(&told).await;
    service.wait_effects(&ids_of(&told)[1..]).await;
    wait_for("the dead letter", SOON, async || {
        (service.dead_letters().await.len() == 1).then_some(())
    })
    .await;
    let letter = service.dead_letters().await.remove(0).letter;
    assert_eq!((letter.message_id, letter.attempts), (stuck.uuid(), 3));
    assert!(letter.reason.contains("took longer"), "{}", letter.reason);
    service.stop().await;
}

#[tokio::test]
async fn a_dead_letter_is_redriven_when_asked_for() {
    let db = Database::create().await;
    let service = Service::start(&db, &db.bus_settings()).await.relay();
    let told = contacts(org(1), 3);
    let (bad, repaired) = (told[1].id, Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&repaired);
    service.consume(
        spec(),
        misbehaving(&service, move |e, _| {
            (e.id == bad && !flag.load(Ordering::SeqCst)).then_some(Misdeed::Poison)
        }),
    );
    service.tell(&told).await;
    let waiting = async |attempts: u32| {
        wait_for("the dead letter", SOON, async || {
            let dead = service.dead_letters().await;
            let found = dead.first().filter(|dead| dead.letter.attempts == attempts);
            found
                .filter(|dead| dead.redrive_requested_at.is_none())
                .map(|_| ())
        })
        .await;
    };
    waiting(1).await;
    let ask = async || {
        dead_letters::request_redrive(&service.stores.pipeline, &Redrive::All)
            .await
            .unwrap()
    };
    assert_eq!(ask().await, 1);
    // Still poisonous: it waits again, with the new attempt counted.
    waiting(2).await;
    repaired.store(true, Ordering::SeqCst);
    assert_eq!(ask().await, 1);
    service.wait_effects(&ids_of(&told)).await;
    wait_for("nothing waits", SOON, async || {
        service.dead_letters().await.is_empty().then_some(())
    })
    .await;
    service.stop().await;
}

#[test]
fn a_message_whose_workers_all_died_is_swept_into_the_dead_letters() {
    let here = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let db = here.block_on(Database::create());
    let settings = db.bus_settings();
    let spec = ConsumerSpec {
        max_deliver: 1,
        handler_timeout: Duration::from_secs(2),
        ..spec()
    };
    let told = contact(org(1));

    // The process that took the message dies with it in hand.
    let there = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    there.block_on(async {
        let doomed = Service::start(&db, &settings).await.relay();
        let taken = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&taken);
        doomed.consume(
            spec.clone(),
            misbehaving(&doomed, move |_, _| {
                flag.store(true, Ordering::SeqCst);
                Some(Misdeed::Hang)
            }),
        );
        doomed.tell(std::slice::from_ref(&told)).await;
        wait_for("it is taken", SOON, async || {
            taken.load(Ordering::SeqCst).then_some(())
        })
        .await;
    });
    there.shutdown_background();

    here.block_on(async {
        let service = Service::start(&db, &settings).await;
        service.consume(spec.clone(), Once(service.stores.clone()));
        wait_for("the advisory is followed", LATER, async || {
            (service.dead_letters().await.len() == 1).then_some(())
        })
        .await;
        let letter = service.dead_letters().await.remove(0).letter;
        assert_eq!((letter.message_id, letter.org), (told.id.uuid(), Some(org(1))));
        assert!(letter.reason.contains("gave up"), "{}", letter.reason);
        dead_letters::request_redrive(&service.stores.pipeline, &Redrive::All)
            .await
            .unwrap();
        service.wait_effects(&[told.id.uuid()]).await;
        service.stop().await;
    });
}
