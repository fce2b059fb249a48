//! Delivery roles that come and go: nothing is lost, nothing made twice, and the schedule stays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ids::{Clock as _, ManualClock, SystemClock};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use test_kit::wait_for;

use super::receiver::{Receiver, Reply};
use super::{Role, SOON, account, assert_gap_free, edge_only, hook, log, open, publish, until};
use crate::harness::Gateway;

/// Short leases, so that a killed process's work is taken over soon.
async fn impatient() -> Gateway {
    Gateway::with(open(json!({
        "roles": {"deliver": false},
        "webhooks": {"lease_secs": 1, "attempt_timeout_ms": 500, "fanout_messages": 7},
    })))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_killed_again_and_again_loses_nothing_and_makes_nothing_twice() {
    let gateway = impatient().await;
    let receiver = Receiver::answering(|_| Reply::status(200).after(Duration::from_millis(5))).await;
    let (one, _) = hook(&gateway, receiver.url("/one"), json!({})).await;
    let (two, _) = hook(
        &gateway,
        receiver.url("/two"),
        json!({"events": ["account.deleted"]}),
    )
    .await;
    let mut events = Vec::new();
    for round in 0..6_u128 {
        let role = Role::start(&gateway, SystemClock::shared()).await;
        let before = receiver.hits().len();
        for n in 0..10 {
            let more: Vec<_> = (0..20).map(|i| account(round * 1_000 + n * 100 + i)).collect();
            events.extend(publish(&gateway, gateway.org, &more).await);
        }
        let enough = before + 30 + usize::try_from(round).unwrap() * 17;
        wait_for("some arrive", SOON, async || {
            (receiver.hits().len() >= enough).then_some(())
        })
        .await;
        role.kill();
    }
    let _last = Role::start(&gateway, SystemClock::shared()).await;
    for (hook, path) in [(&one, "/one"), (&two, "/two")] {
        let all = until(&gateway, hook, "delivered", events.len()).await;
        assert_eq!(all.len(), events.len(), "one delivery per event");
        assert_gap_free(&all);
        let of_log: BTreeSet<_> = all
            .iter()
            .map(|d| d["eventId"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(of_log, events.iter().cloned().collect());
        let mut sequences = BTreeMap::<String, BTreeSet<i64>>::new();
        for hit in receiver.at(path) {
            sequences
                .entry(hit.id().to_owned())
                .or_default()
                .insert(hit.sequence());
        }
        assert_eq!(sequences.len(), events.len());
        assert!(
            sequences.values().all(|s| s.len() == 1),
            "a repeat keeps its id and sequence"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_roles_share_the_work_and_the_sequence_has_no_gap() {
    let gateway = impatient().await;
    let receiver = Receiver::start().await;
    let mut hooks = Vec::new();
    for n in 0..5 {
        hooks.push(hook(&gateway, receiver.url(&format!("/{n}")), json!({})).await.0);
    }
    let _roles = [
        Role::start(&gateway, SystemClock::shared()).await,
        Role::start(&gateway, SystemClock::shared()).await,
        Role::start(&gateway, SystemClock::shared()).await,
    ];
    let batches = (0..8_u128).map(|n| {
        let gateway = &gateway;
        async move {
            let events: Vec<_> = (0..50).map(|i| account(n * 100 + i)).collect();
            publish(gateway, gateway.org, &events).await
        }
    });
    futures::future::join_all(batches).await;
    for hook in &hooks {
        let all = until(&gateway, hook, "delivered", 400).await;
        assert_eq!(all.len(), 400);
        assert_gap_free(&all);
        assert!(all.iter().all(|d| d["attempts"] == 1), "none is sent by two");
    }
    assert_eq!(receiver.hits().len(), 2000);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_read_a_second_time_are_not_delivered_a_second_time() {
    let gateway = edge_only().await;
    let receiver = Receiver::start().await;
    let (id, _) = hook(&gateway, receiver.url("/h"), json!({})).await;
    for round in 1..=3 {
        let role = Role::start(&gateway, SystemClock::shared()).await;
        publish(&gateway, gateway.org, &(0..30).map(account).collect::<Vec<_>>()).await;
        until(&gateway, &id, "delivered", round * 30).await;
        role.stop().await;
        // As after a broker that lost its store: everything is read again.
        let mut tx = gateway.stores.pipeline.begin().await.unwrap();
        sqlx::query("UPDATE webhook_fanout SET position = ''")
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }
    let _last = Role::start(&gateway, SystemClock::shared()).await;
    publish(&gateway, gateway.org, &[account(99)]).await;
    let all = until(&gateway, &id, "delivered", 91).await;
    assert_eq!((all.len(), receiver.hits().len()), (91, 91));
    assert_gap_free(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_schedule() {
    let gateway = edge_only().await;
    let clock = ManualClock::at(SystemClock.now());
    let receiver = Receiver::answering(|_| Reply::status(500)).await;
    let (id, _) = hook(&gateway, receiver.url("/h"), json!({})).await;
    let role = Role::start(&gateway, Arc::new(clock.clone())).await;
    publish(&gateway, gateway.org, &[account(1)]).await;
    let due = async |attempts: i64| {
        wait_for("an attempt is recorded", SOON, async || {
            let all = log(&gateway, &id).await;
            let first = all.first().filter(|d| d["attempts"] == attempts)?;
            first["nextAttemptAt"].as_str()?.parse::<Timestamp>().ok()
        })
        .await
    };
    let first = due(1).await;
    role.kill();
    let role = Role::start(&gateway, Arc::new(clock.clone())).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((due(1).await, receiver.hits().len()), (first, 1));
    // The lease of the killed one, and the pause.
    clock.advance(SignedDuration::from_secs(31));
    let second = due(2).await;
    role.stop().await;
    let _role = Role::start(&gateway, Arc::new(clock.clone())).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((due(2).await, receiver.hits().len()), (second, 2));
    clock.advance(SignedDuration::from_secs(37));
    due(3).await;
}
