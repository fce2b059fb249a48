//! The thin form of an event: only the ids in its data.

use serde_json::{Map, Value};

/// Deepest level of `data` that is looked at.
const DEPTH: usize = 4;

/// The event with nothing in `data` but ids, wherever they stand.
#[must_use]
pub fn thin(mut event: Value) -> Value {
    if let Some(data) = event.get_mut("data") {
        let ids = data.as_object().map(|fields| ids_of(fields, DEPTH));
        *data = Value::Object(ids.unwrap_or_default());
    }
    event
}

fn ids_of(fields: &Map<String, Value>, depth: usize) -> Map<String, Value> {
    let kept = fields.iter().filter_map(|(name, value)| {
        let is_id = name == "id" || name.ends_with("Id") || name.ends_with("Ids");
        let kept = match value {
            Value::Object(inner) if depth > 1 => {
                let inner = ids_of(inner, depth - 1);
                (!inner.is_empty()).then_some(Value::Object(inner))?
            }
            Value::String(_) | Value::Array(_) if is_id => value.clone(),
            _ => return None,
        };
        Some((name.clone(), kept))
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_ids_stay() {
        let event = json!({"id": "e", "type": "deal.created", "data": {"deal": {"id": "d", "accountId": "a", "name": "x",
            "amount": {"units": 1}}, "signalIds": ["s"], "reason": "y"}});
        assert_eq!(
            thin(event),
            json!({"id": "e", "type": "deal.created", "data": {"deal": {"id": "d", "accountId": "a"}, "signalIds": ["s"]}})
        );
    }
}
