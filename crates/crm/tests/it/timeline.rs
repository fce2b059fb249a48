//! The timeline: two feeds merged page by page, without gaps or repeats, also among entries of one instant.

use contracts::crm::v1 as crm;
use contracts::events::v1 as events;
use contracts::scores::v1::{Tier, Trend};
use contracts::signals::v1 as signals;
use contracts::{convert, crm::v1::TimelineEntry};
use ids::{Clock as _, OrgId};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rpc::Role;
use tonic::Code;
use uuid::Uuid;

use crate::harness::{Served, World, discovered, failure, new_id, new_org, scored, start, wrap};
use crate::signals_fake::{FakeSignals, signal};

fn ask(account: Uuid, limit: i32, cursor: Option<String>) -> crm::ListAccountTimelineRequest {
    crm::ListAccountTimelineRequest {
        account_id: account.to_string(),
        limit: Some(limit),
        cursor,
    }
}

fn at(second: i64) -> Timestamp {
    start() + SignedDuration::from_secs(second)
}

fn place(entry: &TimelineEntry) -> (Timestamp, String) {
    (
        convert::from_timestamp(entry.timestamp.as_ref().unwrap()).unwrap(),
        entry.id.clone(),
    )
}

/// Page after page; `between` happens after each.
async fn walk(
    world: &World,
    served: &mut Served,
    org: OrgId,
    account: Uuid,
    limits: &[i32],
    mut between: impl FnMut(&TimelineEntry),
) -> Vec<TimelineEntry> {
    let mut all = Vec::new();
    let mut cursor = None;
    for limit in limits.iter().cycle() {
        let request = world
            .caller(org)
            .role(Role::Viewer)
            .asks(ask(account, *limit, cursor.take()));
        let page = served
            .accounts
            .list_account_timeline(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(page.has_more, page.next_cursor.is_some());
        assert!(page.data.len() == usize::try_from(*limit).unwrap() || !page.has_more);
        all.extend(page.data);
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
        between(all.last().unwrap());
    }
    all
}

#[test]
fn a_walk_shows_every_entry_once_and_in_order() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let (world, fake) = (runtime.block_on(World::new()), FakeSignals::default());
    let served = runtime.block_on(async { world.serve(&fake.serve(&world).await).await });
    // Few instants, so that many entries share one.
    let strategy = (
        prop::collection::vec(0..6_i64, 0..40),
        prop::collection::vec(0..6_i64, 0..15),
        prop::collection::vec(1..12_i32, 1..4),
        prop::collection::vec((0..6_i64, any::<bool>()), 0..6),
    );
    let mut runner = TestRunner::new(Config {
        cases: 48,
        max_shrink_iters: 100,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&strategy, |(at_signals, at_scores, limits, late)| {
            runtime.block_on(async {
                let (org, account) = (new_org(), new_id());
                world.tell(org, &discovered(account, 1, "acme.com")).await;
                let mut expected = Vec::new();
                for second in at_signals {
                    let id = new_id();
                    expected.push((at(second), id.to_string()));
                    fake.add(org, account, signal(id, at(second), None));
                }
                for (revision, second) in (1..).zip(at_scores) {
                    let told = world
                        .tell(org, &scored(account, revision, 50, Trend::Stable, at(second)))
                        .await;
                    expected.push((at(second), told.id.to_string()));
                }
                expected.sort();
                expected.reverse();
                // Signals that arrive meanwhile are shown if their place is still to come.
                let mut late = late.into_iter();
                let mut arrived = Vec::new();
                let walked = walk(&world, &mut served.clone(), org, account, &limits, |last| {
                    if let Some((second, true)) = late.next() {
                        let id = new_id();
                        fake.add(org, account, signal(id, at(second), None));
                        if (at(second), id.to_string()) < place(last) {
                            arrived.push((at(second), id.to_string()));
                        }
                    }
                })
                .await;
                expected.extend(arrived);
                expected.sort();
                expected.reverse();
                let walked: Vec<_> = walked.iter().map(place).collect();
                prop_assert_eq!(walked, expected);
                Ok(())
            })
        })
        .unwrap();
}

#[tokio::test]
async fn a_page_among_a_thousand_signals_of_one_instant_costs_as_much_as_any_other() {
    let world = World::new().await;
    let fake = FakeSignals::default();
    let mut served = world.serve(&fake.serve(&world).await).await;
    let (org, account) = (new_org(), new_id());
    world.tell(org, &discovered(account, 1, "acme.com")).await;
    for _ in 0..1_000 {
        fake.add(org, account, signal(new_id(), at(0), None));
    }
    world
        .tell(org, &scored(account, 1, 50, Trend::Stable, at(1)))
        .await;
    world
        .tell(org, &scored(account, 2, 60, Trend::Stable, at(-1)))
        .await;
    let mut pages = 0;
    let walked = walk(&world, &mut served, org, account, &[7], |_| pages += 1).await;
    assert_eq!(walked.len(), 1_002);
    let calls = fake.calls.lock().unwrap().clone();
    let pages = usize::try_from(pages).unwrap() + 1;
    assert!(
        calls.len() <= pages + 1,
        "{} calls for {pages} pages",
        calls.len()
    );
    assert!(
        calls.iter().all(|(_, limit)| *limit <= 14),
        "never asks for more than two pages' worth"
    );
    let full = walk(&world, &mut served, org, account, &[200], |_| ()).await;
    assert_eq!(full, walked);
}

#[tokio::test]
async fn entries_are_told_in_words() {
    let world = World::new().await;
    let fake = FakeSignals::default();
    let mut served = world.serve(&fake.serve(&world).await).await;
    let (org, account, contact) = (new_org(), new_id(), new_id());
    world.tell(org, &discovered(account, 1, "acme.com")).await;
    let metadata: serde_json::Value = serde_json::json!({"package": "left-pad", "n": 3});
    let known = signals::Signal {
        contact_id: Some(contact.to_string()),
        metadata: Some(convert::to_struct(metadata.as_object().unwrap().clone())),
        ..signal(new_id(), at(1), Some("dev@acme.com"))
    };
    fake.add(org, account, known);
    fake.add(org, account, signal(new_id(), at(0), None));
    let big = serde_json::json!({"blob": "x".repeat(10_000)});
    let big = convert::to_struct(big.as_object().unwrap().clone());
    fake.add(
        org,
        account,
        signals::Signal {
            metadata: Some(big),
            ..signal(new_id(), at(-1), None)
        },
    );
    world
        .tell(org, &scored(account, 1, 42, Trend::Stable, at(2)))
        .await;
    let second = events::AccountScoreChanged {
        previous_score: Some(42),
        previous_tier: Tier::Cold.into(),
        ..scored(account, 2, 57, Trend::Rising, at(3))
    };
    world.tell(org, &second).await;
    let entries = walk(&world, &mut served, org, account, &[50], |_| ()).await;
    let words: Vec<_> = entries
        .iter()
        .map(|entry| (entry.kind.as_str(), entry.title.as_str()))
        .collect();
    assert_eq!(
        words,
        [
            ("score_changed", "Score 42 → 57 (WARM, rising)"),
            ("score_changed", "Score 42 (COLD, stable)"),
            ("signal", "package_install by dev@acme.com"),
            ("signal", "package_install by somebody unknown"),
            ("signal", "package_install by somebody unknown"),
        ]
    );
    let data = |n: usize| serde_json::Value::Object(convert::from_struct(entries[n].data.as_ref().unwrap()));
    assert_eq!(
        data(0),
        serde_json::json!({"score": 57, "tier": "WARM", "trend": "RISING", "previousScore": 42,
                           "previousTier": "COLD", "modelVersion": "default@1"})
    );
    assert_eq!(data(2)["metadata"], metadata);
    assert_eq!(
        (data(2)["email"].as_str(), entries[2].contact_id.clone()),
        (Some("dev@acme.com"), Some(contact.to_string()))
    );
    assert_eq!(
        data(4),
        serde_json::json!({"type": "package_install", "metadataOmitted": true})
    );
}

#[tokio::test]
async fn without_signal_ingest_the_answer_is_unavailable_and_not_half_a_timeline() {
    let world = World::new().await;
    let mut served = world.serve_alone().await;
    let (org, account) = (new_org(), new_id());
    world.tell(org, &discovered(account, 1, "acme.com")).await;
    world
        .tell(org, &scored(account, 1, 50, Trend::Stable, at(0)))
        .await;
    let answer = served
        .accounts
        .list_account_timeline(world.caller(org).asks(ask(account, 10, None)))
        .await;
    assert_eq!(failure(answer), (Code::Unavailable, "unavailable".into(), vec![]));
}

#[tokio::test]
async fn the_principal_goes_along_so_that_its_limits_hold_for_the_signals_too() {
    let world = World::new().await;
    let fake = FakeSignals::default();
    let mut served = world.serve(&fake.serve(&world).await).await;
    let (org, account) = (new_org(), new_id());
    world.tell(org, &discovered(account, 1, "acme.com")).await;
    let only_accounts = world.caller(org).scopes(&["accounts:read"]);
    let answer = served
        .accounts
        .list_account_timeline(only_accounts.asks(ask(account, 10, None)))
        .await;
    assert_eq!(failure(answer).0, Code::PermissionDenied);
    let both = world.caller(org).scopes(&["accounts:read", "signals:read"]);
    served
        .accounts
        .list_account_timeline(both.asks(ask(account, 10, None)))
        .await
        .unwrap();
}

#[tokio::test]
async fn bad_requests_and_bent_cursors_are_refused() {
    let world = World::new().await;
    let fake = FakeSignals::default();
    let mut served = world.serve(&fake.serve(&world).await).await;
    let (org, account, other) = (new_org(), new_id(), new_id());
    for account in [account, other] {
        world.tell(org, &discovered(account, 1, "acme.com")).await;
        for second in 0..5 {
            fake.add(org, account, signal(new_id(), at(second), None));
        }
    }
    // An account of which only a score is known is not there yet.
    let hidden = new_id();
    world
        .deliver(wrap(
            org,
            &scored(hidden, 1, 50, Trend::Stable, at(0)),
            world.clock.now(),
        ))
        .await
        .unwrap();
    for nobody in [new_id(), hidden] {
        let answer = served
            .accounts
            .list_account_timeline(world.caller(org).asks(ask(nobody, 10, None)))
            .await;
        assert_eq!(failure(answer).0, Code::NotFound);
    }
    for limit in [0, 201, -1] {
        let answer = served
            .accounts
            .list_account_timeline(world.caller(org).asks(ask(account, limit, None)))
            .await;
        assert_eq!(failure(answer).1, "invalid_parameter");
    }
    let first = served
        .accounts
        .list_account_timeline(world.caller(org).asks(ask(account, 2, None)))
        .await;
    let cursor = first.unwrap().into_inner().next_cursor.unwrap();
    let foreign = served
        .accounts
        .list_account_timeline(world.caller(org).asks(ask(other, 2, Some(cursor.clone()))))
        .await;
    assert_eq!(failure(foreign).1, "invalid_cursor");
    let bent = format!("A{}", &cursor[1..]);
    for bad in [bent.as_str(), "x", "é", &cursor[..cursor.len() / 2]] {
        let request = ask(account, 2, Some(bad.to_owned()));
        let answer = served
            .accounts
            .list_account_timeline(world.caller(org).asks(request))
            .await;
        if bad != cursor {
            assert_eq!(failure(answer).1, "invalid_cursor", "{bad}");
        }
    }
}
