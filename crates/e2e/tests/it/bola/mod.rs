//! Nobody reaches what is another organization's: every method × every id that it takes × two organizations × every role, by REST, gRPC
//! and GraphQL, on a running system with records of every kind in both. Made from the descriptors: a new method is walked by
//! itself, and one that the walk cannot fill is an error that says what to add, here or in `records.rs`.

mod contract;
mod graphql;
mod records;

use std::collections::BTreeSet;

use contract::{Case, Contract};
use records::{Caller, Organization, unknown};
use serde_json::Value;

/// By-hand routes, and the test that walks them.
const BY_HAND: &[(&str, &str)] = &[
    ("/api/v1/signals", "sourceId: tenancy"),
    ("/api/v1/signals/batch", "sourceId: tenancy"),
    ("/api/v1/events", "cursors: tenancy, events"),
    ("/api/v1/imports", "an upload takes no id; transfer tests"),
    ("/api/v1/imports/{importId}/report", "as its rows; transfer tests"),
    ("/api/v1/accounts/export", "takes no id; transfer tests"),
    ("/api/v1/contacts/export", "takes no id; transfer tests"),
    ("/api/v1/deals/export", "takes no id; transfer tests"),
    ("/api/v1/audit/export", "takes no id; people and audit tests"),
    ("/api/v1/events/ws", "cursors: as events"),
    ("/api/v1/openapi.json", "public"),
    ("/api/v1/asyncapi.json", "public"),
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
        Organization::fill(&cluster, &contract, "canaryone"),
        Organization::fill(&cluster, &contract, "canarytwo"),
    );
    let before = (first.seen(&contract).await, second.seen(&contract).await);
    let mut walked = BTreeSet::new();
    let (mut tries, mut problems) = (0, Vec::new());
    for (own, foreign) in [(&first, &second), (&second, &first)] {
        for case in contract.cases() {
            walked.insert(case.method.full_name().to_owned());
            for caller in own.callers() {
                for grpc in [false, true] {
                    problems.extend(one(own, foreign, (&case, caller), grpc).await);
                    tries += 1;
                }
            }
        }
    }
    let fields = graphql::walk(&first, &second, &mut problems).await;
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        problems.join("\n\n")
    );
    everything_was_walked(&contract, &walked, &first).await;
    let after = (first.seen(&contract).await, second.seen(&contract).await);
    assert_eq!(before, after, "what is there is as it was");
    println!(
        "{} methods, {tries} tries, {fields} fields of GraphQL",
        walked.len()
    );
    assert!(tries > 1_000 && fields > 40, "{tries} {fields}");
}

/// Nobody sets what the server owns: every field of a record that its request does not have is refused, and stays as it was.
#[tokio::test(flavor = "multi_thread")]
async fn s_03_no_field_that_the_server_owns_is_set_from_outside() {
    let contract = Contract::load();
    let (cluster, _) = crate::support::cluster().await;
    let own = Organization::fill(&cluster, &contract, "canaryowned").await;
    let before = own.seen(&contract).await;
    let (mut tried, mut problems) = (0, Vec::new());
    for method in contract.methods() {
        let writes = ["Create", "Update", "Upsert"]
            .iter()
            .any(|verb| method.name().starts_with(verb));
        let Some(record) = contract::record_of(&method).filter(|_| writes) else {
            continue;
        };
        for (verb, template) in contract.routes(&method) {
            for field in record.fields() {
                let known = method.input().fields().any(|f| f.name() == field.name());
                let id_of_path = field.name() == "id" && verb != reqwest::Method::POST;
                if known && !id_of_path {
                    continue;
                }
                let name = contract::camel(field.name());
                let (status, text) = contract::with_name(&method, &own, (&verb, &template), &name).await;
                if !(400..500).contains(&status) || !text.contains(&name) {
                    problems.push(format!("{} with {name}: {status} {text}", method.full_name()));
                }
                tried += 1;
            }
            for name in ["orgId", "isAdmin", "plan", "__proto__"] {
                let (status, text) = contract::with_name(&method, &own, (&verb, &template), name).await;
                if !(400..500).contains(&status) {
                    problems.push(format!("{} with {name}: {status} {text}", method.full_name()));
                }
                tried += 1;
            }
        }
    }
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        problems.join("\n\n")
    );
    assert_eq!(own.seen(&contract).await, before, "what is there is as it was");
    println!("{tried} fields");
    assert!(tried > 100, "{tried}");
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

/// One answer: whether it was done, its status and its text.
struct Told {
    done: bool,
    failed: bool,
    status: String,
    text: String,
}

/// The answer to a foreign id is the answer to one that nobody has; what is wrong is a problem.
async fn one(
    own: &Organization,
    foreign: &Organization,
    (case, caller): (&Case, &Caller),
    grpc: bool,
) -> Option<String> {
    let mut answers = Vec::new();
    for id in [foreign.id(&case.id), unknown(&case.id).to_owned()] {
        let told = if grpc {
            by_grpc(own, (case, caller), &id).await
        } else {
            by_rest(own, (case, caller), &id).await
        };
        let (name, as_whom) = (case.method.full_name(), caller.role);
        let what = format!(
            "{name} {} as {as_whom}, gRPC {grpc}: {} {}",
            case.id, told.status, told.text
        );
        if told.failed || told.text.contains(&foreign.word) || told.text.contains(&foreign.org) {
            return Some(what);
        }
        if told.done && !is_empty_list(case, &told.text) {
            return Some(format!("{what}\nIt is done whatever the id."));
        }
        answers.push((told.status.clone(), same(&told.text, &id), what));
    }
    let differ = answers[0].0 != answers[1].0 || answers[0].1 != answers[1].1;
    differ.then(|| format!("{}\nis not as\n{}", answers[0].2, answers[1].2))
}

async fn by_rest(own: &Organization, (case, caller): (&Case, &Caller), id: &str) -> Told {
    let (status, text) = case.by_rest(own, caller, id).await;
    Told {
        done: status != 207 && (200..300).contains(&status) || any_done(&text),
        failed: status >= 500,
        status: status.to_string(),
        text,
    }
}

async fn by_grpc(own: &Organization, (case, caller): (&Case, &Caller), id: &str) -> Told {
    use tonic::Code::{Internal, Ok, Unavailable, Unknown};
    let (code, text) = case.by_grpc(own, caller, id).await;
    let verdicts = text.contains("\"results\"");
    Told {
        done: code == Ok && (!verdicts || any_done(&text)),
        failed: matches!(code, Internal | Unknown | Unavailable),
        status: format!("{code:?}"),
        text,
    }
}

/// A list of what belongs to something that one does not have is empty.
fn is_empty_list(case: &Case, text: &str) -> bool {
    let page: Value = serde_json::from_str(text).unwrap_or_default();
    case.method.name().starts_with("List") && page["data"].as_array().is_none_or(Vec::is_empty)
}

/// Whether anything of a batch was done.
fn any_done(text: &str) -> bool {
    let answer: Value = serde_json::from_str(text).unwrap_or_default();
    let done = |r: &Value| r["status"].as_i64().is_some_and(|s| s < 300);
    answer["results"]
        .as_array()
        .is_some_and(|all| all.iter().any(done))
}

/// An answer without what differs by itself: the request's id, ids and times of what was made, and the id that was asked for.
fn same(text: &str, id: &str) -> String {
    let text = text.replace(id, "<id>");
    let Ok(mut value) = serde_json::from_str::<Value>(&text) else {
        return text;
    };
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| {
            !["requestId", "id", "createdAt", "updatedAt", "nextCursor"].contains(&name.as_str())
        });
        if !fields.contains_key("code") && !fields.contains_key("results") {
            // What was made: only that it was.
            return String::new();
        }
    }
    value.to_string()
}
