//! Full filters: `{"tier": "HOT", "$or": [{"score": {"$gte": 80}}, {"name": {"$contains": "acme"}}]}`.
//!
//! Owns: their grammar and bounds. Names become columns by descriptions of the service only; values are bind parameters.

use errors::{ApiError, FieldError};
use serde_json::{Map, Value as Json};
use sqlx::QueryBuilder;
use sqlx::postgres::Postgres;

use super::Kind;
use super::value::Value;

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
    left: usize,
}

impl Tree {
    /// Checks a filter against the fields of a list.
    ///
    /// # Errors
    /// `validation_failed` with a JSON pointer that begins with `/where`.
    pub(super) fn parse(filter: &Map<String, Json>, fields: &[Field]) -> Result<Self, ApiError> {
        let mut reader = Reader {
            fields,
            left: MAX_CONDITIONS,
        };
        reader.object(filter, "/where", 0)
    }

    pub(super) fn push(&self, sql: &mut QueryBuilder<Postgres>) {
        match self {
            Self::And(parts) => joined(sql, parts, " AND ", "true"),
            Self::Or(parts) => joined(sql, parts, " OR ", "false"),
            Self::Leaf(column, test) => test.push(sql, column),
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
    fn push(&self, sql: &mut QueryBuilder<Postgres>, column: &str) {
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
        let Some(field) = self.fields.iter().find(|field| field.name == name).copied() else {
            let allowed: Vec<_> = self.fields.iter().map(|field| field.name).collect();
            let message = format!(
                "there is no such field; there are {}, $and and $or",
                allowed.join(", ")
            );
            return Err(refuse(at, "unknown_field", message));
        };
        let Some(tests) = value.as_object() else {
            return self.test(field, "$eq", value, at);
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
            parts.push(self.test(field, operator, value, &below(at, operator))?);
        }
        Ok(Tree::And(parts))
    }

    fn test(&mut self, field: Field, operator: &str, value: &Json, at: &str) -> Result<Tree, ApiError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            let message = format!("a filter has at most {MAX_CONDITIONS} comparisons");
            refuse(at, "too_many", message)
        })?;
        let one = |value: &Json, at: &str| {
            typed(field.kind, value)
                .map_err(|expected| refuse(at, "invalid", format!("{} must be {expected}", field.name)))
        };
        let test = match operator {
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
                if !matches!(field.kind, Kind::Text) {
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
        };
        Ok(Tree::Leaf(field.column, test))
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
mod tests {
    use serde_json::json;

    use super::*;

    const FIELDS: &[Field] = &[
        Field {
            name: "name",
            column: "t.name",
            kind: Kind::Text,
        },
        Field {
            name: "score",
            column: "t.score",
            kind: Kind::Int,
        },
        Field {
            name: "at",
            column: "t.at",
            kind: Kind::Time,
        },
    ];

    fn sql(filter: &Json) -> Result<String, (String, String)> {
        let tree = Tree::parse(filter.as_object().unwrap(), FIELDS).map_err(|error| {
            let field = error.fields[0].clone();
            (field.pointer, field.code)
        })?;
        let mut sql = QueryBuilder::new("");
        tree.push(&mut sql);
        Ok(sql.sql().as_str().to_owned())
    }

    #[test]
    fn a_filter_becomes_a_condition_without_any_of_its_values() {
        let filter = json!({"name": "x", "$or": [{"score": {"$gte": 1.0, "$lt": 5}}, {"name": {"$contains": "50%"}},
            {"at": {"$between": ["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"]}}, {"score": {"$in": [1, 2]}}],
            "score": {"$exists": false}, "at": {"$ne": "2026-01-01T00:00:00Z"}});
        assert_eq!(
            sql(&filter).unwrap(),
            "(t.name = $1 AND ((t.score >= $2 AND t.score < $3) OR (t.name ILIKE $4) OR (t.at BETWEEN $5 AND $6) \
             OR (t.score IN ($7, $8))) AND (t.score IS NULL) AND (t.at IS DISTINCT FROM $9))"
        );
        assert_eq!(sql(&json!({})).unwrap(), "true");
    }

    #[test]
    fn whatever_is_wrong_is_named_at_its_place() {
        let nested = (0..7).fold(json!({"score": 1}), |inner, _| json!({"$and": [inner]}));
        for (filter, pointer, code) in [
            (json!({"nope": 1}), "/where/nope", "unknown_field"),
            (
                json!({"name": {"$regex": "x"}}),
                "/where/name/$regex",
                "unknown_operator",
            ),
            (json!({"score": {"$gt": "1"}}), "/where/score/$gt", "invalid"),
            (json!({"score": 1.5}), "/where/score", "invalid"),
            (json!({"name": null}), "/where/name", "invalid"),
            (json!({"name": ["a"]}), "/where/name", "invalid"),
            (json!({"name": {}}), "/where/name", "required"),
            (
                json!({"score": {"$contains": "1"}}),
                "/where/score/$contains",
                "not_text",
            ),
            (json!({"score": {"$in": []}}), "/where/score/$in", "out_of_range"),
            (
                json!({"score": {"$in": [1, "a"]}}),
                "/where/score/$in/1",
                "invalid",
            ),
            (
                json!({"at": {"$between": ["2026-01-01T00:00:00Z"]}}),
                "/where/at/$between",
                "out_of_range",
            ),
            (json!({"$or": []}), "/where/$or", "wrong_type"),
            (json!({"$or": [1]}), "/where/$or/0", "wrong_type"),
            (
                json!({"name": {"$exists": 1}}),
                "/where/name/$exists",
                "wrong_type",
            ),
            (
                nested,
                "/where/$and/0/$and/0/$and/0/$and/0/$and/0/$and/0",
                "too_deep",
            ),
        ] {
            let told = sql(&filter).unwrap_err();
            assert_eq!(told, (pointer.to_owned(), code.to_owned()), "{filter}");
        }
        let many: Vec<_> = (0..51).map(|n| json!({"score": n})).collect();
        assert_eq!(sql(&json!({"$or": many})).unwrap_err().1, "too_many");
    }
}
