//! The same by GraphQL, from its introspection: every field that takes an id is asked with every id of the other organization.

use serde_json::{Map, Value, json};

use super::records::{Caller, Organization, UNKNOWN, overrides};

const INTROSPECT: &str = "{ __schema { queryType { fields { ...f } } mutationType { fields { ...f } }
    types { name inputFields { name type { ...t } } enumValues { name } } } }
  fragment f on __Field { name type { ...t } args { name type { ...t } } }
  fragment t on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

/// Returns how many fields were asked.
pub async fn walk(own: &Organization, foreign: &Organization, problems: &mut Vec<String>) -> usize {
    let schema = ask(own.owner(), INTROSPECT).await["data"]["__schema"].take();
    let mut walked = 0;
    for (kind, fields) in [
        ("query", &schema["queryType"]["fields"]),
        ("mutation", &schema["mutationType"]["fields"]),
    ] {
        for field in fields.as_array().unwrap() {
            for id in ids(&schema, field) {
                walked += 1;
                problems.extend(one((own, foreign), &schema, (kind, field), &id).await);
            }
        }
    }
    walked
}

/// The places of ids: an argument, or a field of the input.
fn ids(schema: &Value, field: &Value) -> Vec<String> {
    let mut places = Vec::new();
    for argument in field["args"].as_array().unwrap() {
        let name = argument["name"].as_str().unwrap();
        if is_id(name) {
            places.push(name.to_owned());
        }
        for inner in inputs(schema, &argument["type"]) {
            let inner = inner["name"].as_str().unwrap();
            if is_id(inner) {
                places.push(format!("{name}.{inner}"));
            }
        }
    }
    // Whoever logs in says where to.
    places.retain(|_| field["name"] != "login");
    places
}

fn is_id(name: &str) -> bool {
    name == "id" || name.ends_with("Id")
}

fn inputs(schema: &Value, of: &Value) -> Vec<Value> {
    let name = named(of);
    let found = schema["types"]
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["name"] == name);
    found
        .and_then(|t| t["inputFields"].as_array().cloned())
        .unwrap_or_default()
}

fn named(of: &Value) -> String {
    let mut at = of;
    while at["ofType"].is_object() {
        at = &at["ofType"];
    }
    at["name"].as_str().unwrap().to_owned()
}

async fn one(
    (own, foreign): (&Organization, &Organization),
    schema: &Value,
    (kind, field): (&str, &Value),
    place: &str,
) -> Option<String> {
    let unknown = document(schema, (kind, field), place, UNKNOWN, own);
    for caller in own.callers() {
        let expected = told(&ask(caller, &unknown).await, UNKNOWN);
        let what = format!("{} {place} as {}", field["name"], caller.role);
        for (_, id) in foreign.ids() {
            let answer = ask(caller, &document(schema, (kind, field), place, id, own)).await;
            let text = answer.to_string();
            if text.contains(&foreign.word) || text.contains("\"internal\"") || told(&answer, id) != expected
            {
                return Some(format!("{what}: {text}\nis not as\n{expected}"));
            }
        }
        let empty = expected.contains("\"data\":[]");
        let refused = [
            "not_found",
            "permission_denied",
            "unauthenticated",
            "invalid_id",
            "invalid_cursor",
            "not_a_member",
        ];
        if empty || refused.iter().any(|code| expected.contains(code)) {
            continue;
        }
        return Some(format!("{what}: {unknown}\nis answered {expected}"));
    }
    None
}

/// What an answer says, without the ids of requests and what was asked.
fn told(answer: &Value, id: &str) -> String {
    let errors = answer["errors"].as_array().cloned().unwrap_or_default();
    let errors: Vec<Value> = errors
        .iter()
        .map(|e| json!([e["message"], e["extensions"]["code"], e["extensions"]["errors"]]))
        .collect();
    if errors.is_empty() {
        return answer["data"].to_string();
    }
    Value::from(errors).to_string().replace(id, "<id>")
}

fn document(
    schema: &Value,
    (kind, field): (&str, &Value),
    place: &str,
    id: &str,
    own: &Organization,
) -> String {
    let name = field["name"].as_str().unwrap();
    let given = overrides(&format!("{}{}", name[..1].to_uppercase(), &name[1..]), own);
    let (outer, inner) = place.split_once('.').unwrap_or((place, ""));
    let mut arguments = Vec::new();
    for argument in field["args"].as_array().unwrap() {
        let name = argument["name"].as_str().unwrap();
        let required = argument["type"]["kind"] == "NON_NULL";
        if name == outer && inner.is_empty() {
            arguments.push(format!("{name}: {id:?}"));
        } else if let Some(known) = given.get(name) {
            arguments.push(format!("{name}: {}", literal(schema, &argument["type"], known)));
        } else if name == outer || required {
            let set = if name == outer { inner } else { "" };
            arguments.push(format!(
                "{name}: {}",
                value(schema, &argument["type"], (set, id), &given)
            ));
        }
    }
    let arguments = if arguments.is_empty() {
        String::new()
    } else {
        format!("({})", arguments.join(", "))
    };
    let of = named(&field["type"]);
    let selection = match of.as_str() {
        "Boolean" | "String" | "Int" | "ID" | "JSON" => "",
        _ if ["Page", "List", "Response"].iter().any(|word| of.ends_with(word)) => " { data { __typename } }",
        _ => " { __typename }",
    };
    format!("{kind} {{ {name}{arguments}{selection} }}")
}

/// JSON as a value of an input type.
fn literal(schema: &Value, of: &Value, value: &Value) -> String {
    let name = named(of);
    let found = schema["types"]
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["name"] == name);
    match value {
        Value::String(text) if found.is_some_and(|t| t["enumValues"].is_array()) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|i| literal(schema, of, i)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let inputs = inputs(schema, of);
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| {
                    let of = inputs
                        .iter()
                        .find(|f| f["name"] == *name)
                        .map_or(&Value::Null, |f| &f["type"]);
                    let text = if of.is_null() {
                        value.to_string()
                    } else {
                        literal(schema, of, value)
                    };
                    format!("{name}: {text}")
                })
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// A value of an input type: what is given or required, and `set` to the id.
fn value(schema: &Value, of: &Value, (set, id): (&str, &str), given: &Map<String, Value>) -> String {
    let name = named(of);
    let found = schema["types"]
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["name"] == name);
    if let Some(values) = found.and_then(|t| t["enumValues"].as_array()) {
        return values[0]["name"].as_str().unwrap().to_owned();
    }
    let inner = inputs(schema, of);
    if inner.is_empty() {
        return match name.as_str() {
            "ID" => format!("{UNKNOWN:?}"),
            "Int" => "1".to_owned(),
            "Boolean" => "true".to_owned(),
            _ => "\"x\"".to_owned(),
        };
    }
    let mut fields = Vec::new();
    for field in &inner {
        let name = field["name"].as_str().unwrap();
        if name == set {
            fields.push(format!("{name}: {id:?}"));
        } else if let Some(known) = given.get(name) {
            fields.push(format!("{name}: {}", literal(schema, &field["type"], known)));
        } else if field["type"]["kind"] == "NON_NULL" {
            let made = value(schema, &field["type"], ("", id), &Map::new());
            fields.push(format!("{name}: {made}"));
        }
    }
    format!("{{{}}}", fields.join(", "))
}

async fn ask(caller: &Caller, query: &str) -> Value {
    let answer = caller
        .api
        .post("/graphql", &json!({ "query": query }))
        .await
        .unwrap();
    answer.json(200).unwrap_or_else(|e| panic!("{query}: {e}"))
}
