//! Replay = live: any order of the same events gives the same roll-ups and scores.

use contracts::Envelope;
use contracts::crm::v1::Account;
use contracts::events::v1 as events;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use crate::harness::{Said as _, World, batch, identified, linked, merged, new_id, new_org, signal, wrap};

struct Cast {
    anonymous: Uuid,
    person: Uuid,
    boss: Uuid,
    acme: Uuid,
}

/// A history with every kind of event in it; each event tells something that the others do not.
fn history(now: Timestamp, org: ids::OrgId, cast: &Cast) -> Vec<Envelope> {
    let at = |hours: i64| now - SignedDuration::from_hours(hours);
    let (anonymous, person, boss, acme) = (cast.anonymous, cast.person, cast.boss, cast.acme);
    let usage = json!({"usage": 900, "limit": 1000, "feature": "auth"});
    vec![
        wrap(
            org,
            &batch(
                org,
                vec![
                    signal("page_view", at(80)).by(anonymous),
                    signal("docs", at(70)).by(anonymous),
                ],
            ),
            now,
        ),
        wrap(org, &batch(org, vec![signal("login", at(60)).by(person)]), now),
        wrap(
            org,
            &batch(
                org,
                vec![signal("api_call", at(50)).by(person).of(acme).with(usage)],
            ),
            now,
        ),
        wrap(
            org,
            &batch(
                org,
                vec![signal("competitor_x", at(9)).by(boss).of(acme).titled("Engineer")],
            ),
            now,
        ),
        wrap(
            org,
            &batch(
                org,
                vec![signal("login", at(8)).by(boss).of(acme).titled("VP Engineering")],
            ),
            now,
        ),
        wrap(org, &merged(anonymous, person, Some(acme)), now),
        wrap(org, &linked(person, acme), now),
        wrap(org, &identified(person, 2, Some("CTO")), now),
        wrap(org, &identified(person, 1, Some("Intern")), now),
        wrap(org, &discovered(acme, 2, Some(100)), now),
        wrap(org, &discovered(acme, 1, Some(9)), now),
        wrap(org, &recorded(acme, 7, "software"), now),
        wrap(org, &recorded(acme, 6, "bakery"), now),
    ]
}

fn discovered(account: Uuid, revision: i64, employees: Option<i64>) -> events::AccountDiscovered {
    events::AccountDiscovered {
        account_id: account.to_string(),
        revision,
        employees,
        ..events::AccountDiscovered::default()
    }
}

fn recorded(account: Uuid, version: i64, industry: &str) -> events::AccountUpdated {
    let account = Account {
        id: account.to_string(),
        version,
        industry: Some(industry.into()),
        ..Account::default()
    };
    events::AccountUpdated {
        account: Some(account),
        changed_fields: vec![],
    }
}

/// A reproducible shuffle.
fn shuffled(mut items: Vec<Envelope>, seed: u64) -> Vec<Envelope> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for i in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(i, usize::try_from(state % (i as u64 + 1)).unwrap());
    }
    items
}

#[tokio::test]
async fn any_order_with_repeats_gives_the_same_roll_ups_and_the_same_score() {
    let world = World::new().await;
    let cast = Cast {
        anonymous: new_id(),
        person: new_id(),
        boss: new_id(),
        acme: new_id(),
    };
    let (live, now) = (new_org(), world.now());
    for envelope in history(now, live, &cast) {
        world.deliver(envelope).await.unwrap();
    }
    world.settle_all().await;
    let (expected, score) = (
        normal(world.dump(live).await),
        world.score(live, cast.acme).await.unwrap(),
    );
    assert!(score.score > 40, "{score:?}");
    for seed in 1..25 {
        let org = new_org();
        // Scored in between, too: what was scored before the last event must not matter.
        for (n, envelope) in shuffled(history(now, org, &cast), seed).into_iter().enumerate() {
            world.deliver(envelope.clone()).await.unwrap();
            if n % 4 == 0 {
                world.settle().await;
                world.deliver(envelope).await.unwrap();
            }
        }
        world.settle_all().await;
        assert_eq!(normal(world.dump(org).await), expected, "seed {seed}");
        let again = world.score(org, cast.acme).await.unwrap();
        let points = |score: &contracts::scores::v1::AccountScore| -> Vec<i32> {
            score.factors.iter().map(|factor| factor.points).collect()
        };
        assert_eq!(points(&again), points(&score), "seed {seed}");
    }
}

/// Signals are minted anew for each history: everything but their ids.
fn normal(dump: Vec<String>) -> Vec<String> {
    let mut lines: Vec<String> = dump
        .into_iter()
        .map(|line| {
            let (table, row) = line.split_once(' ').unwrap();
            let mut row: serde_json::Value = serde_json::from_str(row).unwrap();
            for key in ["last_signal_id", "signal_id", "stated_signal_id"] {
                if let Some(id) = row.get_mut(key) {
                    *id = json!(!id.is_null());
                }
            }
            format!("{table} {row}")
        })
        .collect();
    lines.sort();
    lines
}
