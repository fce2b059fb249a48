//! What became of rows, as it is kept: for the report, and for the undo.

use errors::FieldError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A new record.
    Created,
    /// A known record has other values now.
    Updated,
    /// A known record had these values.
    Noop,
    /// Several records fit.
    Ambiguous,
    /// The row cannot be used.
    Error,
}

impl Outcome {
    /// All, in the order of counts.
    pub const ALL: [Self; 5] = [
        Self::Created,
        Self::Updated,
        Self::Noop,
        Self::Ambiguous,
        Self::Error,
    ];

    /// The name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Noop => "noop",
            Self::Ambiguous => "ambiguous",
            Self::Error => "error",
        }
    }

    /// The outcome of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// Something wrong with a row, at a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The field.
    #[serde(rename = "f")]
    pub field: String,
    /// A stable word.
    #[serde(rename = "c")]
    pub code: String,
    /// For a person.
    #[serde(rename = "m")]
    pub message: String,
}

impl Problem {
    /// A problem.
    #[must_use]
    pub fn new(field: &str, code: &str, message: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            code: code.to_owned(),
            message: message.into(),
        }
    }
}

impl From<FieldError> for Problem {
    /// Of a pointer such as `/customFields/plan/0` only the field counts.
    fn from(error: FieldError) -> Self {
        let path = error.pointer.trim_start_matches('/');
        let field = match path.split_once('/') {
            Some(("customFields", rest)) => format!("custom.{}", rest.split('/').next().unwrap_or(rest)),
            Some((field, _)) => field.to_owned(),
            None => path.to_owned(),
        };
        Self {
            field,
            code: error.code,
            message: error.message,
        }
    }
}

/// What a field was and became.
pub type Change = (Value, Value);

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowResult {
    /// Its number.
    #[serde(rename = "r")]
    pub row: i64,
    /// What became of it.
    #[serde(rename = "o")]
    pub outcome: Outcome,
    /// The record.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// Of a record that was made: what it looked like, to tell whether it was changed since.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<u64>,
    /// Of a record that was there: what its fields were and became.
    #[serde(rename = "d", default, skip_serializing_if = "Map::is_empty")]
    pub changes: Map<String, Value>,
    /// Why it cannot be used.
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

impl RowResult {
    /// A row of which nothing came.
    #[must_use]
    pub fn refused(row: i64, problems: Vec<Problem>) -> Self {
        Self {
            row,
            outcome: Outcome::Error,
            id: None,
            mark: None,
            changes: Map::new(),
            problems,
        }
    }

    /// A row that several records fit.
    #[must_use]
    pub fn ambiguous(row: i64, problem: Problem) -> Self {
        Self {
            outcome: Outcome::Ambiguous,
            ..Self::refused(row, vec![problem])
        }
    }

    /// A row that led to this record.
    #[must_use]
    pub fn done(row: i64, outcome: Outcome, id: Uuid) -> Self {
        Self {
            outcome,
            id: Some(id),
            ..Self::refused(row, Vec::new())
        }
    }
}

/// What the undo of one row left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoResult {
    /// The row.
    #[serde(rename = "r")]
    pub row: i64,
    /// The fields that were changed since and stay; empty when all is as before. `*` stands for the record.
    #[serde(rename = "k", default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
}

/// Rows by outcome, in the order of [`Outcome::ALL`]. What was made for rows and is none, has the number 0 and does not count.
#[must_use]
pub fn counts(results: &[RowResult]) -> Vec<i32> {
    let of = |outcome: Outcome| {
        let count = results
            .iter()
            .filter(|result| result.row > 0 && result.outcome == outcome)
            .count();
        i32::try_from(count).unwrap_or(i32::MAX)
    };
    Outcome::ALL.into_iter().map(of).collect()
}
