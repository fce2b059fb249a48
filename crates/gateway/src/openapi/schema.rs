//! From messages to JSON Schema (2020-12), as the transcoder reads and writes them.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comments::{Comment, Comments};
use crate::transcode::{field_value, is_required};

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client: closed, with what is required.
    In,
    /// To the client. Any field may be left out by `fields`.
    Out,
}

/// Schemas that are used in several places.
pub struct Schemas<'c> {
    /// Descriptions.
    pub comments: &'c Comments,
    components: BTreeMap<String, Value>,
}

impl<'c> Schemas<'c> {
    /// None yet.
    #[must_use]
    pub fn new(comments: &'c Comments) -> Self {
        Self {
            comments,
            components: BTreeMap::new(),
        }
    }

    /// Everything referred to.
    #[must_use]
    pub fn into_components(self) -> Value {
        Value::Object(self.components.into_iter().collect())
    }

    /// A reference to the schema of a message.
    pub fn message(&mut self, of: &MessageDescriptor, way: Way) -> Value {
        match of.full_name() {
            field_value::TIMESTAMP => {
                return json!({"type": "string", "format": "date-time", "examples": ["2026-01-31T12:00:00Z"]});
            }
            "google.protobuf.ListValue" => return json!({"type": "array", "items": {}}),
            "google.protobuf.Value" => return json!({}),
            "google.protobuf.Struct" => return json!({"type": "object", "additionalProperties": true}),
            _ => {}
        }
        let name = match way {
            Way::In if !of.name().ends_with("Request") && !of.name().ends_with("Input") => {
                format!("{}Input", of.name())
            }
            _ => of.name().to_owned(),
        };
        if !self.components.contains_key(&name) {
            // In its place before its fields are read: messages may contain themselves.
            self.components.insert(name.clone(), Value::Null);
            let schema = self.object(of, way, &[]);
            self.components.insert(name.clone(), schema);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// The schema of a message without some of its fields, in place.
    pub fn object(&mut self, of: &MessageDescriptor, way: Way, without: &[&str]) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in of.fields().filter(|f| !without.contains(&f.name())) {
            let mut schema = self.field(&field, way);
            // In a body null is the same as absent.
            if way == Way::In && !is_required(&field) {
                schema = or_null(schema);
            }
            properties.insert(field.json_name().to_owned(), schema);
            if way == Way::In && is_required(&field) {
                required.push(field.json_name().to_owned());
            }
        }
        let mut schema = json!({"type": "object"});
        let comment = self.comments.message(of);
        put(&mut schema, "description", comment.text);
        schema["properties"] = Value::Object(properties);
        let is_page = ["data", "next_cursor"].map(|name| of.get_field_by_name(name).is_some());
        if way == Way::Out && is_page == [true, true] {
            required = vec!["data".to_owned(), "nextCursor".to_owned(), "hasMore".to_owned()];
        }
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        schema["additionalProperties"] = false.into();
        schema
    }

    /// The schema of a field, with its description.
    pub fn field(&mut self, field: &FieldDescriptor, way: Way) -> Value {
        let comment = self.comments.field(field);
        let mut schema = if field.is_map() {
            let Kind::Message(entry) = field.kind() else {
                return json!({});
            };
            let value = self.value(&entry.map_entry_value_field().kind(), way);
            json!({"type": "object", "additionalProperties": value})
        } else if field.is_list() {
            let items = self.value(&field.kind(), way);
            json!({"type": "array", "items": items})
        } else {
            let mut schema = self.value(&field.kind(), way);
            bound(&mut schema, &comment, way);
            schema
        };
        if way == Way::Out && field.name() == "next_cursor" {
            schema["type"] = json!(["string", "null"]);
        }
        put(&mut schema, "description", comment.text.clone());
        if let Some(example) = example(field, &comment) {
            schema["examples"] = json!([example]);
        }
        schema
    }

    fn value(&mut self, kind: &Kind, way: Way) -> Value {
        match kind {
            Kind::Bool => json!({"type": "boolean"}),
            Kind::Double | Kind::Float => json!({"type": "number", "format": "double"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({"type": "integer", "format": "int32"}),
            Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({"type": "integer", "format": "int64"}),
            Kind::Uint64 | Kind::Fixed64 => json!({"type": "integer", "minimum": 0}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Enum(of) => self.enumeration(of, way),
            Kind::Message(of) => self.message(of, way),
        }
    }

    fn enumeration(&mut self, of: &EnumDescriptor, way: Way) -> Value {
        let prefix = field_value::prefix_of(of);
        let mut words: Vec<Value> = of
            .values()
            .filter(|v| v.number() != 0)
            .map(|v| v.name().strip_prefix(&prefix).unwrap_or(v.name()).into())
            .collect();
        let mut schema = json!({"type": "string"});
        if way == Way::Out {
            schema["type"] = json!(["string", "null"]);
            words.push(Value::Null);
        }
        let about = self.comments.enumeration(of, &prefix);
        schema["enum"] = Value::Array(words);
        let name = match way {
            Way::In => format!("{}Input", of.name()),
            Way::Out => of.name().to_owned(),
        };
        put(&mut schema, "description", about);
        self.components.insert(name.clone(), schema);
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }
}

/// The schema, or null.
fn or_null(mut schema: Value) -> Value {
    let Some(one) = schema.get("type").and_then(Value::as_str).map(str::to_owned) else {
        return if schema.get("$ref").is_some() {
            let about = schema.as_object_mut().and_then(|of| of.remove("description"));
            let mut either = json!({"anyOf": [schema, {"type": "null"}]});
            if let Some(about) = about {
                either["description"] = about;
            }
            either
        } else {
            schema
        };
    };
    schema["type"] = json!([one, "null"]);
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
    schema
}

/// What the comment says of the values.
fn bound(schema: &mut Value, comment: &Comment, way: Way) {
    if way == Way::Out {
        return;
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string") if schema.get("format").is_none() => {
            if let Some(words) = comment.closed_set() {
                schema["enum"] = words.into();
                return;
            }
            let range = comment.range().filter(|(.., characters)| *characters);
            if let Some((low, high, _)) = range {
                schema["minLength"] = low.into();
                schema["maxLength"] = high.into();
            } else if let Some(high) = comment.at_most_characters() {
                schema["maxLength"] = high.into();
            }
        }
        Some("integer") => {
            if let Some((low, high, false)) = comment.range() {
                schema["minimum"] = low.into();
                schema["maximum"] = high.into();
            }
        }
        _ => {}
    }
}

/// The example of the comment, or one made of the field's name.
pub fn example(field: &FieldDescriptor, comment: &Comment) -> Option<Value> {
    if let Some(text) = &comment.example {
        let json = serde_json::from_str(text).ok();
        return Some(json.unwrap_or_else(|| Value::from(text.as_str())));
    }
    if field.is_list() || field.is_map() {
        return None;
    }
    let words = comment.closed_set().unwrap_or_default();
    match (field.kind(), field.name()) {
        (Kind::String, name) if !words.is_empty() && name != "id" => words.first().map(|w| (*w).into()),
        (Kind::String, "id") => Some(ID.into()),
        (Kind::String, name) if is_id(name) => Some(ID.into()),
        (Kind::String, "email") => Some("dev@acme.com".into()),
        (Kind::String, "domain") => Some("acme.com".into()),
        (Kind::String, "country") => Some("DE".into()),
        (Kind::String, "name") => Some("Acme".into()),
        (Kind::String, "type") => Some("package_install".into()),
        (Kind::Int32 | Kind::Int64, "limit") => Some(50.into()),
        (Kind::Int32 | Kind::Int64, "version") => Some(3.into()),
        (Kind::Int32, "score") => Some(87.into()),
        _ => None,
    }
}

/// An id for examples.
pub const ID: &str = "0197e1c8-1f2a-7b3c-8d4e-5f6071829304";

/// Whether it is one of our ids; a sender's own ids have any form.
fn is_id(name: &str) -> bool {
    name.ends_with("_id") && !matches!(name, "anonymous_id" | "user_id")
}

/// Sets a description, unless it is empty.
pub fn put(schema: &mut Value, name: &str, text: String) {
    if !text.is_empty() {
        schema[name] = text.into();
    }
}
