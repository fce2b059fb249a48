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

/// As the bus hands them over when many come: all at once, so that they share transactions.
#[tokio::test]
async fn deliveries_that_share_a_transaction_have_each_its_own_effect() {
    let world = World::new().await;
    let orgs = [new_org(), new_org()];
    let now = world.clock.now();
    // The same ids in both organizations.
    let accounts: Vec<_> = (0..3).map(|_| new_id()).collect();
    let people: Vec<_> = (0..12).map(|_| new_id()).collect();
    let mut deliveries = Vec::new();
    for org in orgs {
        for (n, account) in accounts.iter().enumerate() {
            let company = discovered(*account, 1, &format!("company{n}.dev"));
            deliveries.push(wrap(org, &company, now));
        }
        for (n, person) in people.iter().enumerate() {
            let account_id = Some(accounts[n % 3].to_string());
            let first = events::ContactIdentified {
                account_id,
                ..identified(*person, 1, &format!("p{n}@company.dev"))
            };
            let titled = events::ContactIdentified {
                title: Some(format!("Title {n}")),
                revision: 2,
                ..first.clone()
            };
            deliveries.push(wrap(org, &first, now));
            deliveries.push(wrap(org, &titled, now));
        }
    }
    // Everything twice: once more what was delivered already, and in the same group.
    let twice: Vec<Envelope> = deliveries.iter().chain(&deliveries).cloned().collect();
    let outcomes = futures::future::join_all(twice.into_iter().map(|envelope| world.deliver(envelope))).await;
    assert!(outcomes.iter().all(Result::is_ok));

    for org in orgs {
        let contacts: Vec<(Option<String>, i64)> = sqlx::query_as(
            "SELECT title, version FROM contacts WHERE org_id = $1 AND recorded ORDER BY title",
        )
        .bind(org.uuid())
        .fetch_all(&mut world.admin().await)
        .await
        .unwrap();
        let mut titles: Vec<_> = (0..12).map(|n| (Some(format!("Title {n}")), 2)).collect();
        titles.sort();
        assert_eq!(contacts, titles);
        let counts: Vec<i64> = sqlx::query_scalar("SELECT contact_count FROM accounts WHERE org_id = $1")
            .bind(org.uuid())
            .fetch_all(&mut world.admin().await)
            .await
            .unwrap();
        assert_eq!(counts, [4, 4, 4]);
        assert_eq!(world.told::<events::AccountCreated>(org).await.len(), 3);
        assert_eq!(world.told::<events::ContactCreated>(org).await.len(), 12);
        assert_eq!(world.told::<events::ContactUpdated>(org).await.len(), 12);
    }
}

#[tokio::test]
async fn the_newest_that_is_told_of_a_merged_person_counts_whoever_shares_its_transaction() {
    let world = World::new().await;
    let (org, from, into) = (new_org(), new_id(), new_id());
    let now = world.clock.now();
    world.tell(org, &identified(into, 1, "into@x.dev")).await;
    world.tell(org, &merged(from, into, None)).await;
    // The first comes alone; the newest shares a transaction with older ones that stand behind it.
    let revisions = [1, 6, 5, 4, 3, 2];
    let deliveries = revisions.map(|revision| {
        let told = identified(from, revision, &format!("r{revision}@x.dev"));
        world.deliver(wrap(org, &told, now))
    });
    let outcomes = futures::future::join_all(deliveries).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let identities: Vec<String> =
        sqlx::query_scalar("SELECT value FROM contact_identities WHERE org_id = $1 ORDER BY value")
            .bind(org.uuid())
            .fetch_all(&mut world.admin().await)
            .await
            .unwrap();
    assert_eq!(identities, ["into@x.dev", "r6@x.dev"]);
}

#[tokio::test]
async fn what_a_constraint_refuses_does_not_harm_what_shares_its_transaction() {
    let world = World::new().await;
    let org = new_org();
    let now = world.clock.now();
    sqlx::raw_sql("ALTER TABLE contacts ADD CHECK (title <> 'refused')")
        .execute(&mut world.admin().await)
        .await
        .unwrap();
    let deliveries = (0..6).map(|n| {
        let title = if n == 3 { "refused" } else { "welcome" };
        let person = events::ContactIdentified {
            title: Some(title.to_owned()),
            ..identified(new_id(), 1, &format!("p{n}@x.dev"))
        };
        world.deliver(wrap(org, &person, now))
    });
    let outcomes = futures::future::join_all(deliveries).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        match n {
            3 => assert!(matches!(outcome, Err(HandlerError::Poison(_))), "{outcome:?}"),
            _ => assert!(outcome.is_ok(), "{outcome:?}"),
        }
    }
    assert_eq!(world.told::<events::ContactCreated>(org).await.len(), 5);
}
