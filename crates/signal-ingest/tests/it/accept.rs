//! Signals in: verdicts, duplicates, batches and what is stored of them.

use std::collections::HashSet;

use contracts::signals::v1::{
    IngestSignalsRequest, IngestSignalsResponse, SignalInput, SignalsAccepted, StreamSignalsRequest,
};
use errors::ErrorCode;
use futures::future::join_all;
use jiff::SignedDuration;
use rpc::Role;
use serde_json::{Value, json};

use crate::harness::{World, intake, new_org, now, refused};

fn statuses(answer: &IngestSignalsResponse) -> Vec<&str> {
    answer
        .results
        .iter()
        .map(|result| result.status.as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_item_of_a_batch_has_its_own_verdict() {
    let (world, org) = (World::new().await, new_org());
    let answer = world
        .send(
            org,
            json!([
                {"type": "a", "idempotencyKey": "k1"},
                {"type": "b", "idempotencyKey": "k1"},
                {"type": ""},
                {"type": "c", "actor": {"emial": "x"}},
                {"type": "d", "metadata": {"n": [1.5]}},
            ]),
        )
        .await;
    assert_eq!(
        statuses(&answer),
        ["accepted", "duplicate", "rejected", "rejected", "accepted"]
    );
    assert_eq!((answer.accepted, answer.duplicates, answer.rejected), (2, 1, 2));
    assert_eq!(answer.results[1].id, answer.results[0].id);
    let error = answer.results[3].error.clone().unwrap();
    assert_eq!(
        (error.code.as_str(), error.pointer.as_str()),
        ("unknown_field", "/actor/emial")
    );
    assert_eq!(
        answer.results.iter().map(|r| r.index).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4]
    );

    let stored = world.batches(org).await;
    assert_eq!(stored.len(), 1);
    assert_eq!(Some(&stored[0].batch_id), answer.batch_id.as_ref());
    let types: Vec<_> = stored[0].signals.iter().map(|s| s.r#type.as_str()).collect();
    assert_eq!(types, ["a", "d"]);
    assert_eq!(
        world.told::<SignalsAccepted>(org).await,
        stored,
        "the event is the stored batch"
    );
    assert_eq!(world.number("SELECT sum(signal_count) FROM batches").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicate_key_is_reported_and_not_stored_again() {
    let (world, org, other) = (World::new().await, new_org(), new_org());
    let body = json!({"type": "install", "idempotencyKey": "order-1"}).to_string();
    let first = world.send_one(org, &body).await.id();
    let again = world.send_one(org, &body).await.verdicts();
    assert_eq!((again.duplicates, again.batch_id), (1, None));
    assert_eq!(again.results[0].id.as_deref(), Some(first.as_str()));
    assert_ne!(
        world.send_one(other, &body).await.id(),
        first,
        "another organization's key is another key"
    );
    // Without a key, nothing is ever a duplicate.
    let plain = r#"{"type":"install"}"#;
    assert_ne!(
        world.send_one(org, plain).await.id(),
        world.send_one(org, plain).await.id()
    );
    assert_eq!(world.number("SELECT sum(signal_count) FROM batches").await, 4);
    assert_eq!(world.number("SELECT count(*) FROM idempotency_keys").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_with_a_key_finds_duplicates() {
    let (world, org) = (World::new().await, new_org());
    let body = json!({"signals": [{"type": "a"}, {"type": "b", "idempotencyKey": "own"}, {"type": "c"}]})
        .to_string();
    let with_key = |key: &str| contracts::signals::v1::JsonIntake {
        idempotency_key: Some(key.to_owned()),
        ..intake(org, &body, true)
    };
    let first = world.hand_over(vec![with_key("r1")]).await.remove(0).verdicts();
    let again = world.hand_over(vec![with_key("r1")]).await.remove(0).verdicts();
    assert_eq!(statuses(&first), ["accepted"; 3]);
    assert_eq!(statuses(&again), ["duplicate"; 3]);
    let ids =
        |answer: &IngestSignalsResponse| answer.results.iter().map(|r| r.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&first), ids(&again));
    let other = world.hand_over(vec![with_key("r2")]).await.remove(0).verdicts();
    assert_eq!(statuses(&other), ["accepted", "duplicate", "accepted"]);
    // The derived key is not the signal's, and no sender's key can be one.
    let keys: Vec<_> = world
        .batches(org)
        .await
        .into_iter()
        .flat_map(|b| b.signals)
        .collect();
    assert_eq!(keys.iter().filter(|s| s.idempotency_key.is_some()).count(), 1);
    let forged = json!({"type": "a", "idempotencyKey": "\u{1f}r1#0"}).to_string();
    assert_eq!(
        world.send_one(org, &forged).await.refusal().errors[0].code,
        "control_character"
    );
    let bad = world
        .hand_over(vec![with_key(&"x".repeat(256))])
        .await
        .remove(0)
        .refusal();
    assert_eq!(bad.errors[0].code, "too_long");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_single_signal_is_refused_with_every_place() {
    let (world, org) = (World::new().await, new_org());
    let late = now().checked_add(SignedDuration::from_mins(6)).unwrap();
    let body = json!({"type": "", "timestamp": late.to_string(), "actor": {"ip": "x"}}).to_string();
    let refusal = world.send_one(org, &body).await.refusal();
    assert_eq!(refusal.code, "validation_failed");
    let places: Vec<_> = refusal
        .errors
        .iter()
        .map(|e| (e.pointer.as_str(), e.code.as_str()))
        .collect();
    assert_eq!(
        places,
        [
            ("/type", "required"),
            ("/timestamp", "in_future"),
            ("/actor/ip", "invalid_ip")
        ]
    );
    let large = json!({"type": "t", "metadata": {"x": "y".repeat(70_000)}}).to_string();
    assert_eq!(world.send_one(org, &large).await.refusal().code, "too_large");
    assert_eq!(world.send_one(org, "{").await.refusal().code, "malformed_json");
    assert_eq!(world.number("SELECT count(*) FROM batches").await, 0);
    assert_eq!(world.number("SELECT count(*) FROM outbox").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_many_organizations_share_a_call_and_nothing_else() {
    let world = World::new().await;
    let orgs: Vec<_> = (0..5).map(|_| new_org()).collect();
    let body = json!({"type": "t", "idempotencyKey": "same"}).to_string();
    let mut items: Vec<_> = orgs.iter().map(|org| intake(*org, &body, false)).collect();
    items.insert(2, intake(orgs[0], "not json", false));
    items.push(intake(orgs[1], r#"{"signals":[{"type":"x"},{"type":5}]}"#, true));
    let answers = world.hand_over(items).await;
    assert_eq!(answers.len(), 7);
    for (index, answer) in answers.into_iter().enumerate() {
        match index {
            2 => assert_eq!(answer.refusal().code, "malformed_json"),
            6 => assert_eq!(statuses(&answer.verdicts()), ["accepted", "rejected"]),
            _ => assert_eq!(statuses(&answer.verdicts()), ["accepted"]),
        }
    }
    for org in orgs {
        for batch in world.batches(org).await {
            assert!(
                batch
                    .signals
                    .iter()
                    .all(|s| s.organization_id == org.to_string() && s.batch_id == batch.batch_id)
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_request_is_split_into_batches_of_the_contract() {
    let (world, org) = (World::new().await, new_org());
    let signals: Vec<Value> = (0..1_000).map(|n| json!({"type": format!("t{n}")})).collect();
    let answer = world.send(org, Value::Array(signals.clone())).await;
    assert_eq!(answer.accepted, 1_000);
    let sizes: Vec<_> = world.batches(org).await.iter().map(|b| b.signals.len()).collect();
    assert_eq!(sizes, [512, 488]);
    assert_eq!(
        answer.batch_id,
        Some(world.batches(org).await[0].batch_id.clone())
    );
    let mut too_many = signals;
    too_many.push(json!({"type": "t"}));
    let too_many = json!({"signals": too_many}).to_string();
    assert_eq!(
        world
            .hand_over(vec![intake(org, &too_many, true)])
            .await
            .remove(0)
            .refusal()
            .code,
        "too_large"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_repeats_of_a_key_are_accepted_once() {
    let (world, org) = (World::new().await, new_org());
    // 40 calls at once, each with the same 25 keys in another order.
    let calls = (0..40_usize).map(|call| {
        let signals: Vec<_> = (0..25_usize)
            .map(|n| json!({"type": "t", "idempotencyKey": format!("k{}", (n * 7 + call * 3) % 25)}))
            .collect();
        world.send(org, Value::Array(signals))
    });
    let answers = join_all(calls).await;
    assert_eq!(answers.iter().map(|answer| answer.accepted).sum::<i32>(), 25);
    let ids: HashSet<_> = answers
        .iter()
        .flat_map(|a| a.results.iter().map(|r| r.id.clone().unwrap()))
        .collect();
    assert_eq!(ids.len(), 25, "every repeat names the one that was accepted");
    assert_eq!(world.number("SELECT sum(signal_count) FROM batches").await, 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_among_new_signals_are_found_whether_they_are_expected_or_not() {
    let (world, org) = (World::new().await, new_org());
    let send = async |keys: std::ops::Range<usize>| {
        let signals = keys.map(|n| json!({"type": "t", "idempotencyKey": format!("k{n}")}));
        let answer = world.send(org, signals.collect()).await;
        (answer.accepted, answer.duplicates)
    };
    assert_eq!(send(0..10).await, (10, 0));
    assert_eq!(send(5..15).await, (5, 5), "repeats were not expected");
    assert_eq!(send(10..20).await, (5, 5), "repeats were expected");
    // After some time without any, keys are entered without a look again.
    for n in 1_000..1_070 {
        assert_eq!(send(n..n + 1).await, (1, 0));
    }
    assert_eq!(send(15..25).await, (5, 5));
    assert_eq!(send(0..25).await, (0, 25));
    let stored = 25 + 70;
    assert_eq!(
        world.number("SELECT sum(signal_count) FROM batches").await,
        stored
    );
    assert_eq!(
        world.number("SELECT count(*) FROM idempotency_keys").await,
        stored
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_obeys_the_same_rules() {
    let (world, org) = (World::new().await, new_org());
    let input = |kind: &str| SignalInput {
        r#type: kind.to_owned(),
        ..SignalInput::default()
    };
    let call = async |signals: Vec<SignalInput>| {
        let request = world.member(org, Role::Member, IngestSignalsRequest { signals });
        world.signals.clone().ingest_signals(request).await
    };
    let keyed = SignalInput {
        idempotency_key: Some("k".into()),
        ..input("a")
    };
    let nan = prost_types::Value {
        kind: Some(prost_types::value::Kind::NumberValue(f64::NAN)),
    };
    let bad = SignalInput {
        metadata: Some(prost_types::Struct {
            fields: [("x/y".to_owned(), nan)].into(),
        }),
        ..input("c")
    };
    let huge = SignalInput {
        anonymous_id: Some("x".repeat(70_000)),
        ..input("d")
    };
    let answer = call(vec![keyed.clone(), keyed, bad, huge, input("no spaces")])
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        statuses(&answer),
        ["accepted", "duplicate", "rejected", "rejected", "rejected"]
    );
    let codes: Vec<_> = answer.results[2..]
        .iter()
        .map(|r| r.error.clone().unwrap().code)
        .collect();
    assert_eq!(codes, ["number_out_of_range", "too_large", "invalid_format"]);
    assert_eq!(answer.results[2].error.clone().unwrap().pointer, "/metadata/x~1y");

    assert_eq!(refused(call(Vec::new()).await).fields[0].code, "required");
    assert_eq!(
        refused(call(vec![input("t"); 1_001]).await).code,
        ErrorCode::TooLarge
    );
    let request = world.member(
        org,
        Role::Viewer,
        IngestSignalsRequest {
            signals: vec![input("t")],
        },
    );
    assert_eq!(
        refused(world.signals.clone().ingest_signals(request).await).code,
        ErrorCode::PermissionDenied
    );
    let intake = contracts::signals::v1::AcceptJsonRequest::default();
    let request = world.member(org, Role::Owner, intake);
    assert_eq!(
        refused(world.intake.clone().accept_json(request).await).code,
        ErrorCode::PermissionDenied
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_summed_up_with_places_over_all_of_it() {
    let (world, org) = (World::new().await, new_org());
    let input = |kind: &str, key: &str| SignalInput {
        r#type: kind.to_owned(),
        idempotency_key: Some(key.to_owned()),
        ..SignalInput::default()
    };
    let parts = vec![
        StreamSignalsRequest {
            signals: vec![input("a", "1"), input("", "2")],
        },
        StreamSignalsRequest {
            signals: vec![input("b", "3"), input("c", "1")],
        },
    ];
    let request = world.member(org, Role::Member, tokio_stream::iter(parts));
    let sums = world
        .signals
        .clone()
        .stream_signals(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!((sums.accepted, sums.duplicates, sums.rejected), (2, 1, 1));
    let told: Vec<_> = sums
        .results
        .iter()
        .map(|r| (r.index, r.status.as_str()))
        .collect();
    assert_eq!(told, [(1, "rejected"), (3, "duplicate")]);
}
