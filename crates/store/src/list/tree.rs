//! Full filters: `{"tier": "HOT", "$or": [{"score": {"$gte": 80}}, {"name": {"$contains": "acme"}}]}`.
//!
//! Owns: their grammar and bounds. Names become columns by descriptions of the service only; values are bind parameters.

use errors::{ApiError, FieldError};
use serde_json::{Map, Value as Json};
use sqlx::QueryBuilder;
use sqlx::postgres::Postgres;

use super::Kind;
use super::value::Value;
use super::values::{ValueField, ValueTest};

/// Deepest nesting of `$and` and `$or`.
const MAX_DEPTH: usize = 5;
/// Most comparisons in one filter.
const MAX_CONDITIONS: usize = 50;
/// Most values of one `$in`.
const MAX_VALUES: usize = 200;

/// A field that full filters may name.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name in the API.
    pub name: &'static str,
    /// An expression over `t`, for example `t.created_at`.
    pub column: &'static str,
    /// The type of the expression, and what values must be.
    pub kind: Kind,
}

/// A checked filter.
#[derive(Debug, Clone)]
pub(super) enum Tree {
    /// All of them.
    And(Vec<Tree>),
    /// One of them.
    Or(Vec<Tree>),
    /// One comparison.
    Leaf(&'static str, Test),
    /// One comparison with values in rows.
    Value(ValueTest),
}

#[derive(Debug, Clone)]
pub(super) enum Test {
    Compare(&'static str, Value),
    NotEqual(Value),
    In(Vec<Value>),
    Like(String),
    Between(Value, Value),
    Exists(bool),
}

/// Reads a filter.
struct Reader<'f> {
    fields: &'f [Field],
    values: &'f [ValueField],
    left: usize,
}

/// What a comparison is with.
#[derive(Clone, Copy)]
enum Named<'f> {
    Column(Field),
    Value(&'f ValueField),
}

impl Named<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Column(field) => field.name,
            Self::Value(field) => &field.name,
        }
    }

    fn is_text(&self) -> bool {
        match self {
            Self::Column(field) => matches!(field.kind, Kind::Text),
            Self::Value(field) => field.is_text,
        }
    }

    fn typed(&self, value: &Json) -> Result<Value, String> {
        match self {
            Self::Column(field) => typed(field.kind, value),
            Self::Value(field) => (field.key)(value)
                .map(Value::Text)
                .ok_or_else(|| field.expected.clone()),
        }
    }
}

impl Tree {
    /// Checks a filter against the fields of a list.
    ///
    /// # Errors
    /// `validation_failed` with a JSON pointer that begins with `/where`.
    pub(super) fn parse(
        filter: &Map<String, Json>,
        fields: &[Field],
        values: &[ValueField],
    ) -> Result<Self, ApiError> {
        let mut reader = Reader {
            fields,
            values,
            left: MAX_CONDITIONS,
        };
        reader.object(filter, "/where", 0)
    }

    pub(super) fn push(&self, sql: &mut QueryBuilder<Postgres>) {
        match self {
            Self::And(parts) => joined(sql, parts, " AND ", "true"),
            Self::Or(parts) => joined(sql, parts, " OR ", "false"),
            Self::Leaf(column, test) => test.push(sql, column),
            Self::Value(test) => test.push(sql),
        }
    }
}

fn joined(sql: &mut QueryBuilder<Postgres>, parts: &[Tree], by: &str, none: &str) {
    if parts.is_empty() {
        sql.push(none);
        return;
    }
    for (n, part) in parts.iter().enumerate() {
        sql.push(if n == 0 { "(" } else { by });
        part.push(sql);
    }
    sql.push(")");
}

impl Test {
    pub(super) fn push(&self, sql: &mut QueryBuilder<Postgres>, column: &str) {
        match self {
            Self::Compare(operator, value) => {
                sql.push(column).push(operator);
                value.push(sql);
            }
            // What has no value is not equal to any.
            Self::NotEqual(value) => {
                sql.push(column).push(" IS DISTINCT FROM ");
                value.push(sql);
            }
            Self::In(values) => {
                sql.push(column).push(" IN (");
                for (n, value) in values.iter().enumerate() {
                    if n > 0 {
                        sql.push(", ");
                    }
                    value.push(sql);
                }
                sql.push(")");
            }
            Self::Like(pattern) => {
                sql.push(column).push(" ILIKE ").push_bind(pattern.clone());
            }
            Self::Between(low, high) => {
                sql.push(column).push(" BETWEEN ");
                low.push(sql);
                sql.push(" AND ");
                high.push(sql);
            }
            Self::Exists(yes) => {
                sql.push(column)
                    .push(if *yes { " IS NOT NULL" } else { " IS NULL" });
            }
        }
    }
}

fn refuse(at: &str, code: &str, message: impl Into<String>) -> ApiError {
    ApiError::fields(vec![FieldError::new(at, code, message.into())])
}

fn below(at: &str, key: &str) -> String {
    let key: String = key.chars().take(100).collect();
    format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"))
}

impl Reader<'_> {
    fn object(&mut self, filter: &Map<String, Json>, at: &str, depth: usize) -> Result<Tree, ApiError> {
        if depth > MAX_DEPTH {
            let message = format!("$and and $or may be nested {MAX_DEPTH} deep");
            return Err(refuse(at, "too_deep", message));
        }
        let mut parts = Vec::with_capacity(filter.len());
        for (key, value) in filter {
            let at = below(at, key);
            parts.push(match key.as_str() {
                "$and" => Tree::And(self.list(value, &at, depth)?),
                "$or" => Tree::Or(self.list(value, &at, depth)?),
                name => self.field(name, value, &at)?,
            });
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ => Tree::And(parts),
        })
    }

    fn list(&mut self, value: &Json, at: &str, depth: usize) -> Result<Vec<Tree>, ApiError> {
        let items = value
            .as_array()
            .filter(|items| !items.is_empty())
            .ok_or_else(|| refuse(at, "wrong_type", "expected a list of filters, at least one"))?;
        let mut parts = Vec::with_capacity(items.len());
        for (n, item) in items.iter().enumerate() {
            let at = below(at, &n.to_string());
            let filter = item
                .as_object()
                .ok_or_else(|| refuse(&at, "wrong_type", "expected a filter: an object"))?;
            parts.push(self.object(filter, &at, depth + 1)?);
        }
        Ok(parts)
    }

    fn field(&mut self, name: &str, value: &Json, at: &str) -> Result<Tree, ApiError> {
        let column = self.fields.iter().find(|field| field.name == name).copied();
        let value_field = || self.values.iter().find(|field| field.name == name);
        let Some(field) = column
            .map(Named::Column)
            .or_else(|| value_field().map(Named::Value))
        else {
            let mut allowed: Vec<_> = self.fields.iter().map(|field| field.name).collect();
            allowed.extend(self.values.iter().map(|field| field.name.as_str()));
            let message = format!(
                "there is no such field; there are {}, $and and $or",
                allowed.join(", ")
            );
            return Err(refuse(at, "unknown_field", message));
        };
        let mut tests = Vec::new();
        match value.as_object() {
            None => tests.push(self.test(field, "$eq", value, at)?),
            Some(given) if given.is_empty() => {
                let message = "expected a value, or an operator such as $eq";
                return Err(refuse(at, "required", message));
            }
            Some(given) => {
                for (operator, value) in given {
                    tests.push(self.test(field, operator, value, &below(at, operator))?);
                }
            }
        }
        let mut parts: Vec<Tree> = match field {
            Named::Column(field) => tests
                .into_iter()
                .map(|test| Tree::Leaf(field.column, test))
                .collect(),
            Named::Value(field) => ValueTest::all(field, tests).map(Tree::Value).collect(),
        };
        Ok(if value.is_object() || parts.len() != 1 {
            Tree::And(parts)
        } else {
            parts.remove(0)
        })
    }

    fn test(&mut self, field: Named<'_>, operator: &str, value: &Json, at: &str) -> Result<Test, ApiError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            let message = format!("a filter has at most {MAX_CONDITIONS} comparisons");
            refuse(at, "too_many", message)
        })?;
        let one = |value: &Json, at: &str| {
            field
                .typed(value)
                .map_err(|expected| refuse(at, "invalid", format!("{} must be {expected}", field.name())))
        };
        Ok(match operator {
            "$eq" => Test::Compare(" = ", one(value, at)?),
            "$ne" => Test::NotEqual(one(value, at)?),
            "$gt" => Test::Compare(" > ", one(value, at)?),
            "$gte" => Test::Compare(" >= ", one(value, at)?),
            "$lt" => Test::Compare(" < ", one(value, at)?),
            "$lte" => Test::Compare(" <= ", one(value, at)?),
            "$in" | "$between" => {
                let items = value
                    .as_array()
                    .ok_or_else(|| refuse(at, "wrong_type", "expected a list"))?;
                if items.is_empty() || items.len() > MAX_VALUES {
                    let message = format!("expected 1 to {MAX_VALUES} values");
                    return Err(refuse(at, "out_of_range", message));
                }
                let mut values = Vec::with_capacity(items.len());
                for (n, item) in items.iter().enumerate() {
                    values.push(one(item, &below(at, &n.to_string()))?);
                }
                match (operator, values.len()) {
                    ("$in", _) => Test::In(values),
                    (_, 2) => {
                        let high = values.remove(1);
                        Test::Between(values.remove(0), high)
                    }
                    _ => {
                        return Err(refuse(at, "out_of_range", "expected two values, the lower first"));
                    }
                }
            }
            "$contains" | "$startsWith" => {
                if !field.is_text() {
                    return Err(refuse(at, "not_text", "only text can be searched in"));
                }
                let Value::Text(text) = one(value, at)? else {
                    return Err(refuse(at, "wrong_type", "expected text"));
                };
                let begin = if operator == "$contains" { "%" } else { "" };
                Test::Like(format!("{begin}{}%", escaped(&text)))
            }
            "$exists" => Test::Exists(
                value
                    .as_bool()
                    .ok_or_else(|| refuse(at, "wrong_type", "expected true or false"))?,
            ),
            _ => {
                let message = "operators are $eq, $ne, $in, $gt, $gte, $lt, $lte, $contains, $startsWith, \
                               $exists and $between";
                return Err(refuse(at, "unknown_operator", message));
            }
        })
    }
}

/// The characters with a meaning in `LIKE` stand for themselves.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A value of JSON as the field's kind reads its text. Whole numbers may come as floating ones: `Struct` knows no others.
fn typed(kind: Kind, value: &Json) -> Result<Value, String> {
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
    let text = match (kind, value) {
        (Kind::Int, Json::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.to_string(),
            (None, Some(n)) if n.fract() == 0.0 && n.abs() <= 9_007_199_254_740_992.0 => {
                (n as i64).to_string()
            }
            _ => String::new(),
        },
        (Kind::Bool, Json::Bool(flag)) => flag.to_string(),
        (Kind::Int | Kind::Bool, _) => String::new(),
        (_, Json::String(text)) => text.clone(),
        _ => "\0".to_owned(),
    };
    Value::parse(kind, &text)
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
