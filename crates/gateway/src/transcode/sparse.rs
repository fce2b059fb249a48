//! `fields=id,name,identities.type`: answers with only what was asked for.

use std::collections::BTreeMap;

use errors::{ApiError, ErrorCode, FieldError};
use prost_reflect::{Kind, MessageDescriptor};
use serde_json::Value as Out;

/// A tree of wanted fields; an empty one means everything below.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, Fields>);

/// Longest list of names.
const MAX_NAMES: usize = 100;

impl Fields {
    /// Reads the parameter for records of a message.
    ///
    /// # Errors
    /// `invalid_parameter` at `?fields` for a name that the record does not have.
    pub fn parse(text: &str, record: &MessageDescriptor) -> Result<Self, ApiError> {
        let mut fields = Self::default();
        let names: Vec<&str> = text.split(',').collect();
        if names.len() > MAX_NAMES {
            return Err(invalid(
                "too_many",
                format!("at most {MAX_NAMES} names are allowed"),
            ));
        }
        for name in names {
            fields.add(name, record)?;
        }
        Ok(fields)
    }

    fn add(&mut self, name: &str, record: &MessageDescriptor) -> Result<(), ApiError> {
        let (mut at, mut of) = (self, Some(record.clone()));
        for part in name.split('.') {
            of = match of {
                // Free-form data has any names.
                None => None,
                Some(message) => match message.get_field_by_json_name(part).map(|f| f.kind()) {
                    None => return Err(unknown(part, &message)),
                    Some(Kind::Message(below)) if !is_free(&below) => Some(below),
                    Some(_) => None,
                },
            };
            at = at.0.entry(part.to_owned()).or_default();
        }
        Ok(())
    }

    /// Leaves only the wanted fields of a record.
    pub fn apply(&self, record: &mut Out) {
        if self.0.is_empty() {
            return;
        }
        match record {
            Out::Object(object) => {
                object.retain(|key, _| self.0.contains_key(key));
                for (key, value) in object.iter_mut() {
                    if let Some(below) = self.0.get(key) {
                        below.apply(value);
                    }
                }
            }
            Out::Array(items) => items.iter_mut().for_each(|item| self.apply(item)),
            _ => {}
        }
    }
}

fn is_free(message: &MessageDescriptor) -> bool {
    message.package_name() == "google.protobuf" || message.is_map_entry()
}

fn unknown(name: &str, message: &MessageDescriptor) -> ApiError {
    let allowed: Vec<_> = message.fields().map(|f| f.json_name().to_owned()).collect();
    let name: String = name.chars().take(60).collect();
    invalid(
        "unknown_field",
        format!("there is no field `{name}`; there are {}", allowed.join(", ")),
    )
}

fn invalid(code: &str, message: String) -> ApiError {
    let mut error = ApiError::new(ErrorCode::InvalidParameter, message.clone());
    error.fields = vec![FieldError::new("?fields", code, message)];
    error
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::contract::Contract;

    #[test]
    fn only_the_wanted_fields_stay() {
        let contract = Contract::load().unwrap();
        let contact = contract
            .pool()
            .get_message_by_name("devsignal.crm.v1.Contact")
            .unwrap();
        let fields = Fields::parse("id,identities.type", &contact).unwrap();
        let mut record = json!({"id": 1, "name": "x", "identities": [{"type": "a", "value": "b"}]});
        fields.apply(&mut record);
        assert_eq!(record, json!({"id": 1, "identities": [{"type": "a"}]}));
        for bad in ["", "id,", "nope", "identities.nope", "orgId", "id name"] {
            assert!(Fields::parse(bad, &contact).is_err(), "{bad}");
        }
    }
}
