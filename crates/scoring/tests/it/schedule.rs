//! What is due is scored once, whatever happens meanwhile and however many workers there are.

use contracts::events::v1 as events;
use jiff::SignedDuration;
use scoring::store::schedule;
use uuid::Uuid;

use crate::harness::{Said as _, World, new_id, new_org, signal};

const LEASE: SignedDuration = SignedDuration::from_secs(10);

#[tokio::test]
async fn the_first_signal_is_scored_at_once_and_more_wait_for_the_pause() {
    let world = World::new().await;
    let (org, account) = (new_org(), new_id());
    let record = async || {
        world
            .record(org, vec![signal("login", world.now()).of(account)])
            .await
    };
    record().await;
    assert_eq!(world.scorer.round().await.unwrap(), 1);
    record().await;
    record().await;
    assert_eq!(world.scorer.round().await.unwrap(), 0);
    let next = schedule::next_due(&world.stores.pipeline).await.unwrap().unwrap();
    assert_eq!(
        next.duration_since(world.now()),
        SignedDuration::from_millis(1_000)
    );
    world.clock.advance(SignedDuration::from_millis(1_000));
    assert_eq!(world.scorer.round().await.unwrap(), 1);
    assert_eq!(world.scorer.round().await.unwrap(), 0);
}

#[tokio::test]
async fn what_happens_while_a_worker_computes_is_scored_again() {
    let world = World::new().await;
    let (org, account) = (new_org(), new_id());
    let record = async || {
        world
            .record(org, vec![signal("login", world.now()).by(new_id()).of(account)])
            .await
    };
    record().await;
    let name = new_id();
    let claim = schedule::claim(&world.stores.pipeline, name, 10, world.now(), LEASE)
        .await
        .unwrap();
    assert_eq!(claim.accounts, [(org.uuid(), account)]);
    // The claim is held: nobody else gets the account, and the mark is not lost with it.
    record().await;
    assert_eq!(world.scorer.round().await.unwrap(), 0);
    let mut tx = world.stores.pipeline.begin().await.unwrap();
    let finish = schedule::Finish {
        org: org.uuid(),
        account,
        next_due: None,
        not_before: world.now() + SignedDuration::from_millis(1_000),
        again: false,
    };
    schedule::finish(&mut tx, claim.lease, &[finish], world.now())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.scorer.round().await.unwrap(), 0, "the pause holds");
    world.clock.advance(SignedDuration::from_millis(1_000));
    assert_eq!(world.scorer.round().await.unwrap(), 1);
    assert_eq!(
        world.score(org, account).await.unwrap().factors[0]
            .evidence
            .as_ref()
            .unwrap()
            .count,
        2
    );
}

#[tokio::test]
async fn a_dead_workers_accounts_are_taken_over_and_its_late_finish_does_nothing() {
    let world = World::new().await;
    let (org, account) = (new_org(), new_id());
    world
        .record(org, vec![signal("login", world.now()).of(account)])
        .await;
    let dead = schedule::claim(&world.stores.pipeline, new_id(), 10, world.now(), LEASE)
        .await
        .unwrap();
    assert_eq!(world.scorer.round().await.unwrap(), 0);
    world.clock.advance(LEASE);
    let next = schedule::claim(&world.stores.pipeline, new_id(), 10, world.now(), LEASE)
        .await
        .unwrap();
    assert_eq!(next.accounts.len(), 1);
    let finish = schedule::Finish {
        org: org.uuid(),
        account,
        next_due: None,
        not_before: world.now(),
        again: false,
    };
    let mut tx = world.stores.pipeline.begin().await.unwrap();
    schedule::finish(&mut tx, dead.lease, &[finish], world.now())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let lease: Uuid = sqlx::query_scalar("SELECT lease FROM schedule WHERE org_id = $1")
        .bind(org.uuid())
        .fetch_one(&mut world.admin().await)
        .await
        .unwrap();
    assert_eq!(lease, next.lease);
}

#[tokio::test]
async fn many_workers_score_every_account_and_tell_every_move_once() {
    let world = World::new().await;
    let (_stores, other, _) = world.replica().await;
    let org = new_org();
    let accounts: Vec<Uuid> = (0..300).map(|_| new_id()).collect();
    for round in 0..4 {
        let now = world.now();
        let signals = accounts
            .iter()
            .map(|account| signal("login", now).by(new_id()).of(*account));
        let envelope = world.record(org, signals.collect()).await;
        let workers = (0..6).map(|n| {
            let scorer = if n % 2 == 0 { &world.scorer } else { &other };
            async move { while scorer.round().await.unwrap() > 0 {} }
        });
        // Reads compute, too, where there is no score yet.
        let reads = accounts
            .iter()
            .step_by(7)
            .map(|account| world.score(org, *account));
        let (_, reads, again) = tokio::join!(
            futures::future::join_all(workers),
            futures::future::join_all(reads),
            world.deliver(envelope)
        );
        again.unwrap();
        for read in reads {
            read.unwrap();
        }
        world.clock.advance(SignedDuration::from_secs(1));
        world.settle().await;
        assert_eq!(
            schedule::waiting(&world.stores.pipeline, world.now())
                .await
                .unwrap()
                .accounts,
            0,
            "{round}"
        );
    }
    let mut told: std::collections::BTreeMap<String, Vec<(Option<i32>, i32, i64)>> = Default::default();
    for event in world.told::<events::AccountScoreChanged>(org).await {
        let score = event.score.unwrap();
        told.entry(score.account_id)
            .or_default()
            .push((event.previous_score, score.score, event.revision));
    }
    assert_eq!(told.len(), 300);
    for (account, mut moves) in told {
        moves.sort_by_key(|(_, _, revision)| *revision);
        for (n, (before, _, revision)) in moves.iter().enumerate() {
            assert_eq!(*revision, i64::try_from(n).unwrap() + 1, "{account}: {moves:?}");
            assert_eq!(
                *before,
                n.checked_sub(1).map(|n| moves[n].1),
                "{account}: {moves:?}"
            );
        }
        let stored = world.score(org, account.parse().unwrap()).await.unwrap();
        assert_eq!(stored.factors[0].evidence.as_ref().unwrap().count, 4);
    }
}

#[tokio::test]
async fn living_accounts_go_before_those_that_only_grew_old() {
    let world = World::new().await;
    let (org, lively) = (new_org(), new_id());
    let now = world.now();
    let old = (0..250).map(|_| signal("login", now).by(new_id()).of(new_id()));
    world.record(org, old.collect()).await;
    world.settle().await;
    world.advance_hours(48);
    world
        .record(org, vec![signal("login", world.now()).of(lively)])
        .await;
    let claim = schedule::claim(&world.stores.pipeline, new_id(), 10, world.now(), LEASE)
        .await
        .unwrap();
    assert_eq!(claim.accounts.len(), 10);
    assert!(claim.accounts.contains(&(org.uuid(), lively)));
}

#[tokio::test]
async fn one_account_that_cannot_be_scored_does_not_keep_its_neighbours_from_it() {
    let world = World::new().await;
    let org = new_org();
    let accounts: Vec<Uuid> = (0..5).map(|_| new_id()).collect();
    let now = world.now();
    world
        .record(
            org,
            accounts
                .iter()
                .map(|account| signal("login", now).of(*account))
                .collect(),
        )
        .await;
    let broken = accounts[2];
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "ALTER TABLE scores ADD CONSTRAINT broken CHECK (account_id <> '{broken}')"
    )))
    .execute(&mut world.admin().await)
    .await
    .unwrap();
    world.settle().await;
    assert_eq!(world.told::<events::AccountScoreChanged>(org).await.len(), 4);
    sqlx::query("ALTER TABLE scores DROP CONSTRAINT broken")
        .execute(&mut world.admin().await)
        .await
        .unwrap();
    world.clock.advance(SignedDuration::from_secs(61));
    world.settle().await;
    assert_eq!(world.told::<events::AccountScoreChanged>(org).await.len(), 5);
}
