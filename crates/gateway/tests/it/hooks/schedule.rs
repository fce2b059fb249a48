//! Retries on a virtual clock: three days in seconds.

use std::time::Duration;

use ids::{Clock as _, ManualClock};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::sync::Arc;
use test_kit::wait_for;

use super::receiver::{Receiver, Reply};
use super::{Role, SOON, account, edge_only, get, hook, log, publish, until};
use crate::harness::Gateway;

/// A gateway, and a delivery role whose time is the test's. It begins at the machine's: events are dated by that.
async fn virtual_time() -> (Gateway, Role, ManualClock) {
    let gateway = edge_only().await;
    let clock = ManualClock::at(ids::SystemClock.now());
    let role = Role::start(&gateway, Arc::new(clock.clone())).await;
    (gateway, role, clock)
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_attempts_over_three_days_keep_their_id_and_end_in_an_event() {
    let (gateway, _role, clock) = virtual_time().await;
    let receiver = Receiver::answering(|hit| match hit.path.as_str() {
        "/h" => Reply::status(503),
        _ => Reply::status(200),
    })
    .await;
    hook(
        &gateway,
        receiver.url("/watch"),
        json!({"events": ["webhook.delivery_exhausted"]}),
    )
    .await;
    let (id, _) = hook(
        &gateway,
        receiver.url("/h"),
        json!({"events": ["account.deleted"]}),
    )
    .await;
    let began = clock.now();
    let events = publish(&gateway, gateway.org, &[account(1)]).await;
    let mut due_before = began;
    for attempt in 1..=12 {
        let all = wait_for("the attempt is recorded", SOON, async || {
            let all = log(&gateway, &id).await;
            all.first()
                .is_some_and(|d| d["attempts"] == attempt)
                .then_some(all)
        })
        .await;
        if attempt == 12 {
            assert_eq!(all[0]["status"], "failed");
            break;
        }
        let due: Timestamp = all[0]["nextAttemptAt"].as_str().unwrap().parse().unwrap();
        assert!(due > due_before);
        due_before = due;
        // A moment before it is due nothing is sent.
        clock.advance(due.duration_since(clock.now()) - SignedDuration::from_millis(10));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(receiver.at("/h").len(), usize::try_from(attempt).unwrap());
        clock.advance(SignedDuration::from_millis(20));
    }
    assert!(clock.now().duration_since(began) >= SignedDuration::from_hours(75));
    let sent = receiver.at("/h");
    assert_eq!(sent.len(), 12);
    assert!(
        sent.iter()
            .all(|hit| hit.id() == events[0] && hit.sequence() == 1)
    );
    let mut times: Vec<_> = sent
        .iter()
        .map(|hit| hit.headers["webhook-timestamp"].clone())
        .collect();
    times.dedup();
    assert_eq!(times.len(), 12, "each attempt is signed with its own time");
    let told = wait_for("its end is told", SOON, async || receiver.at("/watch").pop())
        .await
        .json();
    assert_eq!(
        (&told["data"]["eventId"], &told["data"]["attempts"]),
        (&json!(events[0]), &json!(12))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn five_days_of_failure_disable_and_one_success_begins_anew() {
    let (gateway, _role, clock) = virtual_time().await;
    let receiver = Receiver::answering(|_| Reply::status(500)).await;
    let (id, _) = hook(
        &gateway,
        receiver.url("/h"),
        json!({"events": ["account.deleted"]}),
    )
    .await;
    let attempts = async || {
        let one = get(
            &gateway,
            &format!("/{id}/stats?from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z"),
        )
        .await;
        one["failed"].as_i64().unwrap() + one["succeeded"].as_i64().unwrap()
    };
    let tried = async |events: u128| {
        let before = attempts().await;
        publish(
            &gateway,
            gateway.org,
            &(0..events).map(account).collect::<Vec<_>>(),
        )
        .await;
        let wanted = before + i64::try_from(events).unwrap();
        wait_for("they are tried", SOON, async || {
            (attempts().await >= wanted).then_some(())
        })
        .await;
    };
    tried(15).await;
    assert!(get(&gateway, &format!("/{id}")).await["failingSince"].is_string());
    clock.advance(SignedDuration::from_hours(100));
    receiver.now_answer(|_| Reply::status(200));
    until(&gateway, &id, "delivered", 15).await;
    assert_eq!(get(&gateway, &format!("/{id}")).await.get("failingSince"), None);
    receiver.now_answer(|_| Reply::status(500));
    tried(15).await;
    clock.advance(SignedDuration::from_hours(119));
    wait_for("all are tried again", SOON, async || {
        (attempts().await >= 60).then_some(())
    })
    .await;
    assert_eq!(get(&gateway, &format!("/{id}")).await["status"], "enabled");
    clock.advance(SignedDuration::from_hours(2));
    let read = wait_for("it is disabled", SOON, async || {
        let read = get(&gateway, &format!("/{id}")).await;
        (read["status"] == "disabled").then_some(read)
    })
    .await;
    assert_eq!(read["disabledReason"], "failing");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_left_alone_for_as_long_as_it_asks() {
    let (gateway, _role, clock) = virtual_time().await;
    let receiver = Receiver::answering(|_| Reply {
        headers: vec![("retry-after", "3600".to_owned())],
        ..Reply::status(429)
    })
    .await;
    let (id, _) = hook(&gateway, receiver.url("/h"), json!({})).await;
    publish(&gateway, gateway.org, &[account(1)]).await;
    let (due, delivery) = wait_for("it waits", SOON, async || {
        let all = log(&gateway, &id).await;
        let first = all.first().filter(|d| d["attempts"] == 1)?;
        let due = first["nextAttemptAt"].as_str()?.parse::<Timestamp>().ok()?;
        Some((due, first.clone()))
    })
    .await;
    let pause = due.duration_since(clock.now());
    assert!(
        pause > SignedDuration::from_secs(3590) && pause < SignedDuration::from_secs(3610),
        "{pause}: {delivery}"
    );
}
