//! Live readers.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::events::v1::{AccountDiscovered, ContactIdentified};
use contracts::{Envelope, Event as _, StreamKind};
use eventbus::{Position, Tail, TailError, TailFilter, TailStart};
use futures::{FutureExt as _, StreamExt as _};
use test_kit::wait_for;
use uuid::Uuid;

use crate::harness::*;

async fn next(tail: &mut Tail) -> (Position, Envelope) {
    tokio::time::timeout(LATER, tail.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap()
}

async fn read(tail: &mut Tail, count: usize) -> Vec<(Position, Uuid)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let (position, envelope) = next(tail).await;
        seen.push((position, envelope.id.uuid()));
    }
    seen
}

fn ids(seen: &[(Position, Uuid)]) -> Vec<Uuid> {
    seen.iter().map(|(_, id)| *id).collect()
}

/// Waits until a tail from [`TailStart::New`] has found its place, by publishing until it sees something.
async fn settled(service: &Service, filter: TailFilter) -> Tail {
    let org = filter.org.unwrap_or(org(1));
    let mut tail = service.bus.tail(TailStart::New, filter);
    loop {
        service.tell_each(org, 1).await;
        if tokio::time::timeout(Duration::from_millis(200), tail.next())
            .await
            .is_ok()
        {
            break;
        }
    }
    service.wait_published().await;
    while let Ok(Some(_)) = tokio::time::timeout(Duration::from_millis(200), tail.next()).await {}
    tail
}

#[tokio::test]
async fn a_tail_shows_new_events_of_its_organization_and_types_in_order() {
    let db = Database::create().await;
    let service = Service::start(&db, &db.bus_settings()).await.relay();
    service.tell_each(org(1), 5).await;
    let types = vec![
        ContactIdentified::TYPE.to_owned(),
        ContactIdentified::TYPE.to_owned(),
    ];
    let mut tail = settled(
        &service,
        TailFilter {
            org: Some(org(1)),
            types,
        },
    )
    .await;
    let told: Vec<_> = (0..60)
        .map(|n| match n % 3 {
            0 => contact(org(1)),
            1 => contact(org(2)),
            _ => event(org(1), &AccountDiscovered::default()),
        })
        .collect();
    service.tell(&told).await;
    let expected: Vec<_> = told.iter().step_by(3).map(|e| e.id.uuid()).collect();
    let seen = read(&mut tail, 20).await;
    assert_eq!(ids(&seen), expected);
    assert!(seen.is_sorted_by_key(|(position, _)| position.seq));
    assert!(tail.next().now_or_never().is_none());
    service.stop().await;
}

#[tokio::test]
async fn a_tail_resumes_exactly_after_its_position_and_since_a_time() {
    let db = Database::create().await;
    let service = Service::start(&db, &db.bus_settings()).await.relay();
    let told = service.tell_each(org(1), 50).await;
    service.wait_published().await;
    let mut all = service.bus.tail(
        TailStart::Since(jiff::Timestamp::UNIX_EPOCH),
        TailFilter::default(),
    );
    let seen = read(&mut all, 50).await;
    assert_eq!(ids(&seen), told);
    for cut in [0, 24, 48] {
        // As a client would: by the text of the position.
        let position: Position = seen[cut].0.to_string().parse().unwrap();
        let mut rest = service
            .bus
            .tail(TailStart::After(position), TailFilter::default());
        assert_eq!(ids(&read(&mut rest, 49 - cut).await), told[cut + 1..]);
    }
    let mut since = service
        .bus
        .tail(TailStart::Since(seen[30].0.time), TailFilter::default());
    assert_eq!(ids(&read(&mut since, 20).await), told[30..]);
    let mut end = service
        .bus
        .tail(TailStart::After(seen[49].0), TailFilter::default());
    let more = service.tell_each(org(1), 1).await;
    assert_eq!(ids(&read(&mut end, 1).await), more);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_survives_kills_of_the_broker_without_gap_or_repetition_and_in_order_per_object() {
    let (db, mut broker) = (Database::create().await, Broker::start().await);
    let service = Service::start(&db, &broker.settings()).await.relay();
    let mut tail = service.bus.tail(
        TailStart::Since(jiff::Timestamp::UNIX_EPOCH),
        TailFilter::default(),
    );
    let objects = ["a", "b", "c"];
    let mut told: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
    let mut count = 0;
    for round in 0..6 {
        let (more, ()) = tokio::join!(tell_of_objects(&service, &objects), async {
            // Each time at another point of what is being published.
            let published = service.metric("relay_published_total") + f64::from(20 * round);
            let some = async || (service.metric("relay_published_total") >= published).then_some(());
            wait_for("some were published", SOON, some).await;
            broker.nats.kill().await.unwrap();
            broker.nats.restart().await.unwrap();
        });
        count += more.len();
        for envelope in more {
            told.entry(envelope.about).or_default().push(envelope.id.uuid());
        }
    }
    let mut seen: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
    for _ in 0..count {
        let (_, envelope) = next(&mut tail).await;
        seen.entry(envelope.about).or_default().push(envelope.id.uuid());
    }
    assert_eq!(seen, told);
    service.stop().await;
}

/// Many events of few objects, some transactions with several of one object.
async fn tell_of_objects(service: &Service, objects: &[&str]) -> Vec<Envelope> {
    let mut told = Vec::new();
    for _ in 0..60 {
        let some: Vec<_> = objects
            .iter()
            .flat_map(|object| [contact_of(org(1), object), contact_of(org(1), object)])
            .collect();
        service.tell(&some).await;
        told.extend(some);
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_goes_on_when_the_stream_was_made_anew() {
    let (db, mut broker) = (Database::create().await, Broker::start().await);
    let service = Service::start(&db, &broker.settings()).await.relay();
    let mut tail = service.bus.tail(
        TailStart::Since(jiff::Timestamp::UNIX_EPOCH),
        TailFilter::default(),
    );
    let before = service.tell_each(org(1), 20).await;
    let seen = read(&mut tail, 20).await;
    assert_eq!(ids(&seen), before);
    broker.nats.kill().await.unwrap();
    broker.nats.wipe_store().await.unwrap();
    let after = service.tell_each(org(1), 20).await;
    broker.nats.restart().await.unwrap();
    for mut reader in [
        tail,
        service
            .bus
            .tail(TailStart::After(seen[9].0), TailFilter::default()),
    ] {
        let mut missing = after.clone();
        while !missing.is_empty() {
            let (position, envelope) = next(&mut reader).await;
            assert_ne!(position.stream_created, seen[0].0.stream_created);
            assert!(before.contains(&envelope.id.uuid()) || after.contains(&envelope.id.uuid()));
            missing.retain(|id| *id != envelope.id.uuid());
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_position_older_than_what_is_kept_has_expired() {
    let db = Database::create().await;
    let settings = db.bus_settings();
    let service = Service::start(&db, &settings).await.relay();
    let told = service.tell_each(org(1), 30).await;
    service.wait_published().await;
    let mut all = service.bus.tail(
        TailStart::Since(jiff::Timestamp::UNIX_EPOCH),
        TailFilter::default(),
    );
    let seen = read(&mut all, 30).await;
    let stream = raw(&settings)
        .await
        .get_stream(format!("{}_EVENTS", settings.namespace))
        .await
        .unwrap();
    stream.purge().sequence(21).await.unwrap();

    let edges = service.bus.first_and_last(StreamKind::Events).await.unwrap();
    assert_eq!(
        (edges.first_seq, edges.last_seq, edges.first_time),
        (21, 30, Some(seen[20].0.time))
    );
    let mut expired = service
        .bus
        .tail(TailStart::After(seen[18].0), TailFilter::default());
    let error = expired.next().await.unwrap().unwrap_err();
    assert_eq!(
        error,
        TailError::Expired {
            earliest: edges.first_time
        }
    );
    assert!(expired.next().await.is_none());
    // The last one before the edge has lost nothing.
    let mut edge = service
        .bus
        .tail(TailStart::After(seen[19].0), TailFilter::default());
    assert_eq!(ids(&read(&mut edge, 10).await), told[20..]);
    let TailError::Expired {
        earliest: Some(earliest),
    } = error
    else {
        panic!("{error:?}")
    };
    let mut again = service
        .bus
        .tail(TailStart::Since(earliest), TailFilter::default());
    assert_eq!(ids(&read(&mut again, 10).await), told[20..]);
    service.stop().await;
}

#[tokio::test]
async fn a_type_that_is_no_public_event_is_refused() {
    let db = Database::create().await;
    let service = Service::start(&db, &db.bus_settings()).await;
    for kind in ["no.such", "signals.accepted", ">", "*", "contact.identified.x"] {
        let filter = TailFilter {
            org: None,
            types: vec![kind.to_owned()],
        };
        let error = service
            .bus
            .tail(TailStart::New, filter)
            .next()
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(error, TailError::UnknownType(kind.to_owned()));
    }
    service.stop().await;
}
