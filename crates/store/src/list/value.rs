//! Values of filters and sort keys: from text and JSON, into bind parameters, never into SQL.

use errors::ApiError;
use jiff::Timestamp;
use serde_json::Value as Json;
use sqlx::postgres::{PgRow, Postgres};
use sqlx::{QueryBuilder, Row as _};
use uuid::Uuid;

use super::{Kind, Sort, SortKind};
use crate::paging::{Cursor, invalid_cursor};
use crate::{ToSqlx as _, Ts};

/// Longest text of a filter, in characters.
const TEXT_CHARS: usize = 1_000;

/// A typed value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Uuid(Uuid),
    Int(i64),
    Float(f64),
    Bool(bool),
    Time(Timestamp),
}

impl Value {
    /// Reads a filter's text; the error says what it must be.
    pub(super) fn parse(kind: Kind, text: &str) -> Result<Self, String> {
        let expected = match kind {
            Kind::Text => {
                let fits = !text.is_empty() && text.chars().count() <= TEXT_CHARS && !text.contains('\0');
                if fits {
                    return Ok(Self::Text(text.to_owned()));
                }
                format!("text of 1 to {TEXT_CHARS} characters without U+0000")
            }
            Kind::OneOf(words) => {
                if words.contains(&text) {
                    return Ok(Self::Text(text.to_owned()));
                }
                format!("one of: {}", words.join(", "))
            }
            Kind::Uuid => match (text.len(), Uuid::try_parse(text)) {
                (36, Ok(id)) => return Ok(Self::Uuid(id)),
                _ => "a UUID in canonical form".to_owned(),
            },
            Kind::Int => match text.parse() {
                Ok(number) => return Ok(Self::Int(number)),
                Err(_) => "a whole number of 64 bits".to_owned(),
            },
            Kind::Bool => match text {
                "true" => return Ok(Self::Bool(true)),
                "false" => return Ok(Self::Bool(false)),
                _ => "true or false".to_owned(),
            },
            Kind::Time => match text.parse::<Timestamp>() {
                Ok(time) if storable(time) => return Ok(Self::Time(time)),
                _ => "a time such as 2026-01-31T12:00:00Z".to_owned(),
            },
        };
        Err(expected)
    }

    pub(super) fn push(&self, sql: &mut QueryBuilder<Postgres>) {
        match self {
            Self::Text(text) => sql.push_bind(text.clone()),
            Self::Uuid(id) => sql.push_bind(*id),
            Self::Int(number) => sql.push_bind(*number),
            Self::Float(number) => sql.push_bind(*number),
            Self::Bool(flag) => sql.push_bind(*flag),
            Self::Time(time) => sql.push_bind(time.to_sqlx()),
        };
    }

    fn to_json(&self) -> Json {
        match self {
            Self::Text(text) => Json::from(text.as_str()),
            Self::Uuid(id) => Json::from(id.to_string()),
            Self::Int(number) => Json::from(*number),
            Self::Float(number) => Json::from(*number),
            Self::Bool(flag) => Json::from(*flag),
            Self::Time(time) => Json::from(time.to_string()),
        }
    }

    fn from_json(kind: SortKind, json: &Json) -> Option<Self> {
        match kind {
            SortKind::Text => json
                .as_str()
                .filter(|text| !text.contains('\0'))
                .map(|text| Self::Text(text.to_owned())),
            SortKind::Int => json.as_i64().map(Self::Int),
            SortKind::Float => json.as_f64().map(Self::Float),
            SortKind::Time => json
                .as_str()?
                .parse()
                .ok()
                .filter(|time| storable(*time))
                .map(Self::Time),
            SortKind::Uuid => json.as_str()?.parse().ok().map(Self::Uuid),
        }
    }
}

/// `timestamptz` begins in 4713 BC and ends long after `jiff`'s last year.
fn storable(time: Timestamp) -> bool {
    const FIRST_SECOND: i64 = -210_866_803_200;
    time.as_second() > FIRST_SECOND
}

/// Where a page ended: the sort key of its last row (none when null) and its id.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Position {
    pub(super) key: Option<Value>,
    pub(super) id: Uuid,
}

impl Position {
    /// Reads a cursor. Its tag was checked, but the tag has no secret: a made-up cursor must not become an error of
    /// the database.
    pub(super) fn read(cursor: &Cursor, sort: &Sort) -> Result<Self, ApiError> {
        let [key, id] = cursor.0.as_slice() else {
            return Err(invalid_cursor());
        };
        let id = id
            .as_str()
            .and_then(|id| id.parse().ok())
            .ok_or_else(invalid_cursor)?;
        let key = match key {
            Json::Null if sort.nullable => None,
            json => Some(Value::from_json(sort.kind, json).ok_or_else(invalid_cursor)?),
        };
        Ok(Self { key, id })
    }

    pub(super) fn cursor(&self) -> Cursor {
        let key = self.key.as_ref().map_or(Json::Null, Value::to_json);
        Cursor(vec![key, Json::from(self.id.to_string())])
    }

    /// From the columns `list_key` and `list_id` of a row.
    pub(super) fn of(row: &PgRow, kind: SortKind) -> Result<Self, sqlx::Error> {
        let key = match kind {
            SortKind::Text => row.try_get::<Option<String>, _>("list_key")?.map(Value::Text),
            SortKind::Int => row.try_get::<Option<i64>, _>("list_key")?.map(Value::Int),
            SortKind::Float => row.try_get::<Option<f64>, _>("list_key")?.map(Value::Float),
            SortKind::Time => row
                .try_get::<Option<Ts>, _>("list_key")?
                .map(|time| Value::Time(time.to_jiff())),
            SortKind::Uuid => row.try_get::<Option<Uuid>, _>("list_key")?.map(Value::Uuid),
        };
        Ok(Self {
            key,
            id: row.try_get("list_id")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_the_wrong_kind_is_told_what_it_must_be() {
        for (kind, bad) in [
            (Kind::Text, ""),
            (Kind::Text, "a\0b"),
            (Kind::OneOf(&["HOT"]), "hot"),
            (Kind::Uuid, "0197e1c81f2a7b3c8d4e5f6071829304"),
            (Kind::Int, "9223372036854775808"),
            (Kind::Int, "1.5"),
            (Kind::Bool, "1"),
            (Kind::Time, "yesterday"),
            (Kind::Time, "-009999-01-01T00:00:00Z"),
        ] {
            assert!(Value::parse(kind, bad).is_err(), "{kind:?} {bad:?}");
        }
        assert_eq!(Value::parse(Kind::Int, "-5"), Ok(Value::Int(-5)));
        assert!(Value::parse(Kind::Text, &"x".repeat(1_001)).is_err());
    }

    #[test]
    fn a_made_up_position_is_an_invalid_cursor() {
        let sort = Sort {
            name: "n",
            column: "n",
            kind: SortKind::Int,
            nullable: false,
        };
        let id = Json::from(Uuid::nil().to_string());
        for bad in [
            vec![],
            vec![Json::from(1)],
            vec![Json::from("1"), id.clone()],
            vec![Json::Null, id.clone()],
            vec![Json::from(1), Json::from(7)],
            vec![Json::from(1), id.clone(), id],
        ] {
            assert!(Position::read(&Cursor(bad), &sort).is_err());
        }
        let good = Position {
            key: Some(Value::Int(1)),
            id: Uuid::nil(),
        };
        assert_eq!(Position::read(&good.cursor(), &sort), Ok(good));
    }
}
