//! Custom objects as values: their fields, what a change of the fields means, and whether the values of a record fit.

mod schema;
mod values;
mod verdict;

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

pub use schema::{Field, Target};
pub use values::{After, apply, fit};
pub use verdict::{Change, Plan, Verdict, compare, gravest};

#[cfg(test)]
mod tests;

/// Most objects of an organization.
pub const MAX_OBJECTS: i64 = 100;
/// Most fields of an object.
pub const MAX_FIELDS: usize = 200;
/// Longest values of a record, in bytes of JSON.
pub const MAX_VALUES_BYTES: usize = 65_536;
/// Words that stand in paths where keys do, or mean something else in references.
pub const RESERVED: [&str; 6] = ["openapi", "batch", "query", "account", "contact", "deal"];

/// A kind of records.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomObject {
    /// Its id.
    pub id: Uuid,
    /// Its name for programs.
    pub key: String,
    /// Its name for persons.
    pub label: String,
    /// What it is for.
    pub description: Option<String>,
    /// Its fields, in order.
    pub fields: Vec<Field>,
    /// Counts up with every change of the fields.
    pub schema_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts up with every change.
    pub version: i64,
}

impl CustomObject {
    /// The field of this key.
    #[must_use]
    pub fn field(&self, key: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.rule.key == key)
    }

    /// What to call a record: its first text, else its id.
    #[must_use]
    pub fn title(&self, record: &Record) -> String {
        let texts = self
            .fields
            .iter()
            .filter_map(|field| record.values.get(&field.rule.key)?.as_str());
        texts
            .into_iter()
            .next()
            .map_or_else(|| record.id.to_string(), str::to_owned)
    }
}

/// A version of an object's fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// The version.
    pub version: i64,
    /// The fields.
    pub fields: Vec<Field>,
    /// What the change to it meant.
    pub verdict: String,
    /// Who made it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its id.
    pub id: Uuid,
    /// The object.
    pub object: Uuid,
    /// Its values, by key.
    pub values: Map<String, Value>,
    /// Who made it.
    pub by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts up with every change.
    pub version: i64,
}
