//! Nobody reaches what is another organization's: every method × every id that it takes × two organizations × every role, by REST, gRPC
//! and GraphQL, on a running system with records of every kind in both. Made from the descriptors: a new method is walked by
//! itself, and one that the walk cannot fill is an error that says what to add, here or in `records.rs`.

mod contract;
mod graphql;
mod records;

use std::collections::BTreeSet;

use contract::{Case, Contract};
use records::{Caller, Organization, UNKNOWN};
use serde_json::Value;

/// Why a method that takes an id answers with success whatever the id, and shows nothing.
const EMPTY_FOR_ALL: &[(&str, &str, &str)] = &[(
    "ListAccountSignals",
    "account_id",
    "whose account it is, only crm knows: the signals of any account that one does not have are none",
)];

/// Ids that services do not look up, so that any is taken: they lead nowhere.
const NOT_LOOKED_UP: &[(&str, &str)] = &[
    (
        "owner_id",
        "an owner is a name on a record; whether it is a member, nobody is asked",
    ),
    ("assignee_id", "as an owner"),
];

/// By-hand routes, and the test that walks them.
const BY_HAND: &[(&str, &str)] = &[
    ("/api/v1/signals", "sourceId: tenancy"),
    ("/api/v1/signals/batch", "sourceId: tenancy"),
    ("/api/v1/events", "cursors: tenancy, events"),
    ("/api/v1/audit/export", "takes no id; people and audit tests"),
    ("/api/v1/openapi.json", "public"),
    ("/graphql", "walked below"),
    ("/health", "public"),
    ("/health/signals", "public"),
    (
        "/hooks/github/{sourceId}",
        "proven by the source's secret: github",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn s_01_no_id_of_another_organization_opens_anything() {
    let contract = Contract::load();
    let (cluster, _) = crate::support::cluster().await;
    let (first, second) = tokio::join!(
        Organization::fill(&cluster, &contract, "canary-first"),
        Organization::fill(&cluster, &contract, "canary-second"),
    );
    let before = (first.seen(&contract).await, second.seen(&contract).await);
    let mut walked = BTreeSet::new();
    let mut tries = 0;
    for (own, foreign) in [(&first, &second), (&second, &first)] {
        for case in contract.cases() {
            walked.insert(case.method.full_name().to_owned());
            for caller in own.callers() {
                rest(own, foreign, &case, caller).await;
                grpc(own, foreign, &case, caller).await;
                tries += 2;
            }
        }
    }
    let fields = graphql::walk(&first, &second).await;
    everything_was_walked(&contract, &walked, &first).await;
    let after = (first.seen(&contract).await, second.seen(&contract).await);
    assert_eq!(before, after, "what is there is as it was");
    println!(
        "{} methods, {tries} tries, {fields} fields of GraphQL",
        walked.len()
    );
    assert!(tries > 1_000 && fields > 40, "{tries} {fields}");
}

/// Every method of the contract was walked, or takes no id; every other route is known.
async fn everything_was_walked(contract: &Contract, walked: &BTreeSet<String>, api: &Organization) {
    for method in contract.methods() {
        let takes = !contract.ids_of(&method).is_empty();
        assert_eq!(
            takes,
            walked.contains(method.full_name()),
            "{}",
            method.full_name()
        );
    }
    let document = api.owner().api.read("/api/v1/openapi.json").await.unwrap();
    let templates = contract.templates();
    for path in document["paths"].as_object().unwrap().keys() {
        let by_hand = BY_HAND.iter().any(|(known, _)| known == path);
        let batch = path
            .strip_suffix("/batch")
            .is_some_and(|of| templates.contains(of));
        assert!(
            by_hand || batch || templates.contains(path.as_str()),
            "{path} is neither of the contract nor known: say in BY_HAND of bola/mod.rs which test proves it"
        );
    }
}

/// The answer to a foreign id is the answer to one that nobody has.
async fn rest(own: &Organization, foreign: &Organization, case: &Case, caller: &Caller) {
    let mut answers = Vec::new();
    for id in [foreign.id(&case.id), UNKNOWN.to_owned()] {
        let (status, text) = case.by_rest(own, caller, &id).await;
        let what = format!(
            "{} {} as {}: {status} {text}",
            case.method.full_name(),
            case.id,
            caller.role
        );
        assert!(status < 500, "{what}");
        assert!(!text.contains(&foreign.word), "{what}");
        assert!(!text.contains(&foreign.org), "{what}");
        refused(case, (200..300).contains(&status), &text, &what);
        answers.push((status, told(&text, &id)));
    }
    assert_eq!(
        answers[0],
        answers[1],
        "{} {} as {}",
        case.method.full_name(),
        case.id,
        caller.role
    );
}

async fn grpc(own: &Organization, foreign: &Organization, case: &Case, caller: &Caller) {
    let mut answers = Vec::new();
    for id in [foreign.id(&case.id), UNKNOWN.to_owned()] {
        let (code, text) = case.by_grpc(own, caller, &id).await;
        let what = format!(
            "{} {} as {}: {code:?} {text}",
            case.method.full_name(),
            case.id,
            caller.role
        );
        let ours = matches!(
            code,
            tonic::Code::Internal | tonic::Code::Unknown | tonic::Code::Unavailable
        );
        assert!(!ours, "{what}");
        assert!(!text.contains(&foreign.word), "{what}");
        refused(case, code == tonic::Code::Ok, &text, &what);
        answers.push((code, told(&text, &id)));
    }
    assert_eq!(answers[0], answers[1], "{} {}", case.method.full_name(), case.id);
}

fn refused(case: &Case, done: bool, text: &str, what: &str) {
    let empty = EMPTY_FOR_ALL
        .iter()
        .any(|(method, id, _)| case.method.name() == *method && case.id == *id);
    let named = NOT_LOOKED_UP.iter().any(|(id, _)| case.id == *id);
    if !done || named {
        return;
    }
    assert!(
        empty,
        "{what}\nIt is done whatever the id. Refuse it, or say in EMPTY_FOR_ALL or NOT_LOOKED_UP of bola/mod.rs why not"
    );
    let page: Value = serde_json::from_str(text).unwrap_or_default();
    assert!(page["data"].as_array().is_none_or(Vec::is_empty), "{what}");
}

/// An answer without what differs by itself: the request's id, ids and times of what was made, and the id that was asked for.
fn told(text: &str, id: &str) -> String {
    let text = text.replace(id, "<id>");
    let Ok(mut value) = serde_json::from_str::<Value>(&text) else {
        return text;
    };
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| {
            !["requestId", "id", "createdAt", "updatedAt", "nextCursor"].contains(&name.as_str())
        });
        if fields.contains_key("data") || !fields.contains_key("code") {
            // What was made: only that it was.
            return String::new();
        }
    }
    value.to_string()
}
