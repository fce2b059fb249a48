//! What of a message may be kept.

use bytes::Bytes;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::{Map, Value};

/// Larger messages are told by their size only.
const MAX_BYTES: usize = 1 << 20;
/// Parts of names whose values are left out.
const SECRETS: [&str; 4] = ["password", "secret", "token", "credential"];

/// A message as JSON without secrets.
pub(super) fn told(message: &MessageDescriptor, bytes: &Bytes) -> Value {
    if bytes.len() > MAX_BYTES {
        return serde_json::json!({ "bytes": bytes.len() });
    }
    let read = DynamicMessage::decode(message.clone(), bytes.clone());
    let mut json = read.map_or(Value::Null, |message| crate::transcode::to_json(&message));
    redact(&mut json);
    match json {
        object @ Value::Object(_) => object,
        _ => Value::Object(Map::new()),
    }
}

fn redact(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                let lower = name.to_lowercase();
                // `headers` are those of a webhook, with credentials. `key` is the text of an API key; `fieldKey` and such are names.
                let hidden =
                    lower == "key" || lower == "headers" || SECRETS.iter().any(|part| lower.contains(part));
                if hidden && (value.is_string() || value.is_array() || value.is_object()) {
                    *value = Value::from("[redacted]");
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        // jsonb takes no NUL.
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{fffd}"),
        _ => {}
    }
}

/// The id of an answer's one record.
pub(super) fn record_of(json: &Value) -> Option<String> {
    let fields = json.as_object()?;
    let own = fields.values().find_map(|v| v.get("id").and_then(Value::as_str));
    own.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_left_out_at_any_depth() {
        let mut json =
            json!({"name": "a", "password": "p", "list": [{"accessToken": "t", "key": "k"}], "tags": ["x"]});
        redact(&mut json);
        assert_eq!(
            json,
            json!({"name": "a", "password": "[redacted]", "list": [{"accessToken": "[redacted]", "key": "[redacted]"}], "tags": ["x"]})
        );
    }

    #[test]
    fn the_record_is_the_answers() {
        assert_eq!(record_of(&json!({"deal": {"id": "d"}})).as_deref(), Some("d"));
        assert_eq!(record_of(&json!({"name": "n"})), None);
    }
}
