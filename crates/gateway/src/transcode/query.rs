//! Query parameters to request fields.

use std::collections::{HashMap, HashSet};

use errors::{ApiError, ErrorCode, FieldError};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};

use super::conditional::IF_VERSION;
use super::field_value::{self, Misfit};
use super::path::decode;
use crate::http::unknown_parameter;

/// More parameters than these are refused.
const MAX_PARAMETERS: usize = 100;

/// The parameter that asks for a sparse answer; it belongs to no message.
const FIELDS: &str = "fields";
/// Parameters of lists that mean nothing when empty; whoever sends them so has lost a value.
const NEVER_EMPTY: [&str; 2] = ["sort", "include"];

/// Fields of a request that say how it is done, not what: they come from the query, also when there is a body.
pub const CONTROL: [&str; 2] = ["dry_run", "match"];

/// Fills the fields of `message` that are not in `skip`. Without `fields_allowed` (the body gives them), only those of
/// [`CONTROL`] and `fields` may be given. Returns the value of `fields`.
///
/// # Errors
/// `invalid_parameter` at the first parameter that is unknown, repeated or cannot be read.
pub fn fill(
    message: &mut DynamicMessage,
    query: &str,
    fields_allowed: bool,
    skip: &[FieldDescriptor],
) -> Result<Option<String>, ApiError> {
    let allowed: Vec<_> = allowed_of(&message.descriptor(), skip)
        .into_iter()
        .filter(|field| fields_allowed || CONTROL.contains(&field.name()))
        .collect();
    let (mut sparse, mut seen) = (None, HashSet::new());
    let mut maps: HashMap<String, HashMap<MapKey, Value>> = HashMap::new();
    for (count, part) in query.split('&').filter(|part| !part.is_empty()).enumerate() {
        let (name, text) = decode_parameter(part)?;
        if count >= MAX_PARAMETERS {
            return Err(invalid(
                &name,
                Misfit::new("too_many", "there are too many parameters"),
            ));
        }
        if !seen.insert(name.clone()) {
            return Err(invalid(
                &name,
                Misfit::new("repeated", "the parameter is given twice"),
            ));
        }
        if name == FIELDS {
            sparse = Some(text);
            continue;
        }
        let (base, key) = bracketed(&name);
        let field = allowed
            .iter()
            .find(|f| f.json_name() == base && f.is_map() == key.is_some())
            .ok_or_else(|| unknown_parameter(&name, &listed(&allowed)))?;
        match key {
            None if field.is_list() => return Err(unknown_parameter(&name, &listed(&allowed))),
            None if text.is_empty() && NEVER_EMPTY.contains(&field.name()) => {
                return Err(invalid(&name, Misfit::new("required", "must not be empty")));
            }
            None => {
                let value = field_value::from_text(&field.kind(), &text).map_err(|m| invalid(&name, m))?;
                message.set_field(field, value);
            }
            Some(key) => {
                let value = field_value::string(&text).map_err(|m| invalid(&name, m))?;
                let key = MapKey::String(key.to_owned());
                maps.entry(field.name().to_owned())
                    .or_default()
                    .insert(key, Value::String(value));
            }
        }
    }
    for (name, entries) in maps {
        message.set_field_by_name(&name, Value::Map(entries));
    }
    Ok(sparse)
}

/// One `name=value`, decoded.
///
/// # Errors
/// `invalid_parameter` when it cannot be.
pub fn decode_parameter(part: &str) -> Result<(String, String), ApiError> {
    let (name, text) = part.split_once('=').unwrap_or((part, ""));
    let decoded = decode(name, true).zip(decode(text, true));
    decoded
        .filter(|(name, text)| !name.contains('\0') && !text.contains('\0'))
        .ok_or_else(|| {
            ApiError::new(
                ErrorCode::InvalidParameter,
                "the query is not percent-encoded UTF-8 without U+0000",
            )
        })
}

/// `filter[tier]` is the key `tier` of the map `filter`.
fn bracketed(name: &str) -> (&str, Option<&str>) {
    match name.split_once('[') {
        Some((base, rest)) => match rest.strip_suffix(']') {
            Some(key) if !key.is_empty() && !key.contains(['[', ']']) => (base, Some(key)),
            _ => (name, None),
        },
        None => (name, None),
    }
}

/// Whether a parameter's text can give such a value.
fn fits(kind: &Kind) -> bool {
    match kind {
        Kind::Message(of) => of.full_name() == field_value::TIMESTAMP,
        Kind::Bytes | Kind::Float => false,
        _ => true,
    }
}

/// The fields of a request that parameters can give.
pub fn allowed_of(message: &MessageDescriptor, skip: &[FieldDescriptor]) -> Vec<FieldDescriptor> {
    let from_query = |field: &FieldDescriptor| {
        if field.is_map() {
            let Kind::Message(entry) = field.kind() else {
                return false;
            };
            return entry.map_entry_key_field().kind() == Kind::String
                && entry.map_entry_value_field().kind() == Kind::String;
        }
        !field.is_list() && field.name() != IF_VERSION && !skip.contains(field) && fits(&field.kind())
    };
    message.fields().filter(from_query).collect()
}

fn listed(allowed: &[FieldDescriptor]) -> String {
    let name = |f: &FieldDescriptor| {
        if f.is_map() {
            format!("{}[…]", f.json_name())
        } else {
            f.json_name().to_owned()
        }
    };
    let names: Vec<_> = allowed.iter().map(name).chain([FIELDS.to_owned()]).collect();
    names.join(", ")
}

fn invalid(name: &str, misfit: Misfit) -> ApiError {
    let name: String = name.chars().take(100).collect();
    let mut error = ApiError::new(
        ErrorCode::InvalidParameter,
        format!("`{name}`: {}", misfit.message),
    );
    error.fields = vec![FieldError::new(format!("?{name}"), misfit.code, misfit.message)];
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Contract;
    use crate::transcode::to_json;

    fn read(query: &str) -> Result<(serde_json::Value, Option<String>), String> {
        let contract = Contract::load().unwrap();
        let of = contract
            .pool()
            .get_message_by_name("devsignal.signals.v1.ListSignalsRequest")
            .unwrap();
        let mut message = DynamicMessage::new(of);
        match fill(&mut message, query, true, &[]) {
            Ok(sparse) => Ok((to_json(&message), sparse)),
            Err(error) => {
                assert_eq!(error.code, ErrorCode::InvalidParameter);
                Err(error
                    .fields
                    .first()
                    .map(|f| f.pointer.clone())
                    .unwrap_or_default())
            }
        }
    }

    #[test]
    fn parameters_become_fields() {
        let (json, sparse) =
            read("limit=5&filter%5Btype%5D=a+b&filter[sourceId]=%C3%A9&from=2024-01-01T00:00:00Z&fields=id")
                .unwrap();
        assert_eq!(json["limit"], 5);
        assert_eq!(
            json["filter"],
            serde_json::json!({"type": "a b", "sourceId": "é"})
        );
        assert_eq!(json["from"], "2024-01-01T00:00:00Z");
        assert_eq!(sparse.as_deref(), Some("id"));
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for (query, pointer) in [
            ("dryRun=true", "?dryRun"),
            ("limit=1&limit=2", "?limit"),
            ("limit=2147483648", "?limit"),
            ("limit=+1", "?limit"),
            ("limit=1.0", "?limit"),
            ("limit=", "?limit"),
            ("filter=x", "?filter"),
            ("filter[]=x", "?filter[]"),
            ("filter[a][b]=x", "?filter[a][b]"),
            ("filter[a]=x&filter[a]=y", "?filter[a]"),
            ("limit[a]=1", "?limit[a]"),
            ("from=yesterday", "?from"),
            ("from=1704067200", "?from"),
            ("account_id=x", "?account_id"),
            ("cursor=%00", ""),
            ("cursor=%ff", ""),
            ("cursor=%zz", ""),
        ] {
            assert_eq!(read(query).unwrap_err(), pointer, "{query}");
        }
    }
}
