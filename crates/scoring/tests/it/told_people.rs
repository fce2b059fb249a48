//! What is told of people in one group is kept as if it were told one by one.

use std::collections::BTreeSet;

use eventbus::HandlerError;
use futures::future::join_all;
use ids::OrgId;
use scoring::store::{Person, learn_people};
use uuid::Uuid;

use crate::harness::{Said as _, World, identified, new_id, new_org, signal, wrap};

fn person(contact: Uuid, revision: i64, title: Option<&str>) -> Person {
    Person {
        contact,
        revision,
        title: title.map(str::to_owned),
    }
}

async fn learn(world: &World, told: &[(OrgId, Person)]) {
    learn_people(&world.stores.pipeline, told, world.now())
        .await
        .unwrap();
}

type Kept = (Uuid, Option<String>, i64);

/// Person, title and revision of what is kept.
async fn kept(world: &World, org: OrgId) -> BTreeSet<Kept> {
    let rows: Vec<_> =
        sqlx::query_as("SELECT actor_id, told_title, told_revision FROM titles WHERE org_id = $1")
            .bind(org.uuid())
            .fetch_all(&mut world.admin().await)
            .await
            .unwrap();
    rows.into_iter().collect()
}

fn titled(contact: Uuid, title: &str, revision: i64) -> Kept {
    (contact, Some(title.to_owned()), revision)
}

/// Signals of each person for the accounts beside it, scored.
async fn active(world: &World, org: OrgId, people: &[(Uuid, &[Uuid])]) {
    let said = people.iter().flat_map(|(person, accounts)| {
        accounts
            .iter()
            .map(|account| signal("login", world.now()).by(*person).of(*account))
    });
    // And without account, which is none to be marked.
    let homeless = people
        .iter()
        .map(|(person, _)| signal("login", world.now()).by(*person));
    world.record(org, said.chain(homeless).collect()).await;
    world.settle_all().await;
    assert_eq!(world.marked().await, BTreeSet::new());
}

#[tokio::test]
async fn of_the_revisions_in_a_group_the_newest_is_kept() {
    let world = World::new().await;
    let (org, falling, rising, known) = (new_org(), new_id(), new_id(), new_id());
    learn(&world, &[(org, person(known, 5, Some("CTO")))]).await;
    let group = [
        person(falling, 2, Some("CEO")),
        person(falling, 1, Some("Intern")),
        person(rising, 1, Some("Intern")),
        person(rising, 2, Some("CEO")),
        // Of equal ones, the first.
        person(rising, 2, Some("CFO")),
        person(known, 5, None),
        person(known, 4, Some("Intern")),
    ];
    learn(&world, &group.map(|person| (org, person))).await;
    let expected = [
        titled(falling, "CEO", 2),
        titled(rising, "CEO", 2),
        titled(known, "CTO", 5),
    ];
    assert_eq!(kept(&world, org).await, expected.into());
}

#[tokio::test]
async fn the_accounts_of_those_who_have_or_had_a_title_are_marked() {
    let world = World::new().await;
    let org = new_org();
    let [boss, nobody, former] = [(); 3].map(|()| new_id());
    let accounts: Vec<Uuid> = (0..4).map(|_| new_id()).collect();
    let cast: [(Uuid, &[Uuid]); 3] = [
        (boss, &accounts[..2]),
        (nobody, &accounts[2..3]),
        // Together with the boss for one of them.
        (former, &accounts[1..]),
    ];
    active(&world, org, &cast).await;
    let marks = |accounts: &[Uuid]| -> BTreeSet<(OrgId, Uuid)> {
        accounts.iter().map(|account| (org, *account)).collect()
    };
    let group = [
        (org, person(boss, 1, Some("CTO"))),
        (org, person(nobody, 1, None)),
    ];
    learn(&world, &group).await;
    assert_eq!(world.marked().await, marks(&accounts[..2]));
    world.settle_all().await;
    // The marks may have been lost: a repetition marks, though it tells nothing new.
    learn(&world, &group).await;
    assert_eq!(world.marked().await, marks(&accounts[..2]));
    world.settle_all().await;
    // One loses the title, another had one for the time of a group.
    let group = [
        (org, person(boss, 2, None)),
        (org, person(former, 1, Some("VP"))),
        (org, person(former, 2, None)),
    ];
    learn(&world, &group).await;
    assert_eq!(world.marked().await, marks(&accounts));
    world.settle_all().await;
    let group = [boss, nobody, former].map(|contact| (org, person(contact, 3, None)));
    learn(&world, &group).await;
    assert_eq!(world.marked().await, BTreeSet::new());
    let expected = [boss, nobody, former].map(|contact| (contact, None, 3));
    assert_eq!(kept(&world, org).await, expected.into());
}

#[tokio::test]
async fn organizations_in_a_group_are_kept_apart() {
    let world = World::new().await;
    let (one, other, contact) = (new_org(), new_org(), new_id());
    let (here, there) = (new_id(), new_id());
    active(&world, one, &[(contact, &[here])]).await;
    active(&world, other, &[(contact, &[there])]).await;
    let group = [
        (one, person(contact, 1, Some("CTO"))),
        (other, person(contact, 7, None)),
    ];
    learn(&world, &group).await;
    assert_eq!(world.marked().await, [(one, here)].into());
    assert_eq!(kept(&world, one).await, [titled(contact, "CTO", 1)].into());
    assert_eq!(kept(&world, other).await, [(contact, None, 7)].into());
    let group = [(other, person(contact, 8, Some("CEO")))];
    world.settle_all().await;
    learn(&world, &group).await;
    assert_eq!(world.marked().await, [(other, there)].into());
}

#[tokio::test]
async fn events_that_wait_share_a_transaction() {
    let world = World::new().await;
    let (org, now) = (new_org(), world.now());
    let events = (0..3).map(|_| wrap(org, &identified(new_id(), 1, Some("CTO")), now));
    for outcome in join_all(events.map(|event| world.deliver(event))).await {
        outcome.unwrap();
    }
    assert_eq!(world.rows_and_writes("titles", org).await, (3, 1));
}

#[tokio::test]
async fn a_person_whom_a_constraint_refuses_is_poison_and_the_neighbours_are_kept() {
    let world = World::new().await;
    let (org, other, now) = (new_org(), new_org(), world.now());
    let (before, refused, after) = (new_id(), new_id(), new_id());
    world
        .execute("ALTER TABLE titles ADD CONSTRAINT refused CHECK (told_title <> 'refused')")
        .await;
    let (a, b, c) = tokio::join!(
        world.deliver(wrap(org, &identified(before, 1, Some("CTO")), now)),
        world.deliver(wrap(org, &identified(refused, 1, Some("refused")), now)),
        world.deliver(wrap(other, &identified(after, 1, Some("CEO")), now)),
    );
    a.and(c).unwrap();
    assert!(matches!(b, Err(HandlerError::Poison(_))), "{b:?}");
    assert_eq!(kept(&world, org).await, [titled(before, "CTO", 1)].into());
    assert_eq!(kept(&world, other).await, [titled(after, "CEO", 1)].into());
}

#[tokio::test]
async fn groups_lock_people_and_marks_in_falling_order() {
    let world = World::new().await;
    let org = new_org();
    let people: Vec<Uuid> = (0..6).map(|_| new_id()).collect();
    let accounts: Vec<Uuid> = (0..6).map(|_| new_id()).collect();
    let cast: Vec<(Uuid, &[Uuid])> = people
        .iter()
        .zip(&accounts)
        .map(|(person, account)| (*person, std::slice::from_ref(account)))
        .collect();
    active(&world, org, &cast).await;
    let group = |revision| -> Vec<(OrgId, Person)> {
        people
            .iter()
            .map(|contact| (org, person(*contact, revision, Some("CTO"))))
            .collect()
    };
    learn(&world, &group(1)).await;
    let steps = [
        (2, "titles", "actor_id", &people),
        (3, "schedule", "account_id", &accounts),
    ];
    for (revision, table, key, ids) in steps {
        world.settle_all().await;
        let group = group(revision);
        let work = Box::pin(learn(&world, &group));
        world.locking_downwards((table, key), ids, work).await;
        let expected = people.iter().map(|contact| titled(*contact, "CTO", revision));
        assert_eq!(kept(&world, org).await, expected.collect());
    }
}
