//! Resolved batches become rows, once, as they came.

use std::sync::Arc;

use contracts::events::v1::SignalsRecorded;
use contracts::signals::v1::{AccountHint, Actor, GetSignalRequest, Resolution, Signal, SignalsResolved};
use contracts::{Envelope, convert};
use eventbus::{Handler as _, HandlerError};
use futures::future::join_all;
use ids::{OrgId, SystemClock, SystemIds};
use rpc::Role;
use serde_json::json;
use signal_ingest::config::RecordSettings;
use signal_ingest::events::{RecordHandler, Recorder};
use signal_ingest::metrics::IngestMetrics;
use telemetry::Metrics;

use crate::harness::{World, new_id, new_org, resolved, wrap};

/// The handler as a replica has it.
pub fn handler(world: &World) -> RecordHandler {
    let recorder = Recorder {
        db: world.stores.pipeline.clone(),
        clock: SystemClock::shared(),
        ids: SystemIds::shared(),
        metrics: IngestMetrics::new(&Metrics::new("signal-ingest")).unwrap(),
    };
    let settings = RecordSettings {
        concurrency: 16,
        timeout_ms: 10_000,
        lanes: 2,
        group_batches: 16,
        group_signals: 4_096,
        breath_ms: 10,
    };
    RecordHandler::start(&recorder, &settings, &world.life)
}

/// A resolved batch in its envelope.
pub fn batch(org: OrgId, signals: Vec<Signal>) -> Envelope {
    let batch_id = new_id().to_string();
    let signals = signals
        .into_iter()
        .map(|s| Signal {
            batch_id: batch_id.clone(),
            ..s
        })
        .collect();
    wrap(
        org,
        &SignalsResolved {
            batch_id,
            organization_id: org.to_string(),
            signals,
        },
    )
}

/// A signal with every field.
fn full(org: OrgId) -> Signal {
    let how = |rule: &str| {
        Some(Resolution {
            rule: rule.into(),
            evidence: "e\"\\é".into(),
            confidence: 0.75,
        })
    };
    let metadata = json!({"a": [1, 2.5, -0.1, true, null, "\u{1}\u{7f}é😀\\\"", {"b": {}}], "big": 1e300, "": "",
        "precise": 9_007_199_254_740_991_i64, "tiny": 5e-324});
    let contact = Some(new_id().to_string());
    Signal {
        source_id: Some(new_id().to_string()),
        idempotency_key: Some("k".into()),
        anonymous_id: Some("visitor".into()),
        actor: Some(Actor {
            email: Some("a@b.example".into()),
            github: Some("g".into()),
            npm: Some("n".into()),
            pypi: Some("p".into()),
            twitter: Some("t".into()),
            linkedin: Some("l".into()),
            user_id: Some("u".into()),
            name: Some("N".into()),
            title: Some("T".into()),
            company: Some("C".into()),
            ip: Some("10.0.0.1".into()),
            phone: Some("1".into()),
            avatar_url: Some("https://x.example".into()),
        }),
        account: Some(AccountHint {
            domain: Some("b.example".into()),
            name: Some("B".into()),
            github_org: Some("b".into()),
            employees: Some(7),
            industry: Some("i".into()),
            country: Some("DE".into()),
            funding_stage: Some("seed".into()),
        }),
        metadata: Some(convert::to_struct(metadata.as_object().unwrap().clone())),
        actor_id: contact.clone(),
        contact_id: contact,
        account_id: Some(new_id().to_string()),
        actor_resolution: how("email"),
        account_resolution: how("email_domain"),
        ..resolved(org, "package_install")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_signal_reads_as_it_was_resolved() {
    let (world, org) = (World::new().await, new_org());
    let employees_only = AccountHint {
        employees: Some(1),
        ..AccountHint::default()
    };
    let sent = batch(
        org,
        vec![
            full(org),
            resolved(org, "bare"),
            Signal {
                account: Some(employees_only),
                actor: Some(Actor::default()),
                ..resolved(org, "odd")
            },
        ],
    );
    handler(&world).handle(sent.clone()).await.unwrap();
    let want = sent.open::<SignalsResolved>().unwrap();
    for signal in &want.signals {
        let request = world.member(
            org,
            Role::Viewer,
            GetSignalRequest {
                signal_id: signal.id.clone(),
            },
        );
        let read = world
            .signals
            .clone()
            .get_signal(request)
            .await
            .unwrap()
            .into_inner()
            .signal
            .unwrap();
        // The database keeps microseconds.
        let micros = |signal: &Signal| Signal {
            timestamp: None,
            received_at: None,
            ..signal.clone()
        };
        assert_eq!(micros(&read), micros(signal));
        let nanos = |signal: &Signal| signal.timestamp.unwrap().nanos / 1000;
        assert_eq!(nanos(&read), nanos(signal));
    }
    let told = world.told::<SignalsRecorded>(org).await;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0].batch_id, &told[0].signals),
        (&want.batch_id, &want.signals)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn redelivered_batches_are_recorded_and_told_once() {
    let (world, org) = (World::new().await, new_org());
    let handler = Arc::new(handler(&world));
    let batches: Vec<_> = (0..5)
        .map(|_| batch(org, (0..20).map(|_| resolved(org, "t")).collect()))
        .collect();
    // Each batch eight times at once, under envelopes of different ids too: the batch id counts.
    let deliveries = (0..40).map(|n: usize| {
        let mut envelope = batches[n % 5].clone();
        if n.is_multiple_of(2) {
            envelope.id = ids::EventId(new_id());
        }
        let handler = Arc::clone(&handler);
        async move { handler.handle(envelope).await.is_ok() }
    });
    assert!(join_all(deliveries).await.into_iter().all(|done| done));
    assert_eq!(world.number("SELECT count(*) FROM signals").await, 100);
    assert_eq!(world.told::<SignalsRecorded>(org).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_contract_is_poison_and_changes_nothing() {
    let (world, org) = (World::new().await, new_org());
    let handler = handler(&world);
    let foreign = batch(org, vec![resolved(new_org(), "t")]);
    let no_time = batch(
        org,
        vec![
            resolved(org, "t"),
            Signal {
                timestamp: None,
                ..resolved(org, "t")
            },
        ],
    );
    let no_id = batch(
        org,
        vec![Signal {
            actor_id: Some("x".into()),
            ..resolved(org, "t")
        }],
    );
    let event = |org: OrgId, id: &str| SignalsResolved {
        batch_id: id.to_owned(),
        organization_id: org.to_string(),
        signals: Vec::new(),
    };
    let no_batch = wrap(org, &event(org, "x"));
    let other_subject = wrap(org, &event(new_org(), &new_id().to_string()));
    for envelope in [foreign, no_time, no_id, no_batch, other_subject] {
        assert!(matches!(
            handler.handle(envelope).await,
            Err(HandlerError::Poison(_))
        ));
    }
    assert_eq!(world.number("SELECT count(*) FROM signals").await, 0);
    assert_eq!(world.number("SELECT count(*) FROM outbox").await, 0);
    assert_eq!(world.number("SELECT count(*) FROM inbox").await, 0);
}
