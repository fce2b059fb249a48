//! The values of a record: what a change makes of them, and whether they fit fields that change.

use errors::FieldError;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::schema::{Field, Target};
use super::{CustomObject, MAX_VALUES_BYTES};

/// The values after a change.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct After {
    /// The values, by key.
    pub values: Map<String, Value>,
    /// References to check: where they stand, and to what.
    pub references: Vec<(String, Target, Uuid)>,
}

fn pointer(key: &str) -> String {
    format!("/values/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Applies `given` to what a record holds, nothing for a new one. Null removes; what is absent stays; a new record gets the
/// defaults.
///
/// # Errors
/// Everything that does not fit, at its place under `/values`.
pub fn apply(
    object: &CustomObject,
    held: Option<&Map<String, Value>>,
    given: &Map<String, Value>,
) -> Result<After, Vec<FieldError>> {
    let mut problems = Vec::new();
    let mut after = After {
        values: held.cloned().unwrap_or_default(),
        references: Vec::new(),
    };
    for (key, value) in given {
        let pointer = pointer(key);
        let Some(field) = object.field(key) else {
            problems.push(FieldError::new(
                pointer,
                "unknown_field",
                "there is no such field",
            ));
            continue;
        };
        if value.is_null() {
            after.values.shift_remove(key);
            if field.rule.required {
                problems.push(FieldError::new(pointer, "required", "this field is required"));
            }
            continue;
        }
        match field.rule.check(value) {
            Ok(value) => {
                let id = value.as_str().and_then(|text| text.parse().ok());
                if let (Some(target), Some(id)) = (&field.target, id) {
                    after.references.push((pointer, target.clone(), id));
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
    if held.is_none() {
        complete(object, given, &mut after.values, &mut problems);
    }
    if serde_json::to_vec(&after.values).map_or(0, |bytes| bytes.len()) > MAX_VALUES_BYTES {
        problems.push(FieldError::new(
            "/values",
            "too_large",
            "a record has at most 64 KiB",
        ));
    }
    if problems.is_empty() {
        Ok(after)
    } else {
        Err(problems)
    }
}

/// Defaults, and what is required.
fn complete(
    object: &CustomObject,
    given: &Map<String, Value>,
    values: &mut Map<String, Value>,
    problems: &mut Vec<FieldError>,
) {
    for Field { rule, .. } in &object.fields {
        if values.contains_key(&rule.key) || given.contains_key(&rule.key) {
            continue;
        }
        match &rule.default {
            Some(value) => {
                values.insert(rule.key.clone(), value.clone());
            }
            None if rule.required => {
                let message = "this field is required";
                problems.push(FieldError::new(pointer(&rule.key), "required", message));
            }
            None => {}
        }
    }
}

/// The values of a record under new fields: values of fields that are no more are gone, those that do not fit any more are gone
/// where `dropped` names the field, those that are needed are filled in from `backfill`.
///
/// # Errors
/// The keys whose values do not fit or are missing, each with a stable word.
pub fn fit(
    fields: &[Field],
    held: &Map<String, Value>,
    dropped: &[String],
    backfill: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<(String, &'static str)>> {
    let mut misfits = Vec::new();
    let mut values = Map::new();
    for Field { rule, .. } in fields {
        let key = &rule.key;
        let mut value = None;
        if let Some(held) = held.get(key) {
            match rule.check(held) {
                Ok(fitting) => value = Some(fitting),
                Err(_) if dropped.contains(key) => {}
                Err(problem) => {
                    misfits.push((key.clone(), problem.code));
                    continue;
                }
            }
        }
        if value.is_none() && rule.required {
            value = backfill.get(key).or(rule.default.as_ref()).cloned();
            if value.is_none() {
                misfits.push((key.clone(), "required"));
            }
        }
        if let Some(value) = value {
            values.insert(key.clone(), value);
        }
    }
    if misfits.is_empty() {
        Ok(values)
    } else {
        Err(misfits)
    }
}
