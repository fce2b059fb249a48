//! What is told of companies in one group is kept as if it were told one by one.

use std::collections::BTreeSet;

use contracts::crm::v1::Account;
use contracts::events::v1 as events;
use eventbus::HandlerError;
use futures::future::join_all;
use ids::{EventId, OrgId};
use jiff::SignedDuration;
use scoring::domain::facts::Firmographics;
use scoring::store::{Company, Delivered, Outcome, Source, learn_companies};
use uuid::Uuid;

use crate::harness::{World, new_id, new_org, wrap};

type Told = (Delivered, Company);

const APPLIED: Outcome = Outcome::Applied;
const REPEATED: Outcome = Outcome::Repeated;

fn told(world: &World, org: OrgId, account: Uuid, revision: i64, employees: i64) -> Told {
    let delivered = Delivered {
        org,
        consumer: "told",
        event: EventId(new_id()),
        at: world.now(),
    };
    let company = Company {
        account,
        source: Source::Recorded,
        revision,
        firmographics: Firmographics {
            employees: Some(employees),
            ..Firmographics::default()
        },
    };
    (delivered, company)
}

async fn learn(world: &World, told: &[Told]) -> Vec<Outcome> {
    learn_companies(&world.stores.pipeline, told, world.now())
        .await
        .unwrap()
}

/// Account, source, revision and employees of what is kept.
async fn kept(world: &World, org: OrgId) -> BTreeSet<(Uuid, String, i64, Option<i64>)> {
    let rows: Vec<_> =
        sqlx::query_as("SELECT account_id, source, revision, employees FROM firmographics WHERE org_id = $1")
            .bind(org.uuid())
            .fetch_all(&mut world.admin().await)
            .await
            .unwrap();
    rows.into_iter().collect()
}

fn recorded(account: Uuid, revision: i64, employees: i64) -> (Uuid, String, i64, Option<i64>) {
    (account, "recorded".to_owned(), revision, Some(employees))
}

#[tokio::test]
async fn of_the_revisions_in_a_group_the_newest_is_kept() {
    let world = World::new().await;
    let (org, falling, rising, known) = (new_org(), new_id(), new_id(), new_id());
    learn(&world, &[told(&world, org, known, 5, 50)]).await;
    let group = [
        told(&world, org, falling, 2, 20),
        told(&world, org, falling, 1, 10),
        told(&world, org, rising, 1, 10),
        told(&world, org, rising, 2, 20),
        // Of equal ones, the first.
        told(&world, org, rising, 2, 30),
        told(&world, org, known, 5, 51),
        told(&world, org, known, 4, 40),
    ];
    assert_eq!(learn(&world, &group).await, [APPLIED; 7]);
    let expected = [
        recorded(falling, 2, 20),
        recorded(rising, 2, 20),
        recorded(known, 5, 50),
    ];
    assert_eq!(kept(&world, org).await, expected.into());
}

#[tokio::test]
async fn an_event_has_its_effect_once_for_each_consumer() {
    let world = World::new().await;
    let (org, a, b) = (new_org(), new_id(), new_id());
    let first = told(&world, org, a, 1, 10);
    let group = [first.clone(), told(&world, org, b, 1, 10), first.clone()];
    assert_eq!(learn(&world, &group).await, [APPLIED, APPLIED, REPEATED]);
    // Another content than before, to see whether it is looked at.
    let again = (first.0, told(&world, org, a, 2, 20).1);
    let group = [again.clone(), told(&world, org, b, 2, 20)];
    assert_eq!(learn(&world, &group).await, [REPEATED, APPLIED]);
    assert_eq!(
        kept(&world, org).await,
        [recorded(a, 1, 10), recorded(b, 2, 20)].into()
    );
    assert_eq!(learn(&world, &group).await, [REPEATED, REPEATED]);
    let elsewhere = Delivered {
        consumer: "another",
        ..again.0
    };
    let group = [again.clone(), (elsewhere, again.1)];
    assert_eq!(learn(&world, &group).await, [REPEATED, APPLIED]);
    assert_eq!(
        kept(&world, org).await,
        [recorded(a, 2, 20), recorded(b, 2, 20)].into()
    );
}

#[tokio::test]
async fn organizations_and_sources_in_a_group_are_kept_apart() {
    let world = World::new().await;
    let (one, other, account) = (new_org(), new_org(), new_id());
    let mut learnt = told(&world, one, account, 9, 90);
    learnt.1.source = Source::Discovered;
    let group = [
        told(&world, one, account, 1, 10),
        learnt,
        told(&world, other, account, 2, 20),
    ];
    assert_eq!(learn(&world, &group).await, [APPLIED; 3]);
    let discovered = (account, "discovered".to_owned(), 9, Some(90));
    assert_eq!(
        kept(&world, one).await,
        [recorded(account, 1, 10), discovered].into()
    );
    assert_eq!(kept(&world, other).await, [recorded(account, 2, 20)].into());
    assert_eq!(world.marked().await, [(one, account), (other, account)].into());
}

#[tokio::test]
async fn only_companies_of_which_something_new_is_told_are_marked() {
    let world = World::new().await;
    let org = new_org();
    let [same, changed, old, back, new] = [(); 5].map(|()| new_id());
    let group = [same, changed, old, back].map(|account| told(&world, org, account, 5, 10));
    learn(&world, &group).await;
    assert_eq!(world.marked().await.len(), 4);
    world.settle_all().await;
    world.clock.advance(SignedDuration::from_secs(2));
    assert_eq!(world.marked().await, BTreeSet::new());
    let group = [
        told(&world, org, same, 6, 10),
        told(&world, org, changed, 6, 20),
        told(&world, org, old, 4, 20),
        told(&world, org, back, 6, 20),
        told(&world, org, back, 7, 10),
        told(&world, org, new, 0, 20),
    ];
    assert_eq!(learn(&world, &group).await, [APPLIED; 6]);
    assert_eq!(world.marked().await, [(org, changed), (org, new)].into());
    let expected = [
        recorded(same, 6, 10),
        recorded(changed, 6, 20),
        recorded(old, 5, 10),
        recorded(back, 7, 10),
        recorded(new, 0, 20),
    ];
    assert_eq!(kept(&world, org).await, expected.into());
}

fn account(id: Uuid, industry: &str) -> Option<Account> {
    Some(Account {
        id: id.to_string(),
        version: 1,
        employees: Some(10),
        industry: Some(industry.to_owned()),
        ..Account::default()
    })
}

fn discovered(id: Uuid, industry: &str) -> events::AccountDiscovered {
    events::AccountDiscovered {
        account_id: id.to_string(),
        revision: 1,
        employees: Some(10),
        industry: Some(industry.to_owned()),
        ..events::AccountDiscovered::default()
    }
}

#[tokio::test]
async fn the_three_events_share_a_transaction() {
    let world = World::new().await;
    let (org, now) = (new_org(), world.now());
    let created = events::AccountCreated {
        account: account(new_id(), "software"),
    };
    let updated = events::AccountUpdated {
        account: account(new_id(), "software"),
        changed_fields: vec![],
    };
    let learnt = discovered(new_id(), "software");
    let (a, b, c) = tokio::join!(
        world.deliver(wrap(org, &created, now)),
        world.deliver(wrap(org, &updated, now)),
        world.deliver(wrap(org, &learnt, now)),
    );
    for outcome in [a, b, c] {
        outcome.unwrap();
    }
    assert_eq!(world.rows_and_writes("firmographics", org).await, (3, 1));
}

#[tokio::test]
async fn a_company_that_a_constraint_refuses_is_poison_and_its_neighbours_are_kept() {
    let world = World::new().await;
    let (org, other, now) = (new_org(), new_org(), world.now());
    let (before, refused, after) = (new_id(), new_id(), new_id());
    world
        .execute("ALTER TABLE firmographics ADD CONSTRAINT refused CHECK (industry <> 'refused')")
        .await;
    let poison = wrap(org, &discovered(refused, "refused"), now);
    let (a, b, c) = tokio::join!(
        world.deliver(wrap(org, &discovered(before, "software"), now)),
        world.deliver(poison.clone()),
        world.deliver(wrap(other, &discovered(after, "software"), now)),
    );
    a.and(c).unwrap();
    assert!(matches!(b, Err(HandlerError::Poison(_))), "{b:?}");
    assert_eq!(world.marked().await, [(org, before), (other, after)].into());
    // It is not claimed: once it can be kept, it is.
    world
        .execute("ALTER TABLE firmographics DROP CONSTRAINT refused")
        .await;
    world.deliver(poison).await.unwrap();
    let expected = [(org, before), (org, refused), (other, after)];
    assert_eq!(world.marked().await, expected.into());
}

#[tokio::test]
async fn groups_lock_companies_and_marks_in_falling_order() {
    let world = World::new().await;
    let org = new_org();
    let accounts: Vec<Uuid> = (0..6).map(|_| new_id()).collect();
    let group = |revision| -> Vec<Told> {
        accounts
            .iter()
            .map(|account| told(&world, org, *account, revision, revision))
            .collect()
    };
    learn(&world, &group(1)).await;
    for (revision, table) in [(2, "firmographics"), (3, "schedule")] {
        world.settle_all().await;
        let group = group(revision);
        let work = Box::pin(learn(&world, &group));
        let outcomes = world
            .locking_downwards((table, "account_id"), &accounts, work)
            .await;
        assert_eq!(outcomes, [APPLIED; 6], "{table}");
    }
}

#[tokio::test]
async fn groups_at_the_same_time_leave_the_newest_revision() {
    const GROUPS: usize = 24;
    let world = World::new().await;
    let org = new_org();
    let accounts: Vec<Uuid> = (0..8).map(|_| new_id()).collect();
    let groups: Vec<Vec<Told>> = (0..GROUPS)
        .map(|n| {
            let revision = i64::try_from(1 + n * 7 % GROUPS).unwrap();
            let mut group: Vec<Told> = accounts
                .iter()
                .map(|account| told(&world, org, *account, revision, revision))
                .collect();
            group.rotate_left(n % 8);
            group
        })
        .collect();
    let outcomes = join_all(groups.iter().map(|group| learn(&world, group))).await;
    assert!(outcomes.concat().iter().all(|outcome| *outcome == APPLIED));
    let expected = accounts.iter().map(|account| recorded(*account, 24, 24));
    assert_eq!(kept(&world, org).await, expected.collect());
}
