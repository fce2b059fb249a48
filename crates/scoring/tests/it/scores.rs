//! From signals to a score that is stored, explained and told.

use contracts::events::v1 as events;
use contracts::scores::v1::{Tier, Trend};
use jiff::SignedDuration;
use serde_json::json;
use uuid::Uuid;

use crate::harness::{Said as _, World, factor, identified, new_id, new_org, signal};

/// Everything that makes an account hot.
async fn heat(world: &World, org: ids::OrgId, account: Uuid) -> Vec<Uuid> {
    let people: Vec<Uuid> = (0..10).map(|_| new_id()).collect();
    let mut signals = Vec::new();
    for (n, person) in people.iter().enumerate() {
        for hour in 1..6 {
            let at = world.now() - SignedDuration::from_hours(hour);
            let usage = json!({"feature": format!("feature{n}"), "usage": 990, "limit": 1000});
            signals.push(signal("api_call", at).by(*person).of(account).with(usage));
        }
    }
    signals.push(
        signal("page_view", world.now())
            .by(people[0])
            .of(account)
            .titled("CTO"),
    );
    for _ in 0..3 {
        signals.push(signal("competitor_other", world.now()).by(people[1]).of(account));
    }
    world.record(org, signals).await;
    let discovered = events::AccountDiscovered {
        account_id: account.to_string(),
        revision: 1,
        employees: Some(120),
        industry: Some("SaaS".into()),
        funding_stage: Some("series_b".into()),
        ..events::AccountDiscovered::default()
    };
    world.tell(org, &discovered).await;
    people
}

#[tokio::test]
async fn an_account_that_does_everything_is_hot_and_every_factor_says_why() {
    let world = World::new().await;
    let (org, account) = (new_org(), new_id());
    heat(&world, org, account).await;
    world.settle().await;
    let score = world.score(org, account).await.unwrap();
    assert_eq!(
        score.score,
        score.factors.iter().map(|factor| factor.points).sum::<i32>()
    );
    assert!(score.score >= 98, "{score:#?}");
    assert_eq!((score.tier(), score.trend()), (Tier::Hot, Trend::Rising));
    assert_eq!(score.model_version, "default@1");
    let count = |name| factor(&score, name).evidence.as_ref().unwrap().count;
    assert_eq!(
        (
            count("user_count"),
            count("seniority"),
            count("competitor_signals")
        ),
        (10, 1, 3)
    );
    // Ten named features and the page view; the competitor's pages are no feature of ours.
    assert_eq!(count("feature_breadth"), 11);
    assert_eq!(count("usage_velocity"), 54);
    for factor in &score.factors {
        let evidence = factor.evidence.as_ref().unwrap();
        assert!(evidence.has_data && !evidence.summary.is_empty(), "{factor:?}");
        assert!(evidence.signal_ids.len() <= 10);
        assert_eq!(
            evidence.signal_ids.is_empty(),
            factor.name == "firmographic_fit",
            "{factor:?}"
        );
    }
}

#[tokio::test]
async fn factors_without_data_say_so_and_give_nothing() {
    let world = World::new().await;
    let (org, account) = (new_org(), new_id());
    world
        .record(org, vec![signal("login", world.now()).by(new_id()).of(account)])
        .await;
    world.settle().await;
    let score = world.score(org, account).await.unwrap();
    for name in [
        "seniority",
        "limit_proximity",
        "competitor_signals",
        "firmographic_fit",
    ] {
        let factor = factor(&score, name);
        let evidence = factor.evidence.as_ref().unwrap();
        assert!(
            !evidence.has_data && factor.points == 0 && !evidence.summary.is_empty(),
            "{factor:?}"
        );
    }
    assert!(score.score > 0);
}

#[tokio::test]
async fn moves_are_told_with_the_score_before_and_what_stays_is_not_told() {
    let world = World::new().await;
    let (org, account) = (new_org(), new_id());
    let at = world.now();
    let login = || signal("login", at).by(Uuid::from_u128(5)).of(account);
    world.record(org, vec![login()]).await;
    world.settle().await;
    world.record(org, vec![login()]).await;
    world.settle_all().await;
    heat(&world, org, account).await;
    world.settle_all().await;
    let told = world.told::<events::AccountScoreChanged>(org).await;
    let scores: Vec<(Option<i32>, i64)> = told
        .iter()
        .map(|event| (event.previous_score, event.revision))
        .collect();
    let first = told[0].score.as_ref().unwrap().score;
    assert_eq!(scores, [(None, 1), (Some(first), 2)]);
    assert_eq!(told[1].previous_tier(), told[0].score.as_ref().unwrap().tier());
    assert_eq!(told[1].score, Some(world.score(org, account).await.unwrap()));
    let history: Vec<(i16, i64)> =
        sqlx::query_as("SELECT score, revision FROM score_history WHERE org_id = $1 ORDER BY revision")
            .bind(org.uuid())
            .fetch_all(&mut world.admin().await)
            .await
            .unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(i32::from(history[1].0), told[1].score.as_ref().unwrap().score);
}

#[tokio::test]
async fn coming_close_to_a_limit_is_told_once_per_crossing() {
    let world = World::new().await;
    let (org, account) = (new_org(), new_id());
    let use_of = |share: i32| {
        signal("api_call", world.now())
            .of(account)
            .with(json!({"usage": share, "plan_limit": 100}))
    };
    let told = async || world.told::<events::AccountExpansionSignal>(org).await;
    world.record(org, vec![use_of(79)]).await;
    world.settle_all().await;
    assert_eq!(told().await.len(), 0);
    let crossing = use_of(80);
    let id = crossing.id.clone();
    world.record(org, vec![crossing]).await;
    world.settle_all().await;
    world.record(org, vec![use_of(95)]).await;
    world.settle_all().await;
    let events = told().await;
    assert_eq!(events.len(), 1);
    assert!((events[0].limit_ratio - 0.8).abs() < 1e-9 && events[0].signal_ids == [id]);
    // Once the readings have left the window, the next crossing is told again.
    world.advance_hours(24 * 31);
    world.settle_all().await;
    world.record(org, vec![use_of(100)]).await;
    world.settle_all().await;
    assert_eq!(told().await.len(), 2);
}

#[tokio::test]
async fn a_title_that_becomes_known_later_raises_the_score() {
    let world = World::new().await;
    let (org, account, person) = (new_org(), new_id(), new_id());
    world
        .record(org, vec![signal("login", world.now()).by(person).of(account)])
        .await;
    world.settle_all().await;
    let before = world.score(org, account).await.unwrap();
    world
        .tell(org, &identified(person, 3, Some("VP Engineering")))
        .await;
    world.tell(org, &identified(person, 2, Some("Intern"))).await;
    world.settle_all().await;
    let after = world.score(org, account).await.unwrap();
    assert_eq!(
        factor(&after, "seniority").points,
        9,
        "0.85 of 10 is 8.5, by largest remainder"
    );
    assert!(after.score > before.score);
}

#[tokio::test]
async fn what_crm_records_goes_before_what_was_learnt() {
    let world = World::new().await;
    let (org, account) = (new_org(), new_id());
    let discovered = |revision, employees| events::AccountDiscovered {
        account_id: account.to_string(),
        revision,
        employees: Some(employees),
        industry: Some("software".into()),
        ..events::AccountDiscovered::default()
    };
    let recorded = |version, employees| events::AccountUpdated {
        account: Some(contracts::crm::v1::Account {
            id: account.to_string(),
            version,
            employees: Some(employees),
            ..Default::default()
        }),
        changed_fields: vec!["employees".into()],
    };
    let fit = async || {
        world.settle_all().await;
        let score = world.score(org, account).await.unwrap();
        factor(&score, "firmographic_fit")
            .evidence
            .as_ref()
            .unwrap()
            .count
    };
    world.tell(org, &discovered(1, 100)).await;
    assert_eq!(fit().await, 2);
    world.tell(org, &recorded(1, 3)).await;
    assert_eq!(fit().await, 1);
    world.tell(org, &discovered(2, 200)).await;
    assert_eq!(fit().await, 1);
    world.tell(org, &recorded(2, 50)).await;
    assert_eq!(fit().await, 2);
}

#[tokio::test]
async fn an_update_that_says_nothing_new_is_not_scored_again() {
    let world = World::new().await;
    let (org, account) = (new_org(), new_id());
    let updated = |version| events::AccountUpdated {
        account: Some(contracts::crm::v1::Account {
            id: account.to_string(),
            version,
            employees: Some(50),
            score: Some(i32::try_from(version).unwrap()),
            ..Default::default()
        }),
        changed_fields: vec!["score".into()],
    };
    world.tell(org, &updated(1)).await;
    world.settle_all().await;
    world.tell(org, &updated(2)).await;
    world.clock.advance(SignedDuration::from_secs(2));
    assert_eq!(world.scorer.round().await.unwrap(), 0);
}
