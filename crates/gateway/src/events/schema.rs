//! What an event of a type looks like: JSON Schema (2020-12), protobuf descriptors, an example.

use ids::OrgId;
use jiff::Timestamp;
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use serde_json::{Value as Out, json};
use uuid::Uuid;

use super::catalogue::EventType;
use super::render::envelope_json;
use crate::contract::Contract;
use crate::openapi::{Comments, ID, Schemas, Way, example};
use crate::transcode::to_json;

/// Messages may contain themselves; no example is deeper.
const DEEPEST: usize = 8;
/// The time in examples, 2026-01-31T12:00:00Z.
const THEN: i64 = 1_769_860_800;

/// The JSON Schema of a type's whole event.
#[must_use]
pub fn json_schema(of: &EventType, comments: &Comments) -> Out {
    let mut schemas = Schemas::new(comments);
    let data = schemas.message(&of.message, Way::Out);
    let mut schema = envelope(of, data);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["$id"] = format!("urn:devsignal:event:{}:{}", of.name, of.version).into();
    schema["title"] = of.name.clone().into();
    schema["$defs"] = schemas.into_components();
    opened(&mut schema, "#/$defs/");
    schema
}

/// The schema of an event around the schema of its data.
pub fn envelope(of: &EventType, data: Out) -> Out {
    json!({
        "type": "object",
        "description": of.description,
        "properties": {
            "id": {"type": "string", "format": "uuid", "description": "The same whenever and by whatever way the event is told."},
            "type": {"const": of.name},
            "timestamp": {"type": "string", "format": "date-time", "description": "When it happened."},
            "organizationId": {"type": "string", "format": "uuid", "description": "Whose it is."},
            "data": data,
        },
        "required": ["id", "type", "timestamp", "organizationId", "data"],
    })
}

/// Schemas of events are open: a release may add fields. References get their place in this document.
pub fn opened(schema: &mut Out, place: &str) {
    match schema {
        Out::Object(object) => {
            if object.get("additionalProperties") == Some(&Out::Bool(false)) {
                object.remove("additionalProperties");
            }
            if let Some(Out::String(to)) = object.get_mut("$ref")
                && let Some(name) = to.strip_prefix("#/components/schemas/")
            {
                *to = format!("{place}{name}");
            }
            object.values_mut().for_each(|below| opened(below, place));
        }
        Out::Array(items) => items.iter_mut().for_each(|below| opened(below, place)),
        _ => {}
    }
}

/// An encoded `FileDescriptorSet` with the type's message and what it uses.
#[must_use]
pub fn descriptor_set(of: &EventType) -> Vec<u8> {
    Contract::files_of(&of.message).encode_to_vec()
}

/// A whole event of the type, every field filled, written by what writes the real ones.
#[must_use]
pub fn sample(of: &EventType, comments: &Comments) -> Out {
    let data = to_json(&filled(&of.message, comments, 0));
    let id = Uuid::try_parse(ID).unwrap_or_default();
    let at = Timestamp::from_second(THEN).unwrap_or_default();
    let org = OrgId(ids::derived(id, "organization"));
    let text = envelope_json(ids::derived(id, &of.name), &of.name, at, org, &data);
    serde_json::from_str(&text).unwrap_or_default()
}

fn filled(of: &MessageDescriptor, comments: &Comments, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    match of.full_name() {
        "google.protobuf.Timestamp" => message.set_field_by_name("seconds", Value::I64(THEN)),
        "google.protobuf.Struct" => {
            let free = [("plan".to_owned(), serde_json::json!("free"))]
                .into_iter()
                .collect();
            drop(message.transcode_from(&contracts::convert::to_struct(free)));
        }
        _ if depth < DEEPEST => {
            for field in of.fields() {
                if let Some(value) = value_of(&field, comments, depth) {
                    message.set_field(&field, value);
                }
            }
        }
        _ => {}
    }
    message
}

fn value_of(field: &FieldDescriptor, comments: &Comments, depth: usize) -> Option<Value> {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else {
            return None;
        };
        let of = entry.map_entry_value_field();
        let one = single(&of, comments, depth)?;
        return Some(Value::Map([(MapKey::String("key".to_owned()), one)].into()));
    }
    let one = single(field, comments, depth)?;
    Some(if field.is_list() {
        Value::List(vec![one])
    } else {
        one
    })
}

fn single(field: &FieldDescriptor, comments: &Comments, depth: usize) -> Option<Value> {
    let told = example(field, &comments.field(field));
    let number = told.as_ref().and_then(Out::as_f64);
    let whole = told.as_ref().and_then(Out::as_i64).unwrap_or(1);
    Some(match field.kind() {
        Kind::Bool => Value::Bool(true),
        Kind::Double => Value::F64(number.unwrap_or(0.5)),
        #[expect(clippy::cast_possible_truncation, reason = "an example")]
        Kind::Float => Value::F32(number.unwrap_or(0.5) as f32),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(i32::try_from(whole).unwrap_or(1)),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(whole),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(u32::try_from(whole).unwrap_or(1)),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(u64::try_from(whole).unwrap_or(1)),
        Kind::String => Value::String(text_of(field, told, comments)),
        Kind::Bytes => Value::Bytes(bytes::Bytes::from_static(b"bytes")),
        Kind::Enum(of) => Value::EnumNumber(of.values().map(|v| v.number()).find(|n| *n != 0)?),
        Kind::Message(of) => Value::Message(filled(&of, comments, depth + 1)),
    })
}

fn text_of(field: &FieldDescriptor, told: Option<Out>, comments: &Comments) -> String {
    if let Some(Out::String(text)) = told {
        return text;
    }
    if field.name().ends_with("_ids") {
        return ID.to_owned();
    }
    let comment = comments.field(field);
    let quoted = comment.quoted().first().map(|word| (*word).to_owned());
    quoted.unwrap_or_else(|| field.name().replace('_', " "))
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::*;
    use crate::events::Catalogue;

    #[test]
    fn the_example_of_every_type_fits_its_schema_and_its_descriptors() {
        let contract = Contract::load().unwrap();
        let comments = Comments::of(contract.pool());
        for of in Catalogue::new(&contract).unwrap().types() {
            let schema = json_schema(of, &comments);
            let validator = jsonschema::options()
                .should_validate_formats(true)
                .build(&schema)
                .unwrap_or_else(|error| panic!("{}: {error}", of.name));
            let sample = sample(of, &comments);
            let faults: Vec<_> = validator.iter_errors(&sample).map(|e| e.to_string()).collect();
            assert!(faults.is_empty(), "{}: {faults:?} {sample}", of.name);
            let mut other = sample.clone();
            other["type"] = "another.type".into();
            assert!(!validator.is_valid(&other), "{}", of.name);
            other = sample.clone();
            other["data"] = "text".into();
            assert!(!validator.is_valid(&other), "{}", of.name);
            let pool = DescriptorPool::decode(descriptor_set(of).as_slice()).unwrap();
            assert!(
                pool.get_message_by_name(of.message.full_name()).is_some(),
                "{}",
                of.name
            );
            assert_eq!(pool.services().count(), 0, "{}", of.name);
        }
    }
}
