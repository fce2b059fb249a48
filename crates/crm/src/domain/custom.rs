//! Fields of an organization's own: what a definition allows, and whether a value fits it.
//!
//! Owns the canonical form of values, and the keys by which they are filtered and sorted: keys order as the values do.

use std::ops::Deref;

use jiff::Timestamp;
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::checks;
use super::extras::Object;

/// Longest text value, in characters.
pub const MAX_TEXT: usize = 2_000;
/// Most elements of a list.
pub const MAX_LIST: usize = 50;
/// Longest pattern, in characters.
pub const MAX_PATTERN: usize = 500;
/// Bytes that a compiled pattern may have: bounds what a pattern costs.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// How much of a text counts for filters and sorts, in characters.
const KEY_CHARS: usize = 200;

/// What values of a field are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "named and meant as in the contract's CustomField.type"
)]
pub enum Type {
    Text,
    Number,
    Bool,
    Date,
    Enum,
    Reference,
    List,
    Url,
    Email,
    Currency,
}

impl Type {
    /// All types.
    pub const ALL: [Self; 10] = [
        Self::Text,
        Self::Number,
        Self::Bool,
        Self::Date,
        Self::Enum,
        Self::Reference,
        Self::List,
        Self::Url,
        Self::Email,
        Self::Currency,
    ];

    /// The name in the contract and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Bool => "bool",
            Self::Date => "date",
            Self::Enum => "enum",
            Self::Reference => "reference",
            Self::List => "list",
            Self::Url => "url",
            Self::Email => "email",
            Self::Currency => "currency",
        }
    }

    /// The type of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether values of this type can be unique.
    #[must_use]
    pub fn can_be_unique(self) -> bool {
        matches!(
            self,
            Self::Text | Self::Number | Self::Url | Self::Email | Self::Reference
        )
    }
}

/// What values of a field can be, whatever records it is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The field's id.
    pub id: Uuid,
    /// Its name for programs.
    pub key: String,
    /// Its name for persons.
    pub label: String,
    /// What values are.
    pub kind: Type,
    /// Whether new records need a value.
    pub required: bool,
    /// Whether no two records may have the same value.
    pub unique: bool,
    /// What the whole of a text must match.
    pub pattern: Option<String>,
    /// What an enum, or each element of a list, can be.
    pub options: Vec<String>,
    /// The value of new records that have none.
    pub default: Option<Value>,
}

/// A field of accounts, contacts or deals.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// What values can be.
    pub rule: Rule,
    /// Of which records.
    pub object: Object,
    /// What a reference refers to.
    pub reference: Option<Object>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts up with every change.
    pub version: i64,
}

impl Deref for Definition {
    type Target = Rule;

    fn deref(&self) -> &Rule {
        &self.rule
    }
}

/// Why a value does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The place within the value, empty for the value itself.
    pub place: String,
    /// A stable word.
    pub code: &'static str,
    /// For a person.
    pub message: String,
}

fn misfit<T>(code: &'static str, message: impl Into<String>) -> Result<T, Misfit> {
    Err(Misfit {
        place: String::new(),
        code,
        message: message.into(),
    })
}

/// The pattern, to be matched with the whole of a text.
///
/// # Errors
/// It is no regular expression, or too large.
pub fn compiled(pattern: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(MAX_PATTERN_BYTES)
        .build()
        .map_err(|error| error.to_string())
}

impl Rule {
    /// The value in canonical form.
    ///
    /// # Errors
    /// Why it does not fit.
    pub fn check(&self, value: &Value) -> Result<Value, Misfit> {
        match self.kind {
            Type::Text => self.text(value).map(Value::String),
            Type::Number => match value.as_f64() {
                Some(number) if value.is_number() && number.is_finite() => Ok(value.clone()),
                _ => misfit("not_a_number", "a number is needed"),
            },
            Type::Bool => match value {
                Value::Bool(_) => Ok(value.clone()),
                _ => misfit("not_a_bool", "true or false is needed"),
            },
            Type::Date => match checks::day(string(value)?) {
                Some(day) => Ok(Value::String(day)),
                None => misfit("invalid_date", "a day is written YYYY-MM-DD"),
            },
            Type::Enum => self.option(string(value)?).map(Value::String),
            Type::Reference => match string(value)?.parse::<ids::ActorId>() {
                Ok(id) => Ok(Value::String(id.to_string())),
                Err(_) => misfit("invalid_id", "an id is a UUID in canonical form"),
            },
            Type::List => self.list(value),
            Type::Url => url(string(value)?).map(Value::String),
            Type::Email => match checks::email(string(value)?) {
                Some(email) => Ok(Value::String(email)),
                None => misfit("invalid_email", "an e-mail address is name@domain"),
            },
            Type::Currency => currency(value),
        }
    }

    fn text(&self, value: &Value) -> Result<String, Misfit> {
        let text = bounded(string(value)?)?;
        if let Some(pattern) = &self.pattern {
            // A pattern that was accepted compiles; one of a later release that does not fits nothing.
            let fits = compiled(pattern).is_ok_and(|regex| regex.is_match(&text));
            if !fits {
                return misfit("pattern_mismatch", format!("it must match {pattern}"));
            }
        }
        Ok(text)
    }

    fn option(&self, text: &str) -> Result<String, Misfit> {
        if self.options.iter().any(|option| option == text) {
            return Ok(text.to_owned());
        }
        misfit(
            "unknown_option",
            format!("it is one of: {}", self.options.join(", ")),
        )
    }

    fn list(&self, value: &Value) -> Result<Value, Misfit> {
        let Value::Array(items) = value else {
            return misfit("not_a_list", "a list is needed");
        };
        if items.len() > MAX_LIST {
            return misfit("too_many", format!("at most {MAX_LIST} elements are allowed"));
        }
        let mut list: Vec<Value> = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let one = string(item).and_then(|text| {
                if self.options.is_empty() {
                    bounded(text)
                } else {
                    self.option(text)
                }
            });
            let one = one.map_err(|problem| Misfit {
                place: format!("/{index}"),
                ..problem
            })?;
            let one = Value::String(one);
            if !list.contains(&one) {
                list.push(one);
            }
        }
        Ok(Value::Array(list))
    }

    /// The keys of a canonical value: one, or for a list one for each element.
    #[must_use]
    pub fn keys(&self, value: &Value) -> Vec<String> {
        match (self.kind, value) {
            (Type::List, Value::Array(items)) => {
                let mut keys: Vec<String> = items.iter().filter_map(Value::as_str).map(text_key).collect();
                keys.sort();
                keys.dedup();
                keys
            }
            _ => self.key_of(value).into_iter().collect(),
        }
    }

    fn key_of(&self, value: &Value) -> Option<String> {
        Some(match self.kind {
            Type::Number => number_key(value.as_f64()?),
            Type::Bool => value.as_bool()?.to_string(),
            Type::Currency => format!(
                "{}{:020}{:09}",
                value.get("currency")?.as_str()?,
                value.get("units")?.as_i64()?,
                value.get("nanos")?.as_i64()?
            ),
            _ => text_key(value.as_str()?),
        })
    }

    /// The key that a value of a full filter stands for.
    #[must_use]
    pub fn json_key(&self, value: &Value) -> Option<String> {
        match (self.kind, value) {
            (Type::Number, Value::Number(number)) => number.as_f64().map(number_key),
            (Type::Bool, Value::Bool(flag)) => Some(flag.to_string()),
            (Type::Number | Type::Bool, _) => None,
            (_, Value::String(text)) => self.filter_key(text).filter(|key| !key.contains('\0')),
            _ => None,
        }
    }

    /// The key that a filter's text stands for.
    #[must_use]
    pub fn filter_key(&self, text: &str) -> Option<String> {
        match self.kind {
            Type::Number => text.parse().ok().filter(|n: &f64| n.is_finite()).map(number_key),
            Type::Bool => matches!(text, "true" | "false").then(|| text.to_owned()),
            // An amount is compared as `EUR 12.50`.
            Type::Currency => {
                let (currency, amount) = text.split_once(' ')?;
                let (units, fraction) = amount.split_once('.').unwrap_or((amount, ""));
                let nanos: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
                Some(format!("{currency}{:020}{nanos:09}", units.parse::<i64>().ok()?))
            }
            _ => Some(text_key(text)),
        }
    }
}

fn string(value: &Value) -> Result<&str, Misfit> {
    match value.as_str() {
        Some(text) => Ok(text),
        None => misfit("not_a_string", "a text is needed"),
    }
}

fn bounded(text: &str) -> Result<String, Misfit> {
    let text = text.trim();
    if text.is_empty() {
        return misfit("required", "a text is not empty; null removes it");
    }
    if text.chars().count() > MAX_TEXT {
        return misfit("too_long", format!("at most {MAX_TEXT} characters are allowed"));
    }
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return misfit("invalid_character", "control characters are not allowed");
    }
    Ok(text.to_owned())
}

fn url(text: &str) -> Result<String, Misfit> {
    let text = text.trim();
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let fits = host.is_some_and(|host| !host.is_empty())
        && text.len() <= MAX_TEXT
        && text.bytes().all(|b| b.is_ascii_graphic());
    if fits {
        return Ok(text.to_owned());
    }
    misfit("invalid_url", "an address begins with https:// or http://")
}

fn currency(value: &Value) -> Result<Value, Misfit> {
    let whole = |name: &str| match value.get(name) {
        None => Some(0),
        Some(number) => number.as_i64().or_else(|| {
            let float = number.as_f64()?;
            #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
            (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
        }),
    };
    let code = value.get("currency").and_then(Value::as_str);
    let unknown = value.as_object().is_some_and(|object| {
        object
            .keys()
            .any(|k| !matches!(k.as_str(), "currency" | "units" | "nanos"))
    });
    match (code, whole("units"), whole("nanos")) {
        (Some(code), Some(units), Some(nanos)) if !unknown && fits_money(code, units, nanos) => {
            Ok(json!({"currency": code, "units": units, "nanos": nanos}))
        }
        _ => misfit(
            "invalid_amount",
            "an amount is {\"currency\": \"EUR\", \"units\": 12, \"nanos\": 500000000}",
        ),
    }
}

/// Most whole units of an amount.
pub const MAX_UNITS: i64 = 1_000_000_000_000;

/// Whether it is an amount: three capital letters, not negative, bounded.
#[must_use]
pub fn fits_money(currency: &str, units: i64, nanos: i64) -> bool {
    currency.len() == 3
        && currency.bytes().all(|b| b.is_ascii_uppercase())
        && (0..=MAX_UNITS).contains(&units)
        && (0..1_000_000_000).contains(&nanos)
}

fn text_key(text: &str) -> String {
    text.to_lowercase().chars().take(KEY_CHARS).collect()
}

/// Sixteen hexadecimal digits that order as the numbers do (IEEE 754 total order).
fn number_key(number: f64) -> String {
    // -0 is 0.
    let bits = (number + 0.0).to_bits();
    let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    format!("{ordered:016x}")
}
