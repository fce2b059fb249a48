//! Between wire types and the types we compute with: time, free-form data, ids.

use jiff::Timestamp;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::{Map, Number};

/// Deepest nesting of free-form data; deeper data is refused at the edge (prost itself stops at 100).
pub const MAX_DEPTH: usize = 32;

/// To the wire.
#[must_use]
pub fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let (mut seconds, mut nanos) = (at.as_second(), at.subsec_nanosecond());
    // The wire counts nanoseconds upward from the second, also before 1970.
    if nanos < 0 {
        seconds -= 1;
        nanos += 1_000_000_000;
    }
    prost_types::Timestamp { seconds, nanos }
}

/// From the wire; `None` when outside of the years -9999 to 9999 or not normalised.
#[must_use]
pub fn from_timestamp(at: &prost_types::Timestamp) -> Option<Timestamp> {
    if !(0..1_000_000_000).contains(&at.nanos) {
        return None;
    }
    Timestamp::new(at.seconds, at.nanos).ok()
}

/// JSON object to the wire. Numbers become IEEE 754 doubles, as `google.protobuf.Struct` defines.
#[must_use]
pub fn to_struct(object: Map<String, serde_json::Value>) -> Struct {
    Struct {
        fields: object.into_iter().map(|(k, v)| (k, to_value(v))).collect(),
    }
}

/// Any JSON to the wire; see [`to_struct`].
#[must_use]
pub fn to_value(value: serde_json::Value) -> Value {
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(b) => Kind::BoolValue(b),
        serde_json::Value::Number(n) => Kind::NumberValue(n.as_f64().unwrap_or_default()),
        serde_json::Value::String(s) => Kind::StringValue(s),
        serde_json::Value::Array(items) => Kind::ListValue(ListValue {
            values: items.into_iter().map(to_value).collect(),
        }),
        serde_json::Value::Object(object) => Kind::StructValue(to_struct(object)),
    };
    Value { kind: Some(kind) }
}

/// Free-form data back to JSON. Whole numbers are written without a fraction.
#[must_use]
pub fn from_struct(data: &Struct) -> Map<String, serde_json::Value> {
    data.fields
        .iter()
        .map(|(k, v)| (k.clone(), from_value(v)))
        .collect()
}

/// Any free-form value back to JSON; see [`from_struct`].
#[must_use]
pub fn from_value(value: &Value) -> serde_json::Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(b)) => serde_json::Value::Bool(*b),
        Some(Kind::NumberValue(n)) => number(*n),
        Some(Kind::StringValue(s)) => serde_json::Value::String(s.clone()),
        Some(Kind::ListValue(list)) => serde_json::Value::Array(list.values.iter().map(from_value).collect()),
        Some(Kind::StructValue(data)) => serde_json::Value::Object(from_struct(data)),
    }
}

/// A double as a JSON number: whole numbers that a double holds exactly are written as integers.
#[must_use]
pub fn number(n: f64) -> serde_json::Value {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    if n.fract() == 0.0 && n.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return serde_json::Value::Number(Number::from(n as i64));
    }
    Number::from_f64(n).map_or(serde_json::Value::Null, serde_json::Value::Number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn time_round_trips(micros in -60_000_000_000_000_000_i64..250_000_000_000_000_000_i64) {
            let at = Timestamp::from_microsecond(micros).unwrap();
            prop_assert_eq!(from_timestamp(&timestamp(at)), Some(at));
        }

        #[test]
        fn numbers_round_trip(n in proptest::num::f64::NORMAL) {
            prop_assert_eq!(number(n).as_f64(), Some(n));
        }
    }

    #[test]
    fn free_form_data_round_trips() {
        let text = r#"{"a":1,"b":[true,null,"x",1.5],"c":{"d":"é"}}"#;
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let object = value.as_object().unwrap().clone();
        assert_eq!(serde_json::Value::Object(from_struct(&to_struct(object))), value);
    }

    #[test]
    fn a_time_that_is_not_normalised_is_refused() {
        assert_eq!(
            from_timestamp(&prost_types::Timestamp {
                seconds: 0,
                nanos: -1
            }),
            None
        );
        assert_eq!(
            from_timestamp(&prost_types::Timestamp {
                seconds: i64::MAX,
                nanos: 0
            }),
            None
        );
    }
}
