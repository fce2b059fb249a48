//! Own fields of one record: what a change makes of its values.

use std::collections::BTreeMap;

use errors::FieldError;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::custom::Definition;
use super::extras::Object;

/// The values of a record after a change.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values {
    /// The values, by key.
    pub values: Map<String, Value>,
    /// References to check: where they stand, and to what.
    pub references: Vec<(String, Object, Uuid)>,
}

/// Applies `given` to `held`. Null removes; what is absent stays; a new record gets the defaults.
///
/// # Errors
/// Everything that does not fit, at its place under `/customFields`.
pub fn apply(
    definitions: &BTreeMap<String, Definition>,
    held: &Map<String, Value>,
    given: &Map<String, Value>,
    is_new: bool,
) -> Result<Values, Vec<FieldError>> {
    let mut problems = Vec::new();
    let mut after = Values {
        values: held.clone(),
        references: Vec::new(),
    };
    for (key, value) in given {
        let pointer = format!("/customFields/{}", key.replace('~', "~0").replace('/', "~1"));
        let Some(definition) = definitions.get(key) else {
            problems.push(FieldError::new(
                pointer,
                "unknown_field",
                "there is no such field",
            ));
            continue;
        };
        if value.is_null() {
            after.values.shift_remove(key);
            if definition.required {
                problems.push(FieldError::new(
                    pointer,
                    "required",
                    "this field cannot be removed",
                ));
            }
            continue;
        }
        match definition.check(value) {
            Ok(value) => {
                let target = value.as_str().and_then(|text| text.parse().ok());
                if let (Some(object), Some(id)) = (definition.reference, target) {
                    after.references.push((pointer, object, id));
                }
                after.values.insert(key.clone(), value);
            }
            Err(problem) => problems.push(FieldError::new(
                format!("{pointer}{}", problem.place),
                problem.code,
                problem.message,
            )),
        }
    }
    if is_new {
        complete(definitions, given, &mut after.values, &mut problems);
    }
    if problems.is_empty() {
        Ok(after)
    } else {
        Err(problems)
    }
}

/// Defaults, and what is required.
fn complete(
    definitions: &BTreeMap<String, Definition>,
    given: &Map<String, Value>,
    values: &mut Map<String, Value>,
    problems: &mut Vec<FieldError>,
) {
    for (key, definition) in definitions {
        if values.contains_key(key) || given.contains_key(key) {
            continue;
        }
        match &definition.default {
            Some(value) => {
                values.insert(key.clone(), value.clone());
            }
            None if definition.required => problems.push(FieldError::new(
                format!("/customFields/{key}"),
                "required",
                "this field is required",
            )),
            None => {}
        }
    }
}
