//! The OpenAPI document of an organization's custom objects: what the general one says of any object, said of each with its fields.

use contracts::convert;
use contracts::crm::v1 as crm;
use serde_json::{Map, Value, json};

use crate::domain::custom::Type;
use crate::domain::objects::{CustomObject, Field};

/// The document.
pub(super) fn document(objects: &[CustomObject]) -> crm::GetObjectsDocumentResponse {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for object in objects {
        let name = pascal(&object.key);
        schemas.insert(format!("{name}Values"), values(object));
        schemas.insert(name.clone(), record(object, &name));
        let at = format!("/api/v1/objects/{}/records", object.key);
        paths.insert(at.clone(), collection(object, &name));
        paths.insert(format!("{at}/query"), queried(object, &name));
        paths.insert(format!("{at}/{{recordId}}"), single(object, &name));
    }
    schemas.insert("Problem".into(), problem());
    let structured = |value: Value| match value {
        Value::Object(map) => Some(convert::to_struct(map)),
        _ => None,
    };
    crm::GetObjectsDocumentResponse {
        openapi: "3.1.0".to_owned(),
        info: structured(json!({
            "title": "DevSignal: custom objects of this organization",
            "version": "1",
            "description": "Records of the organization's own objects. The conventions are those of /api/v1/openapi.json.",
        })),
        paths: Some(convert::to_struct(paths)),
        components: structured(json!({
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        })),
        security: Some(prost_types::ListValue {
            values: vec![convert::to_value(json!({"bearer": []}))],
        }),
    }
}

/// `trial_seat` is `TrialSeat`.
fn pascal(key: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    key.split('_').map(word).collect()
}

fn values(object: &CustomObject) -> Value {
    let properties: Map<String, Value> = object
        .fields
        .iter()
        .map(|field| (field.rule.key.clone(), property(field)))
        .collect();
    let required: Vec<&str> = object
        .fields
        .iter()
        .filter(|field| field.rule.required)
        .map(|field| field.rule.key.as_str())
        .collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn property(Field { rule, target }: &Field) -> Value {
    let mut schema = match rule.kind {
        Type::Text => json!({"type": "string", "minLength": 1, "maxLength": 2000}),
        Type::Number => json!({"type": "number"}),
        Type::Bool => json!({"type": "boolean"}),
        Type::Date => json!({"type": "string", "format": "date"}),
        Type::Enum => json!({"type": "string", "enum": rule.options}),
        Type::Reference => json!({"type": "string", "format": "uuid"}),
        Type::List if rule.options.is_empty() => {
            json!({"type": "array", "maxItems": 50, "items": {"type": "string"}})
        }
        Type::List => {
            json!({"type": "array", "maxItems": 50, "items": {"type": "string", "enum": rule.options}})
        }
        Type::Url => json!({"type": "string", "format": "uri"}),
        Type::Email => json!({"type": "string", "format": "email"}),
        Type::Currency => json!({
            "type": "object",
            "required": ["currency"],
            "properties": {
                "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
                "units": {"type": "integer", "minimum": 0},
                "nanos": {"type": "integer", "minimum": 0, "maximum": 999_999_999},
            },
        }),
    };
    schema["title"] = json!(rule.label);
    if let Some(pattern) = &rule.pattern {
        schema["pattern"] = json!(format!("^(?:{pattern})$"));
    }
    if let Some(default) = &rule.default {
        schema["default"] = default.clone();
    }
    if let Some(target) = target {
        schema["x-reference-object"] = json!(String::from(target.clone()));
    }
    if rule.unique {
        schema["x-unique"] = json!(true);
    }
    schema
}

fn record(object: &CustomObject, name: &str) -> Value {
    json!({
        "type": "object",
        "description": object.description.as_deref().unwrap_or(&object.label),
        "required": ["id", "object", "values", "createdBy", "createdAt", "updatedAt", "version"],
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "object": {"const": object.key},
            "values": {"$ref": format!("#/components/schemas/{name}Values")},
            "createdBy": {"type": "string"},
            "createdAt": {"type": "string", "format": "date-time"},
            "updatedAt": {"type": "string", "format": "date-time"},
            "version": {"type": "integer"},
        },
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "code"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string"},
            "detail": {"type": "string"},
            "errors": {"type": "array", "items": {"type": "object"}},
        },
    })
}

fn collection(object: &CustomObject, name: &str) -> Value {
    let filters: Map<String, Value> = object
        .fields
        .iter()
        .map(|field| (field.rule.key.clone(), json!({"type": "string"})))
        .collect();
    let sorted = object.fields.iter().filter(|field| field.rule.kind != Type::List);
    let sorts: Vec<String> = ["createdAt", "updatedAt"]
        .into_iter()
        .chain(sorted.map(|field| field.rule.key.as_str()))
        .flat_map(|key| [key.to_owned(), format!("-{key}")])
        .collect();
    let unique = object.fields.iter().filter(|field| field.rule.unique);
    let unique: Vec<&str> = unique.map(|field| field.rule.key.as_str()).collect();
    let mut path = json!({
        "get": {
            "operationId": format!("list{name}"),
            "tags": [name],
            "parameters": [
                {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 200}},
                {"name": "cursor", "in": "query", "schema": {"type": "string"}},
                {"name": "sort", "in": "query", "schema": {"enum": sorts}},
                {"name": "filter", "in": "query", "style": "deepObject", "explode": true,
                 "schema": {"type": "object", "properties": filters, "additionalProperties": false}},
            ],
            "responses": answers("200", page(name)),
        },
        "post": {
            "operationId": format!("create{name}"),
            "tags": [name],
            "requestBody": body(&format!("{name}Values")),
            "responses": answers("201", reference(name)),
        },
    });
    if !unique.is_empty() {
        path["put"] = json!({
            "operationId": format!("upsert{name}"),
            "tags": [name],
            "parameters": [{"name": "match", "in": "query", "required": true, "schema": {"enum": unique}}],
            "requestBody": body(&format!("{name}Values")),
            "responses": answers("200", json!({
                "type": "object",
                "properties": {"record": reference(name), "outcome": {"enum": ["created", "updated", "noop"]}},
            })),
        });
    }
    path
}

fn queried(object: &CustomObject, name: &str) -> Value {
    let fields: Vec<&str> = object
        .fields
        .iter()
        .map(|field| field.rule.key.as_str())
        .collect();
    json!({"post": {
        "operationId": format!("query{name}"),
        "tags": [name],
        "description": format!("Fields: {}.", fields.join(", ")),
        "requestBody": {"required": true, "content": {"application/json": {"schema": {
            "type": "object",
            "properties": {"where": {"type": "object"}, "sort": {"type": "string"},
                "limit": {"type": "integer"}, "cursor": {"type": "string"}},
        }}}},
        "responses": answers("200", page(name)),
    }})
}

fn single(object: &CustomObject, name: &str) -> Value {
    let patch = json!({"type": "object", "properties": {"values": {
        "type": "object",
        "description": format!("Values of {} to change; null removes.", object.label),
    }}});
    json!({
        "parameters": [{"name": "recordId", "in": "path", "required": true, "schema": {"type": "string", "format": "uuid"}}],
        "get": {"operationId": format!("get{name}"), "tags": [name], "responses": answers("200", reference(name))},
        "patch": {
            "operationId": format!("update{name}"),
            "tags": [name],
            "requestBody": {"required": true, "content": {"application/json": {"schema": patch}}},
            "responses": answers("200", reference(name)),
        },
        "delete": {
            "operationId": format!("delete{name}"),
            "tags": [name],
            "responses": {"204": {"description": "It is gone."}, "default": failed()},
        },
    })
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn page(name: &str) -> Value {
    json!({"type": "object", "required": ["data", "hasMore"], "properties": {
        "data": {"type": "array", "items": reference(name)},
        "nextCursor": {"type": "string"},
        "hasMore": {"type": "boolean"},
    }})
}

fn body(values: &str) -> Value {
    json!({"required": true, "content": {"application/json": {"schema": {
        "type": "object",
        "required": ["values"],
        "properties": {"values": reference(values)},
    }}}})
}

fn failed() -> Value {
    json!({"description": "What is wrong.", "content": {"application/problem+json": {"schema": reference("Problem")}}})
}

fn answers(status: &str, schema: Value) -> Value {
    let mut responses = Map::new();
    let done = json!({"description": "Done.", "content": {"application/json": {"schema": schema}}});
    responses.insert(status.to_owned(), done);
    responses.insert("default".into(), failed());
    Value::Object(responses)
}
