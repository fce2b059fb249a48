//! Events taken in: repeats, and payloads that cannot be used.

use contracts::events::v1 as events;
use contracts::scores::v1::Trend;
use contracts::{Envelope, Event};
use eventbus::HandlerError;
use ids::Clock as _;

use crate::harness::{
    World, discovered, identified, identity, linked, merged, new_id, new_org, scored, wrap,
};

#[tokio::test]
async fn an_event_delivered_ten_times_has_one_effect() {
    let world = World::new().await;
    let org = new_org();
    let (account, old, kept) = (new_id(), new_id(), new_id());
    let now = world.clock.now();
    let history: Vec<Envelope> = vec![
        wrap(org, &discovered(account, 1, "acme.com"), now),
        wrap(org, &identified(old, 1, "old@acme.com"), now),
        wrap(org, &identified(kept, 1, "kept@acme.com"), now),
        wrap(org, &linked(old, account), now),
        wrap(org, &linked(kept, account), now),
        wrap(org, &scored(account, 1, 70, Trend::Rising, now), now),
        wrap(org, &merged(old, kept, Some(account)), now),
    ];
    for envelope in &history {
        world.deliver(envelope.clone()).await.unwrap();
    }
    let before = crate::state::dump(&world, org).await;
    let told = world.told_count(org).await;
    for _ in 0..9 {
        for envelope in &history {
            world.deliver(envelope.clone()).await.unwrap();
        }
    }
    assert_eq!(crate::state::dump(&world, org).await, before);
    assert_eq!(world.told_count(org).await, told);
    let version: i64 = sqlx::query_scalar("SELECT version FROM accounts WHERE org_id = $1")
        .bind(org.uuid())
        .fetch_one(&mut world.admin().await)
        .await
        .unwrap();
    // Created, two contacts, a score, one contact less.
    assert_eq!(version, 5);
}

#[tokio::test]
async fn a_payload_that_cannot_be_used_is_poison_and_changes_nothing() {
    let world = World::new().await;
    let org = new_org();
    let now = world.clock.now();
    let id = new_id();
    let no_score = events::AccountScoreChanged {
        score: None,
        ..scored(id, 1, 50, Trend::Stable, now)
    };
    let mut unknown_tier = scored(id, 1, 50, Trend::Stable, now);
    unknown_tier.score.as_mut().unwrap().tier = 9;
    let empty = events::ContactIdentified {
        identities: vec![identity("email", "")],
        ..identified(id, 1, "x")
    };
    let nul = events::ContactIdentified {
        identities: vec![identity("email", "a\0b")],
        ..identified(id, 1, "x")
    };
    let long = events::ContactIdentified {
        identities: vec![identity("email", &"x".repeat(1_001))],
        ..identified(id, 1, "x")
    };
    let bad_account = events::ContactIdentified {
        account_id: Some("x".into()),
        ..identified(id, 1, "x")
    };
    for envelope in [
        wrap(org, &no_score, now),
        wrap(org, &unknown_tier, now),
        wrap(org, &scored(id, 1, 101, Trend::Stable, now), now),
        wrap(org, &empty, now),
        wrap(org, &nul, now),
        wrap(org, &long, now),
        wrap(org, &bad_account, now),
        wrap(org, &events::AccountDiscovered::default(), now),
        wrap(org, &events::IdentityMerged::default(), now),
        wrap(org, &merged(id, id, None), now),
        wrap(org, &events::IdentityAccountLinked::default(), now),
    ] {
        let kind = envelope.subject.kind.clone();
        let outcome = world.deliver(envelope).await;
        assert!(
            matches!(outcome, Err(HandlerError::Poison(_))),
            "{kind}: {outcome:?}"
        );
    }
    let mut garbage = wrap(org, &discovered(id, 1, "x.dev"), now);
    garbage.payload = vec![0xff; 5].into();
    assert!(matches!(
        world.deliver(garbage).await,
        Err(HandlerError::Poison(_))
    ));
    assert_eq!(
        crate::state::dump(&world, org).await,
        crate::state::State::default()
    );
    assert_eq!(world.told_count(org).await, 0);
}

#[tokio::test]
async fn an_actor_that_is_merged_into_two_people_is_poison_the_second_time() {
    let world = World::new().await;
    let org = new_org();
    let (a, b, c) = (new_id(), new_id(), new_id());
    world.tell(org, &merged(a, b, None)).await;
    // Repeated by another event: nothing new. Through a chain: the same person.
    world.tell(org, &merged(a, b, None)).await;
    world.tell(org, &merged(b, c, None)).await;
    world.tell(org, &merged(a, c, None)).await;
    let other = wrap(org, &merged(a, new_id(), None), world.clock.now());
    assert!(matches!(world.deliver(other).await, Err(HandlerError::Poison(_))));
    let circle = wrap(org, &merged(c, a, None), world.clock.now());
    assert!(matches!(
        world.deliver(circle).await,
        Err(HandlerError::Poison(_))
    ));
}

#[test]
fn consumers_are_named_as_the_bus_names_them() {
    for event in [
        events::ContactIdentified::TYPE,
        events::AccountDiscovered::TYPE,
        events::IdentityMerged::TYPE,
        events::IdentityAccountLinked::TYPE,
        events::AccountScoreChanged::TYPE,
    ] {
        let durable = eventbus::ConsumerSpec::new(crm::SERVICE, event).durable();
        assert_eq!(durable, format!("crm_{}", event.replace('.', "_")));
    }
}

#[tokio::test]
async fn moves_that_come_together_share_a_transaction_and_each_has_its_effect_once() {
    let world = World::new().await;
    let (orgs, now) = ([new_org(), new_org()], world.clock.now());
    let accounts: Vec<_> = (0..5).map(|_| new_id()).collect();
    let mut envelopes = Vec::new();
    for org in orgs {
        for account in &accounts[1..] {
            world
                .tell(org, &discovered(*account, 1, &format!("{account}.example")))
                .await;
        }
        // The first account was never heard of. Revisions come in any order.
        for (index, account) in accounts.iter().enumerate() {
            for revision in [3, 1, 4, 2] {
                let points = i32::try_from(index).unwrap() * 10 + i32::try_from(revision).unwrap();
                let event = scored(*account, revision, points, Trend::Rising, now);
                envelopes.push(wrap(org, &event, now));
            }
        }
    }
    let all = envelopes.iter().chain(&envelopes).cloned();
    let outcomes = futures::future::join_all(all.map(|envelope| world.deliver(envelope))).await;
    for outcome in outcomes {
        outcome.unwrap();
    }
    let mut admin = world.admin().await;
    for org in orgs {
        let scores: Vec<(uuid::Uuid, i16, i64)> =
            sqlx::query_as("SELECT id, score, score_revision FROM accounts WHERE org_id = $1")
                .bind(org.uuid())
                .fetch_all(&mut admin)
                .await
                .unwrap();
        assert_eq!(scores.len(), 5);
        for (account, points, revision) in scores {
            let index = accounts.iter().position(|id| *id == account).unwrap();
            assert_eq!(
                (i32::from(points), revision),
                (i32::try_from(index).unwrap() * 10 + 4, 4)
            );
        }
        let kept: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM score_changes WHERE org_id = $1 AND model_version = 'default@1'",
        )
        .bind(org.uuid())
        .fetch_one(&mut admin)
        .await
        .unwrap();
        assert_eq!(kept, 20);
    }
}
