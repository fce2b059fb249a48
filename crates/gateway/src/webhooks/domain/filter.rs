//! Filters over the JSON of an event: the operators of `…/query`, with the paths of the event's fields as names.
//!
//! What has no value equals nothing, is unequal to everything, and compares with nothing. Of times, both written after
//! RFC 3339, the instants are compared; of other texts the characters.

use std::cmp::Ordering;

use errors::{ApiError, FieldError};
use jiff::Timestamp;
use serde_json::{Map, Value};

const MAX_DEPTH: usize = 5;
const MAX_COMPARISONS: usize = 50;
const MAX_VALUES: usize = 100;
const MAX_TEXT: usize = 1_000;
const MAX_PATH: usize = 200;

/// A checked filter.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of these.
    And(Vec<Filter>),
    /// One of these.
    Or(Vec<Filter>),
    /// One field.
    Leaf(String, Test),
}

/// What a field is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// `$eq`.
    Equal(Value),
    /// `$ne`.
    NotEqual(Value),
    /// `$in`.
    In(Vec<Value>),
    /// `$gt`, `$gte`, `$lt`, `$lte`: the orders that fit.
    Compare(&'static [Ordering], Value),
    /// `$between`, both ends included.
    Between(Value, Value),
    /// `$contains`, in lower case.
    Contains(String),
    /// `$startsWith`, in lower case.
    StartsWith(String),
    /// `$exists`.
    Exists(bool),
}

fn refuse(at: &str, code: &str, message: impl Into<String>) -> ApiError {
    ApiError::fields(vec![FieldError::new(at, code, message.into())])
}

fn below(at: &str, key: &str) -> String {
    let key: String = key.chars().take(100).collect();
    format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"))
}

impl Filter {
    /// Checks a filter.
    ///
    /// # Errors
    /// `validation_failed` with a JSON pointer that begins with `/filter`.
    pub fn parse(filter: &Map<String, Value>) -> Result<Self, ApiError> {
        let mut left = MAX_COMPARISONS;
        object(filter, "/filter", 0, &mut left)
    }

    /// Whether the event fits.
    #[must_use]
    pub fn fits(&self, event: &Value) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.fits(event)),
            Self::Or(parts) => parts.iter().any(|part| part.fits(event)),
            Self::Leaf(path, test) => test.fits(find(event, path)),
        }
    }
}

/// The value at `a.b.c`; `null` is none.
fn find<'a>(event: &'a Value, path: &str) -> Option<&'a Value> {
    let mut at = event;
    for part in path.split('.') {
        at = at.get(part)?;
    }
    (!at.is_null()).then_some(at)
}

fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
        },
        (Value::String(a), Value::String(b)) => match (a.parse::<Timestamp>(), b.parse::<Timestamp>()) {
            (Ok(a), Ok(b)) => Some(a.cmp(&b)),
            _ => Some(a.cmp(b)),
        },
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn equal(one: &Value, other: &Value) -> bool {
    compare(one, other) == Some(Ordering::Equal)
}

impl Test {
    fn fits(&self, found: Option<&Value>) -> bool {
        let Some(found) = found else {
            return matches!(self, Self::NotEqual(_) | Self::Exists(false));
        };
        // A list fits when one of its values does.
        if let (
            Value::Array(values),
            Self::Equal(_) | Self::In(_) | Self::Contains(_) | Self::StartsWith(_),
        ) = (found, self)
        {
            return values
                .iter()
                .any(|value| !value.is_array() && self.fits(Some(value)));
        }
        let text = || found.as_str().map(str::to_lowercase);
        match self {
            Self::Equal(value) => equal(found, value),
            Self::NotEqual(value) => match found {
                Value::Array(values) => !values.iter().any(|one| equal(one, value)),
                _ => !equal(found, value),
            },
            Self::In(values) => values.iter().any(|value| equal(found, value)),
            Self::Compare(orders, value) => {
                compare(found, value).is_some_and(|order| orders.contains(&order))
            }
            Self::Between(low, high) => {
                compare(found, low).is_some_and(Ordering::is_ge)
                    && compare(found, high).is_some_and(Ordering::is_le)
            }
            Self::Contains(part) => text().is_some_and(|text| text.contains(part)),
            Self::StartsWith(part) => text().is_some_and(|text| text.starts_with(part)),
            Self::Exists(yes) => *yes,
        }
    }
}

fn object(filter: &Map<String, Value>, at: &str, depth: usize, left: &mut usize) -> Result<Filter, ApiError> {
    if depth > MAX_DEPTH {
        let message = format!("$and and $or may be nested {MAX_DEPTH} deep");
        return Err(refuse(at, "too_deep", message));
    }
    let mut parts = Vec::with_capacity(filter.len());
    for (key, value) in filter {
        let at = below(at, key);
        parts.push(match key.as_str() {
            "$and" => Filter::And(list(value, &at, depth, left)?),
            "$or" => Filter::Or(list(value, &at, depth, left)?),
            path => field(path, value, &at, left)?,
        });
    }
    Ok(Filter::And(parts))
}

fn list(value: &Value, at: &str, depth: usize, left: &mut usize) -> Result<Vec<Filter>, ApiError> {
    let items = value
        .as_array()
        .filter(|items| !items.is_empty())
        .ok_or_else(|| refuse(at, "wrong_type", "expected a list of filters, at least one"))?;
    let mut parts = Vec::with_capacity(items.len());
    for (n, item) in items.iter().enumerate() {
        let at = below(at, &n.to_string());
        let item = item
            .as_object()
            .ok_or_else(|| refuse(&at, "wrong_type", "expected a filter: an object"))?;
        parts.push(object(item, &at, depth + 1, left)?);
    }
    Ok(parts)
}

fn field(path: &str, value: &Value, at: &str, left: &mut usize) -> Result<Filter, ApiError> {
    let (first, plain) = (
        path.split('.').next().unwrap_or_default(),
        !path.contains('\0') && path.len() <= MAX_PATH && path.split('.').all(|part| !part.is_empty()),
    );
    let is_known = matches!(first, "id" | "type" | "timestamp" | "organizationId") && !path.contains('.')
        || first == "data" && path.contains('.');
    if !(is_known && plain) {
        let message = "a field is id, type, timestamp, or a path below data, such as data.score";
        return Err(refuse(at, "unknown_field", message));
    }
    let Some(tests) = value.as_object() else {
        return Ok(Filter::Leaf(path.to_owned(), test("$eq", value, at, left)?));
    };
    if tests.is_empty() {
        return Err(refuse(
            at,
            "required",
            "expected a value, or an operator such as $eq",
        ));
    }
    let mut parts = Vec::with_capacity(tests.len());
    for (operator, value) in tests {
        let test = test(operator, value, &below(at, operator), left)?;
        parts.push(Filter::Leaf(path.to_owned(), test));
    }
    Ok(Filter::And(parts))
}

fn plain(value: &Value, at: &str) -> Result<Value, ApiError> {
    let fits = match value {
        Value::Number(_) | Value::Bool(_) => true,
        Value::String(text) => text.chars().count() <= MAX_TEXT && !text.contains('\0'),
        _ => false,
    };
    if fits {
        return Ok(value.clone());
    }
    let message = format!("expected a number, true, false or text of at most {MAX_TEXT} characters");
    Err(refuse(at, "invalid", message))
}

fn test(operator: &str, value: &Value, at: &str, left: &mut usize) -> Result<Test, ApiError> {
    *left = left.checked_sub(1).ok_or_else(|| {
        let message = format!("a filter has at most {MAX_COMPARISONS} comparisons");
        refuse(at, "too_many", message)
    })?;
    Ok(match operator {
        "$eq" => Test::Equal(plain(value, at)?),
        "$ne" => Test::NotEqual(plain(value, at)?),
        "$gt" => Test::Compare(&[Ordering::Greater], plain(value, at)?),
        "$gte" => Test::Compare(&[Ordering::Greater, Ordering::Equal], plain(value, at)?),
        "$lt" => Test::Compare(&[Ordering::Less], plain(value, at)?),
        "$lte" => Test::Compare(&[Ordering::Less, Ordering::Equal], plain(value, at)?),
        "$in" | "$between" => {
            let items = value
                .as_array()
                .ok_or_else(|| refuse(at, "wrong_type", "expected a list"))?;
            if items.is_empty() || items.len() > MAX_VALUES {
                return Err(refuse(
                    at,
                    "out_of_range",
                    format!("expected 1 to {MAX_VALUES} values"),
                ));
            }
            let values = items.iter().enumerate();
            let values: Result<Vec<_>, _> = values
                .map(|(n, item)| plain(item, &below(at, &n.to_string())))
                .collect();
            match (operator, values?) {
                ("$in", values) => Test::In(values),
                (_, values) => {
                    let [low, high] = <[Value; 2]>::try_from(values)
                        .map_err(|_| refuse(at, "out_of_range", "expected two values, the lower first"))?;
                    Test::Between(low, high)
                }
            }
        }
        "$contains" | "$startsWith" => {
            let text = plain(value, at)?;
            let text = text
                .as_str()
                .ok_or_else(|| refuse(at, "wrong_type", "expected text"))?
                .to_lowercase();
            if operator == "$contains" {
                Test::Contains(text)
            } else {
                Test::StartsWith(text)
            }
        }
        "$exists" => Test::Exists(
            value
                .as_bool()
                .ok_or_else(|| refuse(at, "wrong_type", "expected true or false"))?,
        ),
        _ => {
            let message = "operators are $eq, $ne, $in, $gt, $gte, $lt, $lte, $contains, $startsWith, $exists and $between";
            return Err(refuse(at, "unknown_operator", message));
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fits(filter: &Value) -> bool {
        let event = json!({"id": "e", "type": "account.score_changed", "timestamp": "2026-01-01T00:00:00.5Z",
            "data": {"score": 83, "tier": "HOT", "ratio": 0.5, "won": true, "tags": ["a", "Big"],
                     "account": {"name": "Acme Inc"}, "none": null}});
        Filter::parse(filter.as_object().unwrap()).unwrap().fits(&event)
    }

    #[test]
    fn operators_mean_what_they_mean_in_queries() {
        for yes in [
            json!({}),
            json!({"data.score": 83}),
            json!({"data.score": {"$gte": 83, "$lt": 83.5}}),
            json!({"data.ratio": {"$between": [0, 1]}}),
            json!({"data.tier": {"$in": ["WARM", "HOT"]}, "data.won": true}),
            json!({"data.account.name": {"$contains": "ACME"}}),
            json!({"data.account.name": {"$startsWith": "acme"}}),
            json!({"data.tags": "a"}),
            json!({"data.tags": {"$contains": "big"}}),
            json!({"data.tags": {"$ne": "c"}}),
            json!({"data.none": {"$exists": false}}),
            json!({"data.other": {"$ne": 1}}),
            json!({"timestamp": {"$lt": "2026-01-01T00:00:00.500001Z"}}),
            json!({"timestamp": "2026-01-01T01:00:00.5+01:00"}),
            json!({"$or": [{"data.score": 1}, {"$and": [{"type": {"$startsWith": "account."}}]}]}),
        ] {
            assert!(fits(&yes), "{yes}");
        }
        for no in [
            json!({"data.score": "83"}),
            json!({"data.score": {"$gt": 83}}),
            json!({"data.other": {"$gt": 0}}),
            json!({"data.other": 1}),
            json!({"data.none": {"$exists": true}}),
            json!({"data.tags": {"$ne": "a"}}),
            json!({"data.score": 83, "data.tier": "COLD"}),
            json!({"$or": [{"data.score": 1}, {"data.tier": "COLD"}]}),
            json!({"data.account": "Acme Inc"}),
        ] {
            assert!(!fits(&no), "{no}");
        }
    }

    #[test]
    fn whatever_is_wrong_is_named_at_its_place() {
        let nested = (0..7).fold(json!({"data.a": 1}), |inner, _| json!({"$and": [inner]}));
        let many: Vec<_> = (0..51).map(|n| json!({"data.a": n})).collect();
        for (filter, pointer, code) in [
            (json!({"score": 1}), "/filter/score", "unknown_field"),
            (json!({"data": 1}), "/filter/data", "unknown_field"),
            (json!({"data.": 1}), "/filter/data.", "unknown_field"),
            (json!({"id.x": 1}), "/filter/id.x", "unknown_field"),
            (
                json!({"data.a": {"$regex": "x"}}),
                "/filter/data.a/$regex",
                "unknown_operator",
            ),
            (json!({"data.a": null}), "/filter/data.a", "invalid"),
            (json!({"data.a": {}}), "/filter/data.a", "required"),
            (json!({"data.a": "\0"}), "/filter/data.a", "invalid"),
            (
                json!({"data.a": {"$in": []}}),
                "/filter/data.a/$in",
                "out_of_range",
            ),
            (
                json!({"data.a": {"$in": [[]]}}),
                "/filter/data.a/$in/0",
                "invalid",
            ),
            (
                json!({"data.a": {"$between": [1]}}),
                "/filter/data.a/$between",
                "out_of_range",
            ),
            (
                json!({"data.a": {"$contains": 1}}),
                "/filter/data.a/$contains",
                "wrong_type",
            ),
            (json!({"$or": []}), "/filter/$or", "wrong_type"),
            (json!({"$or": [1]}), "/filter/$or/0", "wrong_type"),
            (
                nested,
                "/filter/$and/0/$and/0/$and/0/$and/0/$and/0/$and/0",
                "too_deep",
            ),
            (json!({"$or": many}), "/filter/$or/50/data.a", "too_many"),
        ] {
            let error = Filter::parse(filter.as_object().unwrap()).unwrap_err();
            assert_eq!(
                (error.fields[0].pointer.as_str(), error.fields[0].code.as_str()),
                (pointer, code),
                "{filter}"
            );
        }
    }
}
