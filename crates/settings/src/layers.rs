//! The layers as sources of the `config` crate, and which layer set which key.
//!
//! Must not interpret settings: it only knows paths and raw values.

use std::collections::{BTreeMap, HashMap};

use config::{Config, ConfigError, Source, Value, ValueKind};
use serde_json::Value as Json;

use crate::SettingsError;

/// One in-memory layer: dotted path to value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layer(HashMap<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<HashMap<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// The environment's layer, with the variable behind each dotted path.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    pub(crate) layer: Layer,
    pub(crate) variables: BTreeMap<String, String>,
}

/// `DEVSIGNAL_<SERVICE>`: upper case, dashes as underscores.
fn variable_prefix(service: &str) -> String {
    format!("DEVSIGNAL_{}", service.to_uppercase().replace('-', "_"))
}

/// Takes the variables of one service. Values stay text and are converted by the type of the
/// setting, so that a password of digits stays what it is; where `beneath` (the layers below)
/// shows a list, the value is read as a TOML list.
pub(crate) fn environment(
    service: &str,
    variables: impl Iterator<Item = (String, String)>,
    beneath: &Config,
) -> Result<Environment, SettingsError> {
    let prefix = variable_prefix(service);
    let mut found = Environment::default();
    for (variable, text) in variables {
        let Some(rest) = strip_prefix_ignoring_case(&variable, &prefix) else {
            continue;
        };
        let Some(keys) = rest.strip_prefix("__") else {
            if rest.starts_with('_') {
                return Err(SettingsError::Environment {
                    variable,
                    reason: format!("two underscores must follow {prefix}"),
                });
            }
            continue;
        };
        let path = keys.to_lowercase().replace("__", ".");
        if path.is_empty() || path.split('.').any(str::is_empty) {
            return Err(SettingsError::Environment {
                variable,
                reason: "a section or key is empty".to_owned(),
            });
        }
        let value = match beneath.get::<Value>(&path).map(|value| value.kind) {
            Ok(ValueKind::Array(_)) => list(&variable, &text)?,
            _ => Value::new(Some(&variable), text),
        };
        if let Some(other) = found.variables.insert(path.clone(), variable.clone()) {
            return Err(SettingsError::Environment {
                variable,
                reason: format!("it names the same setting as {other}"),
            });
        }
        found.layer.0.insert(path, value);
    }
    Ok(found)
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// A list setting from the environment: `["a", "b"]` or `[1, 2]`.
fn list(variable: &str, text: &str) -> Result<Value, SettingsError> {
    let refuse = || SettingsError::Environment {
        variable: variable.to_owned(),
        reason: r#"the setting is a list; write it as ["a", "b"]"#.to_owned(),
    };
    let document = config::File::from_str(&format!("list = {text}"), config::FileFormat::Toml);
    let mut parsed = document.collect().map_err(|_| refuse())?;
    match (parsed.len(), parsed.remove("list")) {
        (1, Some(value)) if matches!(value.kind, ValueKind::Array(_)) => Ok(value),
        _ => Err(refuse()),
    }
}

/// The overrides' layer: a JSON object of sections.
pub(crate) fn overrides(service: &str, value: Json) -> Result<Layer, SettingsError> {
    let Json::Object(sections) = value else {
        return Err(SettingsError::Overrides {
            service: service.to_owned(),
        });
    };
    Ok(Layer(
        sections
            .into_iter()
            .map(|(key, value)| (key, from_json(value)))
            .collect(),
    ))
}

fn from_json(value: Json) -> Value {
    let kind = match value {
        Json::Null => ValueKind::Nil,
        Json::Bool(flag) => ValueKind::Boolean(flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(signed), _) => ValueKind::I64(signed),
            (None, Some(unsigned)) => ValueKind::U64(unsigned),
            (None, None) => number.as_f64().map_or(ValueKind::Nil, ValueKind::Float),
        },
        Json::String(text) => ValueKind::String(text),
        Json::Array(items) => ValueKind::Array(items.into_iter().map(from_json).collect()),
        Json::Object(fields) => ValueKind::Table(
            fields
                .into_iter()
                .map(|(key, value)| (key, from_json(value)))
                .collect(),
        ),
    };
    Value::new(Some(&"overrides".to_owned()), kind)
}
