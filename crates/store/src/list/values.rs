//! Fields that are data: their values stand in a table of their own, one row each, with a key that orders as the values do.

use std::fmt;

use serde_json::Value as Json;
use sqlx::QueryBuilder;
use sqlx::postgres::Postgres;
use uuid::Uuid;

use super::tree::Test;

/// What a value of a full filter is in the table: its key, if it is a value of the field.
pub type Key = Box<dyn Fn(&Json) -> Option<String> + Send + Sync>;

/// A field that full filters may name, whose values stand in rows `(org_id, field_id, record_id, key)` with an index that begins
/// so: `(org_id, field_id, key, record_id)`.
pub struct ValueField {
    /// Its name in the API.
    pub name: String,
    /// Its id in the table.
    pub id: Uuid,
    /// The table.
    pub table: &'static str,
    /// Whether `$contains` and `$startsWith` make sense. Keys are in lower case then.
    pub is_text: bool,
    /// What values must be, for people.
    pub expected: String,
    /// The key of a value.
    pub key: Key,
}

impl fmt::Debug for ValueField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueField")
            .field("name", &self.name)
            .field("id", &self.id)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

/// A comparison with values in rows.
#[derive(Debug, Clone)]
pub(super) struct ValueTest {
    field: Uuid,
    table: &'static str,
    /// Records without such a row, instead of those with one.
    without: bool,
    tests: Vec<Test>,
}

impl ValueTest {
    /// A record has the value if one of its rows passes all tests; `$ne` is that no row has it.
    pub(super) fn all(field: &ValueField, tests: Vec<Test>) -> impl Iterator<Item = Self> {
        let (id, table) = (field.id, field.table);
        let (mut with, mut parts) = (Vec::new(), Vec::new());
        for test in tests {
            match test {
                Test::NotEqual(value) => parts.push((true, vec![Test::Compare(" = ", value)])),
                Test::Exists(false) => parts.push((true, vec![Test::Exists(true)])),
                test => with.push(test),
            }
        }
        if !with.is_empty() {
            parts.push((false, with));
        }
        parts.into_iter().map(move |(without, tests)| Self {
            field: id,
            table,
            without,
            tests,
        })
    }

    pub(super) fn push(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push(if self.without {
            "t.id NOT IN ("
        } else {
            "t.id IN ("
        })
        .push("SELECT v.record_id FROM ")
        .push(self.table)
        .push(" v WHERE v.org_id = current_setting('devsignal.org_id')::uuid AND v.field_id = ")
        .push_bind(self.field);
        for test in &self.tests {
            sql.push(" AND ");
            test.push(sql, "v.key");
        }
        sql.push(")");
    }
}
