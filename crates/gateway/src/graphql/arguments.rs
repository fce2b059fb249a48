//! From a field's arguments to the request message: the same reading as for REST, so the same faults at the same places.

use async_graphql::dynamic::ObjectAccessor;
use errors::ApiError;
use prost_reflect::{DynamicMessage, Value as Field};
use serde_json::{Map, Value};

use crate::transcode::{Json, Route, fill, path_value};

/// The name of the argument that holds what a body would.
pub const INPUT: &str = "input";

/// Fills the request of a route. `paths` are the arguments that stand for the fields of the path, in their order.
///
/// # Errors
/// `invalid_id`, `validation_failed`.
pub fn request(
    route: &Route,
    paths: &[String],
    args: &ObjectAccessor<'_>,
) -> Result<DynamicMessage, ApiError> {
    let mut message = DynamicMessage::new(route.input.clone());
    let from_path: Vec<_> = route.path_fields().cloned().collect();
    for (field, name) in from_path.iter().zip(paths) {
        let text = args.get(name).and_then(|v| v.string().ok().map(str::to_owned));
        let text =
            text.ok_or_else(|| ApiError::invalid(format!("/{name}"), "required", "an id is required"))?;
        message.set_field(field, Field::String(path_value(field, text)?));
    }
    let mut body = Map::new();
    for (name, value) in args
        .iter()
        .filter(|(name, _)| !paths.iter().any(|p| p == name.as_str()))
    {
        let json = value.as_value().clone().into_json();
        let json = json.map_err(|_| ApiError::invalid(format!("/{name}"), "wrong_type", "not a value"))?;
        match json {
            Value::Object(fields) if name == INPUT => body.extend(fields),
            json => drop(body.insert(name.to_string(), json)),
        }
    }
    fill(&mut message, &strict(Value::Object(body)), &from_path)?;
    Ok(message)
}

/// As the reader of bodies would have read it.
fn strict(value: Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(flag) => Json::Bool(flag),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(whole), ..) => Json::Int(whole.into()),
            (_, Some(whole), _) => Json::Int(whole.into()),
            (.., Some(float)) => Json::Float(float),
            _ => Json::Null,
        },
        Value::String(text) => Json::Text(text),
        Value::Array(items) => Json::List(items.into_iter().map(strict).collect()),
        Value::Object(entries) => Json::Object(
            entries
                .into_iter()
                .map(|(key, value)| (key, strict(value)))
                .collect(),
        ),
    }
}
