//! Whatever the order in which batches and identity changes arrive, every signal ends with its person and company.

use std::sync::Arc;

use contracts::events::v1::{IdentityAccountLinked, IdentityMerged};
use contracts::signals::v1::{Resolution, Signal};
use contracts::{Envelope, Event};
use eventbus::{Handler as _, HandlerError};
use ids::OrgId;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use signal_ingest::events::{LinkHandler, MergeHandler};
use signal_ingest::metrics::IngestMetrics;
use telemetry::Metrics;
use uuid::Uuid;

use crate::harness::{World, new_id, new_org, resolved, wrap};
use crate::record::{batch, handler};

/// More than it takes when many tests share the machine.
const DELIVERIES: usize = 20;

fn how(rule: &str) -> Option<Resolution> {
    Some(Resolution {
        rule: rule.into(),
        evidence: "e".into(),
        confidence: 1.0,
    })
}

fn merged(org: OrgId, from: Uuid, contact: Uuid, account: Option<Uuid>) -> Envelope {
    let event = IdentityMerged {
        from_actor_id: from.to_string(),
        contact_id: contact.to_string(),
        account_id: account.map(|id| id.to_string()),
        resolution: how("stitched"),
        signal_id: new_id().to_string(),
    };
    wrap(org, &event)
}

fn linked(org: OrgId, contact: Uuid, account: Uuid) -> Envelope {
    let event = IdentityAccountLinked {
        contact_id: contact.to_string(),
        account_id: account.to_string(),
        resolution: how("email_domain"),
        signal_id: new_id().to_string(),
    };
    wrap(org, &event)
}

/// A batch as it was resolved before anything was known.
fn stale(org: OrgId, actor: Uuid, contact: Option<Uuid>, account: Option<Uuid>) -> Envelope {
    let signal = || Signal {
        actor_id: Some(actor.to_string()),
        contact_id: contact.map(|id| id.to_string()),
        account_id: account.map(|id| id.to_string()),
        ..resolved(org, "t")
    };
    batch(org, vec![signal(), signal(), signal()])
}

/// As the bus does: what failed for a reason that may pass (a lock that was waited for too long) comes again.
async fn deliver(world: &World, envelope: Envelope) {
    for _ in 0..DELIVERIES {
        let db = world.stores.pipeline.clone();
        let metrics = IngestMetrics::new(&Metrics::new("signal-ingest")).unwrap();
        let envelope = envelope.clone();
        let done = match envelope.subject.kind.as_str() {
            IdentityMerged::TYPE => MergeHandler { db, metrics }.handle(envelope).await,
            IdentityAccountLinked::TYPE => LinkHandler { db, metrics }.handle(envelope).await,
            _ => handler(world).handle(envelope).await,
        };
        match done {
            Ok(()) => return,
            Err(HandlerError::Retry(_)) => {}
            Err(HandlerError::Poison(error)) => panic!("{error:#}"),
        }
    }
    panic!("not taken in after {DELIVERIES} deliveries");
}

type Row = (Option<Uuid>, Option<Uuid>, Option<Uuid>);

async fn rows(world: &World, org: OrgId) -> Vec<Row> {
    sqlx::query_as("SELECT actor_id, contact_id, account_id FROM signals WHERE org_id = $1")
        .bind(org.uuid())
        .fetch_all(&mut world.admin().await)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_moves_what_was_recorded_and_what_comes_late() {
    let (world, org) = (World::new().await, new_org());
    let (visitor, person, company, decided) = (new_id(), new_id(), new_id(), new_id());
    deliver(&world, stale(org, visitor, None, None)).await;
    deliver(&world, stale(org, visitor, None, Some(decided))).await;
    deliver(&world, stale(new_org(), visitor, None, None)).await;
    deliver(&world, merged(org, visitor, person, Some(company))).await;
    deliver(&world, stale(org, visitor, None, None)).await;
    let rows = rows(&world, org).await;
    assert_eq!(rows.len(), 9);
    assert!(
        rows.iter()
            .all(|(actor, contact, _)| (*actor, *contact) == (Some(person), Some(person)))
    );
    assert_eq!(rows.iter().filter(|row| row.2 == Some(company)).count(), 6);
    assert_eq!(
        rows.iter().filter(|row| row.2 == Some(decided)).count(),
        3,
        "what was decided stays"
    );
    let untouched = world
        .number("SELECT count(*) FROM signals WHERE contact_id IS NULL AND account_id IS NULL")
        .await;
    assert_eq!(
        untouched, 3,
        "another organization's actor of the same id is another actor"
    );
    let how = "SELECT count(*) FROM signals WHERE actor_resolution->>'rule' = 'stitched'";
    assert_eq!(world.number(how).await, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_company_of_a_person_wins_for_signals_to_come() {
    let (world, org) = (World::new().await, new_org());
    let (person, first, second) = (new_id(), new_id(), new_id());
    let older = linked(org, person, first);
    let newer = linked(org, person, second);
    deliver(&world, newer).await;
    deliver(&world, older).await;
    deliver(&world, stale(org, person, Some(person), None)).await;
    assert!(rows(&world, org).await.iter().all(|row| row.2 == Some(second)));
}

#[tokio::test(flavor = "multi_thread")]
async fn merges_in_a_circle_end() {
    let (world, org) = (World::new().await, new_org());
    let (a, b) = (new_id(), new_id());
    deliver(&world, merged(org, a, b, None)).await;
    deliver(&world, merged(org, b, a, None)).await;
    deliver(&world, merged(org, a, a, None)).await;
    deliver(&world, stale(org, a, None, None)).await;
    assert!(rows(&world, org).await.iter().all(|row| row.0 == Some(b)));
}

/// One story: a visitor becomes a person, who turns out to be another person, who has a company. Some batches were
/// resolved before each step.
fn story(org: OrgId) -> (Vec<Envelope>, Row) {
    let (visitor, device, early, person, company) = (new_id(), new_id(), new_id(), new_id(), new_id());
    let envelopes = vec![
        stale(org, visitor, None, None),
        stale(org, visitor, None, None),
        stale(org, device, None, None),
        stale(org, early, Some(early), None),
        stale(org, early, Some(early), Some(company)),
        stale(org, person, Some(person), None),
        stale(org, person, Some(person), Some(company)),
        merged(org, visitor, early, None),
        merged(org, device, early, None),
        merged(org, early, person, None),
        linked(org, person, company),
    ];
    (envelopes, (Some(person), Some(person), Some(company)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn any_interleaving_ends_with_the_person_and_the_company() {
    let world = Arc::new(World::new().await);
    for seed in 0..30 {
        let org = new_org();
        let mut random = StdRng::seed_from_u64(seed);
        let mut stories: Vec<_> = (0..4).map(|_| story(org)).collect();
        let mut deliveries: Vec<Envelope> = Vec::new();
        for (envelopes, _) in &mut stories {
            // Everything twice: redelivery is part of any interleaving.
            deliveries.extend(envelopes.iter().cloned());
            deliveries.append(envelopes);
        }
        deliveries.shuffle(&mut random);
        let mut running = tokio::task::JoinSet::new();
        for envelope in deliveries {
            let world = Arc::clone(&world);
            running.spawn(async move { deliver(&world, envelope).await });
        }
        running.join_all().await;
        let found = rows(&world, org).await;
        assert_eq!(found.len(), 4 * 7 * 3, "seed {seed}");
        for (_, want) in stories {
            assert_eq!(
                found.iter().filter(|row| **row == want).count(),
                7 * 3,
                "seed {seed}"
            );
        }
    }
}
