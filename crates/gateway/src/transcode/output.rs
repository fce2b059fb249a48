//! From a response message to JSON.
//!
//! camelCase; defaults are written, unset optionals are not, save `nextCursor`, which is null on the last page; 64-bit
//! integers are numbers; enum values lose their prefix; times are RFC 3339 in UTC.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{DynamicMessage, Kind, MapKey, ReflectMessage as _, Value};
use serde_json::{Map, Value as Out};

use super::field_value;

/// The JSON of a message.
#[must_use]
pub fn to_json(message: &DynamicMessage) -> Out {
    let descriptor = message.descriptor();
    if descriptor.package_name() == "google.protobuf"
        && let Some(json) = well_known(message, descriptor.name())
    {
        return json;
    }
    let mut out = Map::new();
    for field in descriptor.fields() {
        if !field.supports_presence() || message.has_field(&field) {
            out.insert(
                field.json_name().to_owned(),
                value(&message.get_field(&field), &field.kind()),
            );
        } else if field.name() == "next_cursor" {
            out.insert(field.json_name().to_owned(), Out::Null);
        }
    }
    Out::Object(out)
}

/// The JSON of a message of `google.protobuf` that has a JSON of its own.
fn well_known(message: &DynamicMessage, name: &str) -> Option<Out> {
    Some(match name {
        "Timestamp" => time(message),
        "Struct" => {
            let free: prost_types::Struct = message.transcode_to().unwrap_or_default();
            Out::Object(contracts::convert::from_struct(&free))
        }
        "ListValue" => free_list(message.transcode_to().unwrap_or_default()),
        "Value" => {
            let free: prost_types::Value = message.transcode_to().unwrap_or_default();
            let list = free_list(prost_types::ListValue { values: vec![free] });
            list.get(0).cloned().unwrap_or(Out::Null)
        }
        _ => return None,
    })
}

/// A free list, by way of an object: free values have one reader.
fn free_list(list: prost_types::ListValue) -> Out {
    let value = prost_types::Value {
        kind: Some(prost_types::value::Kind::ListValue(list)),
    };
    let holder = prost_types::Struct {
        fields: [(String::new(), value)].into(),
    };
    contracts::convert::from_struct(&holder)
        .remove("")
        .unwrap_or(Out::Null)
}

fn time(message: &DynamicMessage) -> Out {
    let part = |number| message.get_field_by_number(number);
    let wire = prost_types::Timestamp {
        seconds: part(1).and_then(|value| value.as_i64()).unwrap_or_default(),
        nanos: part(2).and_then(|value| value.as_i32()).unwrap_or_default(),
    };
    contracts::convert::from_timestamp(&wire).map_or(Out::Null, |at| Out::String(at.to_string()))
}

/// A field's value; `kind` is the field's, or for maps that of the entry.
fn value(value: &Value, kind: &Kind) -> Out {
    match value {
        Value::Bool(v) => Out::Bool(*v),
        Value::I32(v) => (*v).into(),
        Value::I64(v) => (*v).into(),
        Value::U32(v) => (*v).into(),
        Value::U64(v) => (*v).into(),
        Value::F32(v) => contracts::convert::number(f64::from(*v)),
        Value::F64(v) => contracts::convert::number(*v),
        Value::String(v) => Out::String(v.clone()),
        Value::Bytes(v) => Out::String(STANDARD.encode(v)),
        Value::EnumNumber(number) => enumerator(*number, kind),
        Value::Message(message) => to_json(message),
        Value::List(items) => Out::Array(items.iter().map(|item| self::value(item, kind)).collect()),
        Value::Map(entries) => map(entries, kind),
    }
}

fn enumerator(number: i32, kind: &Kind) -> Out {
    let Kind::Enum(of) = kind else {
        return number.into();
    };
    match of.get_value(number) {
        // Unspecified says nothing.
        Some(_) if number == 0 => Out::Null,
        Some(value) => {
            let prefix = field_value::prefix_of(of);
            value.name().strip_prefix(&prefix).unwrap_or(value.name()).into()
        }
        // A value of a newer release.
        None => number.into(),
    }
}

fn map(entries: &std::collections::HashMap<MapKey, Value>, kind: &Kind) -> Out {
    let Kind::Message(entry) = kind else {
        return Out::Null;
    };
    let of = entry.map_entry_value_field().kind();
    let mut sorted: Vec<(String, Out)> = entries.iter().map(|(k, v)| (key(k), value(v, &of))).collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    Out::Object(sorted.into_iter().collect())
}

fn key(key: &MapKey) -> String {
    match key {
        MapKey::Bool(v) => v.to_string(),
        MapKey::I32(v) => v.to_string(),
        MapKey::I64(v) => v.to_string(),
        MapKey::U32(v) => v.to_string(),
        MapKey::U64(v) => v.to_string(),
        MapKey::String(v) => v.clone(),
    }
}

#[cfg(test)]
mod tests {
    use contracts::crm::v1::{Account, ListAccountsResponse};
    use prost::Message as _;

    use super::*;
    use crate::contract::Contract;

    #[test]
    fn a_page_follows_the_conventions() {
        let page = ListAccountsResponse {
            data: vec![Account {
                id: "a".into(),
                tier: contracts::scores::v1::Tier::Hot.into(),
                version: 9_007_199_254_740_993,
                created_at: Some(prost_types::Timestamp {
                    seconds: 1_700_000_000,
                    nanos: 500_000_000,
                }),
                ..Account::default()
            }],
            ..ListAccountsResponse::default()
        };
        let contract = Contract::load().unwrap();
        let of = contract
            .pool()
            .get_message_by_name("devsignal.crm.v1.ListAccountsResponse")
            .unwrap();
        let message = DynamicMessage::decode(of, page.encode_to_vec().as_slice()).unwrap();
        assert_eq!(
            to_json(&message).to_string(),
            r#"{"data":[{"id":"a","name":"","tier":"HOT","trend":null,"contactCount":0,"createdAt":"2023-11-14T22:13:20.5Z","version":9007199254740993,"tags":[]}],"nextCursor":null,"hasMore":false}"#
        );
    }
}
