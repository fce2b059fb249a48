//! From routes to operations.

use contracts::access::Permission;
use prost_reflect::{FieldDescriptor, Kind};
use serde_json::{Map, Value, json};

use super::common::{problems, success_headers};
use super::schema::{ID, Schemas, Way, put};
use crate::transcode::{CONTROL, IF_VERSION, Route, allowed_of};

/// The path of a route as the document names it: `{accountId}`.
pub fn path_of(route: &Route) -> String {
    let mut path = route.template.clone();
    for field in route.path_fields() {
        path = path.replace(
            &format!("{{{}}}", field.name()),
            &format!("{{{}}}", field.json_name()),
        );
    }
    path
}

/// The operation of a route. `id` is its `operationId`.
pub fn operation(route: &Route, id: &str, schemas: &mut Schemas<'_>) -> Value {
    let comment = schemas.comments.method(&route.method);
    let service = route.method.parent_service().name().to_owned();
    let mut operation = json!({
        "operationId": id,
        "tags": [service.strip_suffix("Service").unwrap_or(&service)],
    });
    let summary = match route.batch {
        None => comment.summary().to_owned(),
        Some(_) => format!("Up to 1,000 at once: {}", lower_first(comment.summary())),
    };
    put(&mut operation, "summary", summary);
    put(&mut operation, "description", comment.text);
    operation["x-grpc-method"] = route.grpc_path.as_str().trim_start_matches('/').into();
    if public(route) {
        operation["security"] = json!([]);
    }
    let parameters = parameters(route, schemas);
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if route.has_body {
        operation["requestBody"] = json!({
            "required": true,
            "content": {"application/json": {"schema": body(route, schemas)}},
        });
    }
    operation["responses"] = responses(route, schemas);
    operation
}

/// Whether it needs no credentials. Answers are kept per organization, so such a route takes no idempotency key.
fn public(route: &Route) -> bool {
    route.rule.permission == Permission::Public
}

fn parameters(route: &Route, schemas: &mut Schemas<'_>) -> Vec<Value> {
    let from_path: Vec<FieldDescriptor> = route.path_fields().cloned().collect();
    let mut all = Vec::new();
    for field in &from_path {
        let schema = if field.name().ends_with("_id") {
            json!({"type": "string", "format": "uuid", "examples": [ID]})
        } else {
            json!({"type": "string", "minLength": 1})
        };
        let mut parameter =
            json!({"name": field.json_name(), "in": "path", "required": true, "schema": schema});
        put(&mut parameter, "description", schemas.comments.field(field).text);
        all.push(parameter);
    }
    for field in allowed_of(&route.input, &from_path) {
        if !route.has_body || CONTROL.contains(&field.name()) {
            all.push(from_query(&field, route.batch.is_some(), schemas));
        }
    }
    if answers_records(route) {
        all.push(json!({"$ref": "#/components/parameters/Fields"}));
    }
    if !route.reads && !public(route) {
        all.push(json!({"$ref": "#/components/parameters/IdempotencyKey"}));
    }
    if route.input.get_field_by_name(IF_VERSION).is_some() && route.batch.is_none() {
        all.push(json!({"$ref": "#/components/parameters/IfMatch"}));
    }
    if versioned(route) && route.http_method == "GET" {
        all.push(json!({"$ref": "#/components/parameters/IfNoneMatch"}));
    }
    all.push(json!({"$ref": "#/components/parameters/Version"}));
    all
}

/// What a service finds wrong with a parameter of a batch is in the verdict of each item, so its words are not listed there.
fn from_query(field: &FieldDescriptor, of_batch: bool, schemas: &mut Schemas<'_>) -> Value {
    let comment = schemas.comments.field(field);
    if field.is_map() {
        let names = comment.quoted();
        // `custom.<key>` stands for names that are the organization's own.
        let open = names.iter().any(|name| name.contains('<'));
        let properties: Map<String, Value> = names
            .iter()
            .filter(|name| !name.contains('<'))
            .map(|name| ((*name).to_owned(), json!({"type": "string"})))
            .collect();
        let others = if open {
            json!({"type": "string"})
        } else {
            json!(false)
        };
        let mut parameter = json!({
            "name": field.json_name(), "in": "query", "style": "deepObject", "explode": true,
            "schema": {"type": "object", "properties": properties, "additionalProperties": others},
        });
        put(&mut parameter, "description", comment.text);
        return parameter;
    }
    let mut schema = schemas.field(field, Way::In);
    if let Some(object) = schema.as_object_mut() {
        object.remove("description");
    }
    let words = match field.name() {
        "sort" => comment
            .closed_set()
            .filter(|words| !words.iter().any(|w| w.contains('<'))),
        "include" | "match" => Some(comment.quoted()),
        _ => None,
    };
    if let Some(words) = words.filter(|words| !words.is_empty()) {
        schema["examples"] = json!([words[0]]);
        if !of_batch {
            schema["enum"] = words.into();
        }
    }
    let mut parameter = json!({"name": field.json_name(), "in": "query", "schema": schema});
    if field.name() == "match" {
        parameter["required"] = true.into();
    }
    put(&mut parameter, "description", comment.text);
    parameter
}

fn body(route: &Route, schemas: &mut Schemas<'_>) -> Value {
    let mut without: Vec<String> = route.path_fields().map(|f| f.name().to_owned()).collect();
    without.extend(CONTROL.map(str::to_owned));
    without.push(IF_VERSION.to_owned());
    let id = route.batch.as_ref().and_then(|batch| batch.id.clone());
    if let Some(field) = &id {
        without.push(field.name().to_owned());
    }
    let without: Vec<&str> = without.iter().map(String::as_str).collect();
    let mut item = schemas.object(&route.input, Way::In, &without);
    if route.batch.is_none() {
        if route.tells_of_each()
            && let Some(items) = item.pointer_mut("/properties/items/items")
        {
            *items = judged_alone(items);
        }
        return item;
    }
    if id.is_some() {
        let id =
            json!({"type": "string", "format": "uuid", "description": "Which record.", "examples": [ID]});
        item["properties"]["id"] = id;
        let mut required = item["required"].as_array().cloned().unwrap_or_default();
        required.push("id".into());
        item["required"] = required.into();
        if let Some(field) = route.input.get_field_by_name(IF_VERSION) {
            item["properties"][field.json_name()] = schemas.field(&field, Way::In);
        }
    }
    json!({
        "type": "object",
        "properties": {"items": {"type": "array", "items": judged_alone(&item), "minItems": 1, "maxItems": 1000}},
        "required": ["items"],
        "additionalProperties": false,
    })
}

/// An item of a batch: what is not as it should be is refused by itself, and the others go on.
pub fn judged_alone(item: &Value) -> Value {
    json!({"anyOf": [item, {"description": "Anything else is refused by itself, with its place."}]})
}

fn responses(route: &Route, schemas: &mut Schemas<'_>) -> Value {
    let mut responses = Map::new();
    let mut success = json!({"description": "Done.", "headers": success_headers(route.batch.is_none() && versioned(route))});
    let json_of = |schema: Value| json!({"application/json": {"schema": schema}});
    if route.batch.is_some() {
        success["content"] = json_of(json!({"$ref": "#/components/schemas/BatchAnswer"}));
        success["description"] = "One verdict per item, in order.".into();
        responses.insert("207".to_owned(), success);
    } else if route.tells_of_each() {
        success["content"] = json_of(schemas.message(&route.output, Way::Out));
        success["description"] = "One verdict per item, in order.".into();
        responses.insert("207".to_owned(), success);
    } else if route.http_method == "DELETE" {
        success["description"] = "Deleted.".into();
        responses.insert("204".to_owned(), success);
    } else {
        let of = match route.record.as_ref().map(FieldDescriptor::kind) {
            Some(Kind::Message(record)) => record,
            _ => route.output.clone(),
        };
        success["content"] = json_of(schemas.message(&of, Way::Out));
        let upserts = route.upserted().is_some();
        let can_try = route.input.get_field_by_name("dry_run").is_some();
        if route.creates || upserts {
            let mut created = success.clone();
            created["description"] = "Created.".into();
            created["headers"]["Location"] = json!({"$ref": "#/components/headers/Location"});
            responses.insert("201".to_owned(), created);
        }
        if !route.creates || can_try {
            responses.insert("200".to_owned(), success);
        }
        if route.http_method == "GET" && versioned(route) {
            responses.insert(
                "304".to_owned(),
                json!({"description": "The client has this version already."}),
            );
        }
    }
    for (status, problem) in problems(route) {
        responses.insert(status.to_owned(), problem);
    }
    Value::Object(responses)
}

/// Whether the answer is a record with a version.
fn versioned(route: &Route) -> bool {
    let record = route
        .record
        .clone()
        .or_else(|| route.upserted().map(|(record, _)| record));
    matches!(record.map(|f| f.kind()), Some(Kind::Message(of)) if of.get_field_by_name("version").is_some())
}

/// Whether `fields` says what to answer with.
fn answers_records(route: &Route) -> bool {
    route.batch.is_none()
        && route.http_method != "DELETE"
        && (route.record.is_some()
            || route.output.get_field_by_name("data").is_some()
            || route.upserted().is_some())
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|c| c.to_lowercase().collect::<String>() + chars.as_str())
        .unwrap_or_default()
}

/// The operation's name: the method's, and for further routes of it what tells them apart.
pub fn operation_id(route: &Route, taken: &dyn Fn(&str) -> bool) -> String {
    let name = schema_name(route.method.name());
    let mut id = match route.batch {
        None => name,
        Some(_) => format!("{name}Batch"),
    };
    if taken(&id) {
        let last = route
            .template
            .rsplit('/')
            .find(|s| !s.starts_with('{'))
            .unwrap_or("other");
        let first = route.template.split('/').nth(3).unwrap_or("other");
        let by = if last == "query" { "query" } else { first };
        id = format!("{id}_{by}");
    }
    id
}

fn schema_name(method: &str) -> String {
    lower_first(method)
}
