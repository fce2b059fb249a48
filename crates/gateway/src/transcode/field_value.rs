//! Single values: from JSON or from a parameter's text to a field's value.

use jiff::Timestamp;
use prost_reflect::{DynamicMessage, EnumDescriptor, Kind, MessageDescriptor, Value};

use super::Json;

/// Why a value does not fit: a stable word, and a sentence.
pub struct Misfit {
    /// For `FieldError::code`.
    pub code: &'static str,
    /// For `FieldError::message`.
    pub message: String,
}

impl Misfit {
    /// A misfit.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// A scalar from JSON. Messages are not scalars.
pub fn from_json(kind: &Kind, json: &Json) -> Result<Value, Misfit> {
    match (kind, json) {
        (Kind::String, Json::Text(text)) => string(text).map(Value::String),
        (Kind::Bool, Json::Bool(flag)) => Ok(Value::Bool(*flag)),
        (Kind::Double, Json::Int(_) | Json::Float(_)) => number(json).map(Value::F64),
        (Kind::Int32 | Kind::Sint32 | Kind::Sfixed32, _) => integer(json).map(Value::I32),
        (Kind::Int64 | Kind::Sint64 | Kind::Sfixed64, _) => integer(json).map(Value::I64),
        (Kind::Uint32 | Kind::Fixed32, _) => integer(json).map(Value::U32),
        (Kind::Uint64 | Kind::Fixed64, _) => integer(json).map(Value::U64),
        (Kind::Enum(of), Json::Text(text)) => enumerator(of, text),
        _ => Err(wrong_type(kind)),
    }
}

/// A scalar or a time from a parameter's text.
pub fn from_text(kind: &Kind, text: &str) -> Result<Value, Misfit> {
    let parsed = |what: &str| Misfit::new("invalid_value", format!("`{}` is not {what}", shortened(text)));
    match kind {
        Kind::String => string(text).map(Value::String),
        Kind::Bool => text.parse().map(Value::Bool).map_err(|_| parsed("true or false")),
        Kind::Double => {
            let number: f64 = text.parse().map_err(|_| parsed("a number"))?;
            if number.is_finite() {
                Ok(Value::F64(number))
            } else {
                Err(parsed("a number"))
            }
        }
        Kind::Int32 => plain(text)
            .map(Value::I32)
            .ok_or_else(|| parsed("a 32-bit whole number")),
        Kind::Int64 => plain(text)
            .map(Value::I64)
            .ok_or_else(|| parsed("a 64-bit whole number")),
        Kind::Uint32 => plain(text)
            .map(Value::U32)
            .ok_or_else(|| parsed("a 32-bit whole number")),
        Kind::Uint64 => plain(text)
            .map(Value::U64)
            .ok_or_else(|| parsed("a 64-bit whole number")),
        Kind::Enum(of) => enumerator(of, text),
        Kind::Message(of) if of.full_name() == TIMESTAMP => time(of, text),
        _ => Err(Misfit::new(
            "unsupported",
            "this parameter cannot be given in the query",
        )),
    }
}

/// Full name of the message of times.
pub const TIMESTAMP: &str = "google.protobuf.Timestamp";

/// An RFC 3339 time between the years 1 and 9999.
pub fn time(of: &MessageDescriptor, text: &str) -> Result<Value, Misfit> {
    let refuse = || {
        Misfit::new(
            "invalid_time",
            format!("`{}` is not an RFC 3339 time with a zone", shortened(text)),
        )
    };
    // `jiff` also reads a space instead of the T; RFC 3339 clients do not send it.
    if text
        .as_bytes()
        .get(10)
        .is_none_or(|b| !b.eq_ignore_ascii_case(&b't'))
        || text.contains('[')
    {
        return Err(refuse());
    }
    let at: Timestamp = text.parse().map_err(|_| refuse())?;
    if !(FIRST_SECOND..=LAST_SECOND).contains(&at.as_second()) {
        return Err(refuse());
    }
    let wire = contracts::convert::timestamp(at);
    let mut message = DynamicMessage::new(of.clone());
    message.transcode_from(&wire).map_err(|_| refuse())?;
    Ok(Value::Message(message))
}

/// 0001-01-01T00:00:00Z, the first that the wire can hold.
const FIRST_SECOND: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z, the last.
const LAST_SECOND: i64 = 253_402_300_799;

/// Text that Postgres can hold.
pub fn string(text: &str) -> Result<String, Misfit> {
    if text.contains('\0') {
        return Err(Misfit::new(
            "invalid_character",
            "text must not hold the character U+0000",
        ));
    }
    Ok(text.to_owned())
}

/// A double: whole numbers must be exact.
pub fn number(json: &Json) -> Result<f64, Misfit> {
    const EXACT: i128 = 1 << 53;
    match json {
        #[expect(clippy::cast_precision_loss, reason = "checked to be exact")]
        Json::Int(whole) if whole.abs() <= EXACT => Ok(*whole as f64),
        Json::Int(_) => Err(Misfit::new(
            "not_exact",
            "whole numbers beyond 2^53 are not exact in JSON; send text",
        )),
        Json::Float(number) if number.is_finite() => Ok(*number),
        _ => Err(Misfit::new("wrong_type", "expected a number")),
    }
}

fn integer<T: TryFrom<i128>>(json: &Json) -> Result<T, Misfit> {
    let out_of_range = || Misfit::new("out_of_range", "the number is outside of the range of this field");
    match json {
        Json::Int(whole) => T::try_from(*whole).map_err(|_| out_of_range()),
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        Json::Float(number) if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 => {
            T::try_from(*number as i128).map_err(|_| out_of_range())
        }
        _ => Err(Misfit::new("wrong_type", "expected a whole number")),
    }
}

/// `-?[0-9]+`; the standard parser also takes a plus sign.
fn plain<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.starts_with('+') {
        None
    } else {
        text.parse().ok()
    }
}

fn enumerator(of: &EnumDescriptor, text: &str) -> Result<Value, Misfit> {
    let prefix = prefix_of(of);
    let value = of
        .values()
        .find(|v| v.number() != 0 && v.name().strip_prefix(&prefix) == Some(text));
    value.map(|v| Value::EnumNumber(v.number())).ok_or_else(|| {
        let allowed: Vec<_> = of
            .values()
            .filter(|v| v.number() != 0)
            .map(|v| v.name().strip_prefix(&prefix).unwrap_or(v.name()).to_owned())
            .collect();
        Misfit::new("unknown_value", format!("expected one of {}", allowed.join(", ")))
    })
}

/// `TIER_` of the enum `Tier`: what proto wants before every value and JSON leaves out.
pub fn prefix_of(of: &EnumDescriptor) -> String {
    let mut prefix = String::new();
    for (at, c) in of.name().char_indices() {
        if at > 0 && c.is_ascii_uppercase() {
            prefix.push('_');
        }
        prefix.push(c.to_ascii_uppercase());
    }
    prefix + "_"
}

fn wrong_type(kind: &Kind) -> Misfit {
    let expected = match kind {
        Kind::String | Kind::Bytes | Kind::Enum(_) => "text",
        Kind::Bool => "true or false",
        Kind::Message(_) => "an object",
        _ => "a number",
    };
    Misfit::new("wrong_type", format!("expected {expected}"))
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}
