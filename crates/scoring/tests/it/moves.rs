//! Roll-ups follow persons and accounts, and no signal is lost or counted twice on the way.

use uuid::Uuid;

use crate::harness::{Said as _, World, batch, linked, merged, new_id, new_org, signal, wrap};

#[tokio::test]
async fn a_merge_gives_the_person_what_was_the_actors() {
    let world = World::new().await;
    let (org, now) = (new_org(), world.now());
    let (anonymous, contact, acme, other) = (new_id(), new_id(), new_id(), new_id());
    world
        .record(
            org,
            vec![
                signal("page_view", now).by(anonymous),
                signal("page_view", now).by(anonymous),
                signal("login", now).by(anonymous).of(other),
                signal("page_view", now).by(contact).of(acme),
            ],
        )
        .await;
    let envelope = world.tell(org, &merged(anonymous, contact, Some(acme))).await;
    for _ in 0..9 {
        world.deliver(envelope.clone()).await.unwrap();
    }
    assert_eq!(world.counted(org, None, Some(anonymous)).await, 0);
    assert_eq!(world.counted(org, Some(acme), Some(contact)).await, 3);
    assert_eq!(world.counted(org, Some(other), Some(contact)).await, 1);
    assert_eq!(world.counted(org, None, None).await, 4);
    world.settle_all().await;
    assert_eq!(
        world.score(org, acme).await.unwrap().factors[0]
            .evidence
            .as_ref()
            .unwrap()
            .count,
        1
    );
}

#[tokio::test]
async fn a_merge_without_account_leaves_signals_without_one() {
    let world = World::new().await;
    let (org, anonymous, contact) = (new_org(), new_id(), new_id());
    world
        .record(org, vec![signal("page_view", world.now()).by(anonymous)])
        .await;
    world.tell(org, &merged(anonymous, contact, None)).await;
    assert_eq!(world.counted(org, Some(Uuid::nil()), Some(contact)).await, 1);
    let acme = new_id();
    world.tell(org, &linked(contact, acme)).await;
    assert_eq!(world.counted(org, Some(acme), Some(contact)).await, 1);
    assert_eq!(world.counted(org, None, None).await, 1);
}

#[tokio::test]
async fn a_batch_resolved_before_a_merge_and_arriving_after_it_is_corrected() {
    let world = World::new().await;
    let (org, now) = (new_org(), world.now());
    let (anonymous, contact, acme, other) = (new_id(), new_id(), new_id(), new_id());
    world.tell(org, &merged(anonymous, contact, Some(acme))).await;
    let stale = vec![
        signal("page_view", now).by(anonymous),
        signal("login", now).by(anonymous).of(other),
    ];
    world.record(org, stale).await;
    assert_eq!(world.counted(org, Some(acme), Some(contact)).await, 1);
    assert_eq!(world.counted(org, Some(other), Some(contact)).await, 1);
    assert_eq!(world.counted(org, None, Some(anonymous)).await, 0);
}

#[tokio::test]
async fn a_batch_resolved_before_a_link_and_arriving_after_it_is_corrected() {
    let world = World::new().await;
    let (org, contact, acme) = (new_org(), new_id(), new_id());
    world.tell(org, &linked(contact, acme)).await;
    world
        .record(org, vec![signal("page_view", world.now()).by(contact)])
        .await;
    assert_eq!(world.counted(org, Some(acme), Some(contact)).await, 1);
    // And also when the actor was merged into the linked person.
    let anonymous = new_id();
    world.tell(org, &merged(anonymous, contact, None)).await;
    world
        .record(org, vec![signal("page_view", world.now()).by(anonymous)])
        .await;
    assert_eq!(world.counted(org, Some(acme), Some(contact)).await, 2);
}

#[tokio::test]
async fn chains_of_merges_end_at_the_same_person_in_any_order() {
    for order in [[0, 1], [1, 0]] {
        let world = World::new().await;
        let (org, a, b, c, acme) = (new_org(), new_id(), new_id(), new_id(), new_id());
        let by = |actor| signal("page_view", world.now()).by(actor);
        world.record(org, vec![by(a), by(b), by(c)]).await;
        let merges = [merged(a, b, Some(acme)), merged(b, c, None)];
        for n in order {
            world.tell(org, &merges[n]).await;
        }
        world.record(org, vec![by(a), by(b), by(c)]).await;
        assert_eq!(world.counted(org, None, Some(c)).await, 6, "{order:?}");
        assert_eq!(world.counted(org, Some(acme), Some(c)).await, 2, "{order:?}");
    }
}

#[tokio::test]
async fn a_merge_in_a_circle_changes_nothing() {
    let world = World::new().await;
    let (org, a, b) = (new_org(), new_id(), new_id());
    world.tell(org, &merged(a, b, None)).await;
    world
        .record(org, vec![signal("page_view", world.now()).by(a)])
        .await;
    let before = world.dump(org).await;
    world.tell(org, &merged(b, a, None)).await;
    assert_eq!(world.dump(org).await, before);
    assert_eq!(world.counted(org, None, Some(b)).await, 1);
}

#[tokio::test]
async fn batches_and_moves_at_the_same_time_lose_nothing_and_leave_nothing_behind() {
    let world = World::new().await;
    let (org, now) = (new_org(), world.now());
    let people: Vec<(Uuid, Uuid, Uuid)> = (0..12).map(|_| (new_id(), new_id(), new_id())).collect();
    let batches: Vec<_> = (0..30)
        .map(|_| {
            let signals = people
                .iter()
                .map(|(anonymous, _, _)| signal("page_view", now).by(*anonymous));
            wrap(org, &batch(org, signals.collect()), now)
        })
        .collect();
    let merges: Vec<_> = people
        .iter()
        .map(|(from, into, account)| wrap(org, &merged(*from, *into, Some(*account)), now))
        .collect();
    let work = batches
        .chunks(3)
        .zip(merges.iter().cycle())
        .map(async |(batches, merge)| {
            for batch in batches {
                world.deliver(batch.clone()).await.unwrap();
            }
            world.deliver(merge.clone()).await.unwrap();
        });
    futures::future::join_all(work).await;
    for merge in &merges {
        world.deliver(merge.clone()).await.unwrap();
    }
    assert_eq!(world.counted(org, None, None).await, 360);
    for (anonymous, contact, account) in people {
        assert_eq!(world.counted(org, None, Some(anonymous)).await, 0);
        assert_eq!(world.counted(org, Some(account), Some(contact)).await, 30);
    }
}
