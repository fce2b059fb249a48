//! The demo's signals: who does what, and when, by the mood of their company.

use jiff::{SignedDuration, Timestamp};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

use super::companies::Mood;
use super::people::{Person, people};

/// Any number; changing it makes another demo.
const SEED: u64 = 0x0DE5_161A;
const DAY_SECS: i64 = 86_400;

/// What developers do, with how often in a hundred.
const ACTIONS: &[(&str, u32)] = &[
    ("api_call", 34),
    ("page_view", 22),
    ("docs_view", 14),
    ("package_install", 10),
    ("repo_clone", 6),
    ("repo_star", 3),
    ("issue_opened", 3),
    ("feature_used", 8),
];
const FEATURES: &[&str] = &[
    "auth",
    "database",
    "realtime",
    "edge-functions",
    "storage",
    "queues",
    "search",
    "billing",
];
const PAGES: &[&str] = &[
    "/docs/quickstart",
    "/docs/api",
    "/blog/scaling",
    "/",
    "/docs/sdk/rust",
    "/changelog",
];

/// `count` signals that end at `now`, oldest first, each with an idempotency key of its own.
#[must_use]
pub fn signals(count: usize, now: Timestamp) -> Vec<Value> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let people = people();
    let weights: Vec<u32> = people.iter().map(weight).collect();
    let total: u32 = weights.iter().sum();
    let mut drafts: Vec<(i64, Value)> = (0..count)
        .map(|n| {
            let person = &people[pick(&weights, rng.random_range(0..total))];
            let age = age_secs(person, &mut rng);
            (
                age,
                signal(n, person, now - SignedDuration::from_secs(age), &mut rng),
            )
        })
        .collect();
    drafts.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
    drafts.into_iter().map(|(_, signal)| signal).collect()
}

/// How much of the activity is this person's.
fn weight(person: &Person) -> u32 {
    match person.company.map(|c| c.mood) {
        Some(Mood::Hot) => 30,
        Some(Mood::Warm) => 14,
        Some(Mood::Cold) => 5,
        Some(Mood::Gone) => 6,
        None => 2,
    }
}

fn pick(weights: &[u32], mut at: u32) -> usize {
    for (index, weight) in weights.iter().enumerate() {
        if at < *weight {
            return index;
        }
        at -= weight;
    }
    weights.len() - 1
}

/// How long ago. Growing companies are mostly recent, gone ones stopped 45 days ago.
fn age_secs(person: &Person, rng: &mut Xoshiro256PlusPlus) -> i64 {
    let share: f64 = rng.random();
    let days = match person.company.map(|c| c.mood) {
        Some(Mood::Hot) => 89.0 * share.powi(4),
        Some(Mood::Warm) => 89.0 * share.powf(1.5),
        Some(Mood::Cold) => 6.0 + 83.0 * share,
        Some(Mood::Gone) => 45.0 + 44.0 * share,
        None => 89.0 * share,
    };
    #[expect(clippy::cast_possible_truncation, reason = "below 90")]
    let whole = days as i64;
    whole * DAY_SECS + rng.random_range(0..DAY_SECS)
}

fn signal(n: usize, person: &Person, at: Timestamp, rng: &mut Xoshiro256PlusPlus) -> Value {
    let kind = action(person, rng);
    let mut actor = Map::new();
    actor.insert("github".into(), json!(person.github));
    actor.insert("name".into(), json!(person.name));
    if let Some(email) = &person.email {
        actor.insert("email".into(), json!(email));
    }
    if let Some(title) = person.title {
        actor.insert("title".into(), json!(title));
    }
    let mut signal = json!({
        "type": kind,
        "timestamp": at.to_string(),
        "idempotencyKey": format!("demo-{n}"),
        "actor": actor,
        "metadata": metadata(kind, person, rng),
    });
    if let Some(company) = person.company {
        signal["account"] = json!({
            "domain": company.domain, "name": company.name, "employees": company.employees, "industry": company.industry,
        });
    }
    signal
}

fn action(person: &Person, rng: &mut Xoshiro256PlusPlus) -> &'static str {
    let leads = person
        .title
        .is_some_and(|t| t.contains("VP") || t == "CTO" || t.contains("Director"));
    if leads && rng.random_bool(0.3) {
        return "pricing_view";
    }
    if person.company.is_some_and(|c| c.mood == Mood::Hot) && rng.random_bool(0.02) {
        return "competitor_docs_view";
    }
    let weights: Vec<u32> = ACTIONS.iter().map(|(_, w)| *w).collect();
    ACTIONS[pick(&weights, rng.random_range(0..100))].0
}

fn metadata(kind: &str, person: &Person, rng: &mut Xoshiro256PlusPlus) -> Value {
    match kind {
        "api_call" => {
            let limit = 15_000;
            let share = match person.company.map(|c| c.mood) {
                Some(Mood::Hot) => rng.random_range(80..99),
                Some(Mood::Warm) => rng.random_range(30..75),
                _ => rng.random_range(1..25),
            };
            json!({"endpoint": "/v1/query", "usage": limit * share / 100, "limit": limit})
        }
        "feature_used" => json!({"feature": FEATURES[rng.random_range(0..FEATURES.len())]}),
        "page_view" | "docs_view" => json!({"path": PAGES[rng.random_range(0..PAGES.len())]}),
        "pricing_view" => json!({"path": "/pricing"}),
        "competitor_docs_view" => json!({"competitor": "otherbase"}),
        "package_install" => json!({"package": "@acme/sdk", "version": "2.4.1"}),
        _ => json!({"repository": "acme/sdk"}),
    }
}
