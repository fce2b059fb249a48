//! From JSON to a request message: closed, exact, and with every fault named at its place.

use errors::{ApiError, FieldError};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};
use prost_types::value::Kind as FreeKind;

use super::field_value::{self, Misfit};
use super::json::{Json, pointer};

/// More faults than these help nobody.
const MAX_FAULTS: usize = 100;

/// Fills `message` from a JSON object. `skip` names fields that JSON may not set (the path gives them).
///
/// # Errors
/// `validation_failed` with every fault found.
pub fn fill(message: &mut DynamicMessage, json: &Json, skip: &[FieldDescriptor]) -> Result<(), ApiError> {
    let mut faults = Vec::new();
    object(message, json, skip, "", &mut faults);
    if faults.is_empty() {
        Ok(())
    } else {
        Err(ApiError::fields(faults))
    }
}

fn fault(faults: &mut Vec<FieldError>, at: &str, misfit: Misfit) {
    if faults.len() < MAX_FAULTS {
        faults.push(FieldError::new(at, misfit.code, misfit.message));
    }
}

fn object(
    message: &mut DynamicMessage,
    json: &Json,
    skip: &[FieldDescriptor],
    at: &str,
    faults: &mut Vec<FieldError>,
) {
    let Json::Object(entries) = json else {
        return fault(faults, at, Misfit::new("wrong_type", "expected an object"));
    };
    let descriptor = message.descriptor();
    for (key, value) in entries {
        let at = pointer(at, key);
        let Some(field) = descriptor
            .get_field_by_json_name(key)
            .filter(|f| !skip.contains(f))
        else {
            fault(faults, &at, unknown(&descriptor, skip));
            continue;
        };
        // As in proto JSON, null is the same as absent.
        if *value != Json::Null
            && let Some(value) = any(&field, value, &at, faults)
        {
            message.set_field(&field, value);
        }
    }
    for field in descriptor
        .fields()
        .filter(|f| is_required(f) && !skip.contains(f))
    {
        let given = |(key, value): &(String, Json)| key == field.json_name() && *value != Json::Null;
        if !entries.iter().any(given) {
            let at = pointer(at, field.json_name());
            fault(
                faults,
                &at,
                Misfit::new("required", format!("{} is required", field.json_name())),
            );
        }
    }
}

/// Whether a body must have the field: text and closed sets that are not `optional`.
pub fn is_required(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::String | Kind::Enum(_))
        && !field.is_list()
        && !field.is_map()
        && !field.supports_presence()
}

fn unknown(descriptor: &MessageDescriptor, skip: &[FieldDescriptor]) -> Misfit {
    let allowed: Vec<_> = descriptor
        .fields()
        .filter(|f| !skip.contains(f))
        .map(|f| f.json_name().to_owned())
        .collect();
    Misfit::new(
        "unknown_field",
        format!("unknown field; allowed are {}", allowed.join(", ")),
    )
}

fn any(field: &FieldDescriptor, json: &Json, at: &str, faults: &mut Vec<FieldError>) -> Option<Value> {
    if field.is_map() {
        return map(field, json, at, faults);
    }
    if !field.is_list() {
        return one(&field.kind(), json, at, faults);
    }
    let Json::List(items) = json else {
        fault(faults, at, Misfit::new("wrong_type", "expected a list"));
        return None;
    };
    let kind = field.kind();
    let values = items
        .iter()
        .enumerate()
        .filter_map(|(n, item)| one(&kind, item, &pointer(at, &n.to_string()), faults));
    Some(Value::List(values.collect()))
}

fn map(field: &FieldDescriptor, json: &Json, at: &str, faults: &mut Vec<FieldError>) -> Option<Value> {
    let Kind::Message(entry) = field.kind() else {
        return None;
    };
    let (Json::Object(entries), Kind::String) = (json, entry.map_entry_key_field().kind()) else {
        fault(faults, at, Misfit::new("wrong_type", "expected an object"));
        return None;
    };
    let kind = entry.map_entry_value_field().kind();
    let mut values = std::collections::HashMap::new();
    for (key, value) in entries {
        let at = pointer(at, key);
        match field_value::string(key) {
            Ok(key) => {
                if let Some(value) = one(&kind, value, &at, faults) {
                    values.insert(MapKey::String(key), value);
                }
            }
            Err(misfit) => fault(faults, &at, misfit),
        }
    }
    Some(Value::Map(values))
}

fn one(kind: &Kind, json: &Json, at: &str, faults: &mut Vec<FieldError>) -> Option<Value> {
    let Kind::Message(descriptor) = kind else {
        return field_value::from_json(kind, json)
            .map_err(|misfit| fault(faults, at, misfit))
            .ok();
    };
    match descriptor.full_name() {
        field_value::TIMESTAMP => {
            let time = match json {
                Json::Text(text) => field_value::time(descriptor, text),
                _ => Err(Misfit::new("wrong_type", "expected an RFC 3339 time as text")),
            };
            time.map_err(|misfit| fault(faults, at, misfit)).ok()
        }
        "google.protobuf.Struct" => {
            let before = faults.len();
            let free = free_object(json, at, faults)?;
            let mut message = DynamicMessage::new(descriptor.clone());
            message.transcode_from(&free).ok()?;
            (faults.len() == before).then_some(Value::Message(message))
        }
        "google.protobuf.Value" => {
            let before = faults.len();
            let mut message = DynamicMessage::new(descriptor.clone());
            message.transcode_from(&free(json, at, faults)).ok()?;
            (faults.len() == before).then_some(Value::Message(message))
        }
        "google.protobuf.ListValue" => {
            let before = faults.len();
            let FreeKind::ListValue(list) = free(json, at, faults).kind? else {
                fault(faults, at, Misfit::new("wrong_type", "expected a list"));
                return None;
            };
            let mut message = DynamicMessage::new(descriptor.clone());
            message.transcode_from(&list).ok()?;
            (faults.len() == before).then_some(Value::Message(message))
        }
        _ => {
            let mut message = DynamicMessage::new(descriptor.clone());
            object(&mut message, json, &[], at, faults);
            Some(Value::Message(message))
        }
    }
}

fn free_object(json: &Json, at: &str, faults: &mut Vec<FieldError>) -> Option<prost_types::Struct> {
    let Json::Object(entries) = json else {
        fault(faults, at, Misfit::new("wrong_type", "expected an object"));
        return None;
    };
    let mut fields = std::collections::BTreeMap::new();
    for (key, value) in entries {
        let at = pointer(at, key);
        if let Err(misfit) = field_value::string(key) {
            fault(faults, &at, misfit);
        }
        fields.insert(key.clone(), free(value, &at, faults));
    }
    Some(prost_types::Struct { fields })
}

fn free(json: &Json, at: &str, faults: &mut Vec<FieldError>) -> prost_types::Value {
    let kind = match json {
        Json::Null => FreeKind::NullValue(0),
        Json::Bool(flag) => FreeKind::BoolValue(*flag),
        Json::Int(_) | Json::Float(_) => match field_value::number(json) {
            Ok(number) => FreeKind::NumberValue(number),
            Err(misfit) => {
                fault(faults, at, misfit);
                FreeKind::NullValue(0)
            }
        },
        Json::Text(text) => {
            if let Err(misfit) = field_value::string(text) {
                fault(faults, at, misfit);
            }
            FreeKind::StringValue(text.clone())
        }
        Json::List(items) => FreeKind::ListValue(prost_types::ListValue {
            values: items
                .iter()
                .enumerate()
                .map(|(n, v)| free(v, &pointer(at, &n.to_string()), faults))
                .collect(),
        }),
        Json::Object(_) => match free_object(json, at, faults) {
            Some(object) => FreeKind::StructValue(object),
            None => FreeKind::NullValue(0),
        },
    };
    prost_types::Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use contracts::signals::v1::{CreateSourceRequest, IngestSignalsRequest};
    use prost::Message;

    use super::*;
    use crate::contract::Contract;
    use crate::transcode::to_json;

    fn read(name: &str, text: &str) -> Result<DynamicMessage, Vec<(String, String)>> {
        let contract = Contract::load().unwrap();
        let descriptor = contract.pool().get_message_by_name(name).unwrap();
        let mut message = DynamicMessage::new(descriptor);
        match fill(&mut message, &Json::parse(text.as_bytes()).unwrap(), &[]) {
            Ok(()) => Ok(message),
            Err(error) => Err(error.fields.into_iter().map(|f| (f.pointer, f.code)).collect()),
        }
    }

    #[test]
    fn a_body_becomes_the_message() {
        let text = r#"{"type":"github","name":"x","config":{"a":1,"b":[true,null,{"c":"é"}],"d":1.5},"secret":null}"#;
        let message = read("devsignal.signals.v1.CreateSourceRequest", text).unwrap();
        let typed = CreateSourceRequest::decode(message.encode_to_vec().as_slice()).unwrap();
        assert_eq!((typed.r#type.as_str(), typed.secret), ("github", None));
        assert_eq!(
            to_json(&message).to_string(),
            r#"{"type":"github","name":"x","config":{"a":1,"b":[true,null,{"c":"é"}],"d":1.5}}"#
        );
    }

    #[test]
    fn every_fault_is_named_at_its_place() {
        let text = r#"{"signals":[{"type":"a","timestamp":"2024-01-01T00:00:00+02:00","actor":{"email":"e"}},
            {"type":1,"__proto__":{},"account":{"employees":1.5},"metadata":{"n":9007199254740993,"z":"\u0000"},
             "timestamp":"2024-01-01"}],"org_id":"x"}"#;
        let faults = read("devsignal.signals.v1.IngestSignalsRequest", text).unwrap_err();
        let at = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
        assert_eq!(
            faults,
            [
                at("/signals/1/type", "wrong_type"),
                at("/signals/1/__proto__", "unknown_field"),
                at("/signals/1/account/employees", "wrong_type"),
                at("/signals/1/metadata/n", "not_exact"),
                at("/signals/1/metadata/z", "invalid_character"),
                at("/signals/1/timestamp", "invalid_time"),
                at("/org_id", "unknown_field"),
            ]
        );
        let good = read(
            "devsignal.signals.v1.IngestSignalsRequest",
            r#"{"signals":[{"type":"a","timestamp":"2024-01-01T00:00:00+02:00"}]}"#,
        );
        let typed = IngestSignalsRequest::decode(good.unwrap().encode_to_vec().as_slice()).unwrap();
        assert_eq!(
            typed.signals[0].timestamp.as_ref().unwrap().seconds,
            1_704_060_000
        );
    }

    #[test]
    fn wrong_shapes_are_refused() {
        for text in [
            "[]",
            "1",
            "null",
            r#"{"signals":{}}"#,
            r#"{"signals":[null]}"#,
            r#"{"signals":[[]]}"#,
        ] {
            assert!(
                read("devsignal.signals.v1.IngestSignalsRequest", text).is_err(),
                "{text}"
            );
        }
    }
}
