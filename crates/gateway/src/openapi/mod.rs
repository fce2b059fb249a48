//! The OpenAPI 3.1 document, made from the descriptors and the routes at start.
//!
//! Owns: the document. It is served as it was made, committed as `docs/openapi.json`, and compared by a test. Must not: know a
//! message or a route by name; what has a handler of its own is described beside it ([`crate::http::ByHand`]).

mod comments;
mod common;
mod operations;
mod schema;

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};

pub use self::schema::{ID, Schemas, Way, example};
use crate::contract::Contract;
use crate::http::HandRoutes;
use crate::transcode::Routes;

pub use self::comments::Comments;
pub use self::common::problems_of;
pub use self::operations::judged_alone;

/// The document.
#[must_use]
pub fn document(contract: &Contract, routes: &Routes, by_hand: &HandRoutes) -> Value {
    let comments = Comments::of(contract.pool());
    let mut schemas = Schemas::new(&comments);
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in by_hand.all() {
        if let Some(operation) = &route.operation {
            let operation = resolved(operation.clone(), route.public, contract, &mut schemas);
            let of_path = paths.entry(route.path.to_owned()).or_default();
            of_path.insert(route.method.to_ascii_lowercase(), operation);
        }
    }
    let mut ids = HashSet::new();
    let mut sorted: Vec<_> = routes.all().collect();
    sorted.sort_by(|a, b| {
        let key = |r: &crate::transcode::Route| (r.batch.is_some(), r.template.len(), r.template.clone());
        key(a).cmp(&key(b))
    });
    for route in sorted {
        let of_path = paths.entry(operations::path_of(route)).or_default();
        let method = route.http_method.to_ascii_lowercase();
        if of_path.contains_key(&method) {
            continue;
        }
        let id = operations::operation_id(route, &|id| ids.contains(id));
        ids.insert(id.clone());
        let operation = operations::operation(route, &id, &mut schemas);
        of_path.insert(method, operation);
    }
    let paths: Map<String, Value> = paths
        .into_iter()
        .map(|(path, item)| (path, item.into()))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "DevSignal",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "The headless, event-driven CRM for companies whose users are developers.",
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "This installation."}],
        "security": [{"apiKey": []}],
        "tags": tags(contract, &comments),
        "paths": paths,
        "components": common::components(schemas.into_components()),
    })
}

const ABOUT: &str = "Errors are problem documents with a stable `code`. Lists are paged by `cursor`. Writes take an \
                     `Idempotency-Key`. A parameter or field that is not known is refused. See `docs/API.md`.";

/// Fills in what a hand-written operation refers to: `{"$message": "package.Name"}` becomes the message's schema.
fn resolved(mut operation: Value, public: bool, contract: &Contract, schemas: &mut Schemas<'_>) -> Value {
    fill(&mut operation, contract, schemas);
    if public {
        operation["security"] = json!([]);
    }
    operation
}

fn fill(value: &mut Value, contract: &Contract, schemas: &mut Schemas<'_>) {
    match value {
        Value::Object(object) => {
            let name = object.get("$message").and_then(Value::as_str).map(str::to_owned);
            let way = if object.get("way").and_then(Value::as_str) == Some("in") {
                Way::In
            } else {
                Way::Out
            };
            match name.and_then(|name| contract.pool().get_message_by_name(&name)) {
                Some(message) => *value = schemas.message(&message, way),
                None => object
                    .values_mut()
                    .for_each(|below| fill(below, contract, schemas)),
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|below| fill(below, contract, schemas)),
        _ => {}
    }
}

fn tags(contract: &Contract, comments: &Comments) -> Value {
    let mut tags: Vec<Value> = contract
        .services()
        .map(|service| {
            let name = service
                .name()
                .strip_suffix("Service")
                .unwrap_or(service.name())
                .to_owned();
            json!({"name": name, "description": comments.service(&service).text})
        })
        .collect();
    tags.push(json!({"name": "Events", "description": "What happens, as it happens."}));
    tags.push(json!({"name": "GraphQL", "description": "The same records with their relations."}));
    tags.push(json!({"name": "Health", "description": "Whether it works."}));
    tags.push(json!({"name": "Webhooks", "description": "Receivers of deliveries from outside."}));
    tags.sort_by_key(|tag| tag["name"].as_str().unwrap_or_default().to_owned());
    tags.dedup_by_key(|tag| tag["name"].clone());
    Value::Array(tags)
}
