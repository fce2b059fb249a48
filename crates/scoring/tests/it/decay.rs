//! Time passes: scores fall without new signals, and that is told.

use contracts::events::v1 as events;
use contracts::scores::v1::{Tier, Trend};
use jiff::SignedDuration;
use serde_json::json;

use crate::harness::{Said as _, World, new_id, new_org, signal};

#[tokio::test]
async fn a_hot_account_without_new_signals_cools_down_to_inactive() {
    let world = World::new().await;
    let (org, account) = (new_org(), new_id());
    let mut signals = Vec::new();
    for n in 0..12 {
        let usage = json!({"feature": format!("f{n}"), "usage": 99, "limit": 100});
        for _ in 0..3 {
            let by = signal("api_call", world.now()).by(new_id()).of(account);
            signals.push(by.titled("CTO").with(usage.clone()));
        }
        signals.push(signal("competitor_x", world.now()).of(account));
    }
    world.record(org, signals).await;
    world.settle().await;
    let mut scores = vec![world.score(org, account).await.unwrap()];
    assert_eq!(scores[0].tier(), Tier::Hot);
    for _ in 0..60 {
        world.advance_hours(48);
        world.settle().await;
        scores.push(world.score(org, account).await.unwrap());
    }
    assert!(scores.is_sorted_by(|a, b| a.score >= b.score));
    assert!(scores.iter().any(|score| score.trend() == Trend::Falling));
    let tiers: Vec<Tier> = scores
        .iter()
        .map(contracts::scores::v1::AccountScore::tier)
        .collect();
    for tier in [Tier::Hot, Tier::Warm, Tier::Cold, Tier::Inactive] {
        assert!(tiers.contains(&tier), "{tier:?} in {tiers:?}");
    }
    let last = scores.last().unwrap();
    assert_eq!(
        (last.score, last.tier(), last.trend()),
        (0, Tier::Inactive, Trend::Stable)
    );
    // Each move was told, in order, and nothing else.
    let told = world.told::<events::AccountScoreChanged>(org).await;
    let revisions: Vec<i64> = told.iter().map(|event| event.revision).collect();
    assert_eq!(
        revisions,
        (1..=i64::try_from(told.len()).unwrap()).collect::<Vec<_>>()
    );
    assert_eq!(told.last().unwrap().score.as_ref(), Some(last));
    // What cannot change any more costs nothing any more.
    world.advance_hours(24 * 365);
    assert_eq!(world.scorer.round().await.unwrap(), 0);
}

#[tokio::test]
async fn an_untouched_account_is_looked_at_once_per_interval() {
    let world = World::new().await;
    let (org, account) = (new_org(), new_id());
    world
        .record(org, vec![signal("login", world.now()).by(new_id()).of(account)])
        .await;
    world.settle().await;
    world.clock.advance(SignedDuration::from_mins(59));
    assert_eq!(world.scorer.round().await.unwrap(), 0);
    world.clock.advance(SignedDuration::from_mins(17));
    assert_eq!(world.scorer.round().await.unwrap(), 1);
    assert_eq!(world.scorer.round().await.unwrap(), 0);
}

#[tokio::test]
async fn the_trend_compares_with_the_score_of_a_week_ago() {
    let world = World::new().await;
    let (org, account) = (new_org(), new_id());
    // Imported history: the account existed long before its first score.
    let old = world.now() - SignedDuration::from_hours(24 * 20);
    world
        .record(org, vec![signal("login", old).by(new_id()).of(account)])
        .await;
    world.settle().await;
    let trend = async || world.score(org, account).await.unwrap().trend();
    assert_eq!(trend().await, Trend::Stable);
    world.advance_hours(24 * 8);
    let now = world.now();
    world
        .record(
            org,
            (0..9)
                .map(|_| signal("login", now).by(new_id()).of(account))
                .collect(),
        )
        .await;
    world.settle().await;
    assert_eq!(trend().await, Trend::Rising);
    world.advance_hours(24 * 20);
    world.settle().await;
    assert_eq!(trend().await, Trend::Falling);
}

#[tokio::test]
async fn history_beyond_its_retention_is_deleted() {
    let world = World::new().await;
    let (org, account) = (new_org(), new_id());
    world
        .record(org, vec![signal("login", world.now()).by(new_id()).of(account)])
        .await;
    world.settle().await;
    let cut = world.now() + SignedDuration::from_secs(1);
    world.advance_hours(24 * 3);
    world.settle().await;
    let rows = async || -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM score_history")
            .fetch_one(&mut world.admin().await)
            .await
            .unwrap()
    };
    assert_eq!(rows().await, 2);
    assert_eq!(
        scoring::store::prune::history(&world.stores.pipeline, cut)
            .await
            .unwrap(),
        1
    );
    assert_eq!(rows().await, 1);
}
