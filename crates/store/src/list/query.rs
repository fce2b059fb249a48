//! From a checked list to SQL and a page.

use sqlx::postgres::{PgRow, Postgres};
use sqlx::{FromRow, QueryBuilder};
use uuid::Uuid;

use super::tree::Tree;
use super::value::Position;
use super::{Condition, ListSpec, Match, Sort};
use crate::paging::{COUNT_CAP, Fingerprint, Page, PageRequest};
use crate::{StoreError, Tx};

/// A checked list, ready to run.
#[derive(Debug)]
pub struct ListQuery {
    pub(super) spec: ListSpec,
    pub(super) org: Uuid,
    pub(super) conditions: Vec<Condition>,
    pub(super) sort: Sort,
    pub(super) descending: bool,
    pub(super) page: PageRequest,
    pub(super) after: Option<Position>,
    pub(super) fingerprint: Fingerprint,
    pub(super) count: bool,
    pub(super) tree: Option<Tree>,
}

/// Which rows of a nullable sort column a statement reads. One statement each: a condition that covers both could not
/// be answered from a position in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The column is never null.
    Whole,
    Values,
    Nulls,
}

impl ListQuery {
    /// Reads the page. `tx` must be of the organization that the list was prepared for; its rows only are selected, by
    /// row-level security and by an explicit condition.
    ///
    /// # Errors
    /// Of the database only.
    pub async fn fetch<T>(&self, tx: &mut Tx) -> Result<Page<T>, StoreError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let wanted = self.page.fetch_limit();
        let mut rows: Vec<PgRow> = Vec::new();
        for (part, after) in self.parts() {
            let missing = wanted - i64::try_from(rows.len()).unwrap_or(wanted);
            if missing <= 0 {
                break;
            }
            rows.extend(
                self.select(part, after, missing)
                    .build()
                    .fetch_all(&mut **tx)
                    .await?,
            );
        }
        let mut positioned = Vec::with_capacity(rows.len());
        for row in &rows {
            positioned.push((T::from_row(row)?, Position::of(row, self.sort.kind)?));
        }
        let page = Page::of(positioned, &self.page, self.fingerprint, |(_, position)| {
            position.cursor()
        });
        let mut page = page.map(|(item, _)| item);
        if self.count {
            page.total_count = Some(self.count_up().build_query_scalar().fetch_one(&mut **tx).await?);
        }
        Ok(page)
    }

    /// The statements to run in order, the first of them from the cursor's position on.
    fn parts(&self) -> Vec<(Part, Option<&Position>)> {
        let after = self.after.as_ref();
        if !self.sort.nullable {
            return vec![(Part::Whole, after)];
        }
        let order = if self.descending {
            [Part::Values, Part::Nulls]
        } else {
            [Part::Nulls, Part::Values]
        };
        let Some(position) = after else {
            return order.map(|part| (part, None)).to_vec();
        };
        let begun = if position.key.is_some() {
            Part::Values
        } else {
            Part::Nulls
        };
        if begun == order[0] {
            vec![(begun, after), (order[1], None)]
        } else {
            vec![(begun, after)]
        }
    }

    fn select(&self, part: Part, after: Option<&Position>, limit: i64) -> QueryBuilder<Postgres> {
        let (columns, key) = (self.spec.columns, self.sort.column);
        let mut sql = QueryBuilder::new("SELECT ");
        sql.push(columns)
            .push(", t.")
            .push(key)
            .push(" AS list_key, t.id AS list_id");
        self.push_selection(&mut sql);
        match part {
            Part::Whole => {}
            Part::Values => {
                sql.push(" AND t.").push(key).push(" IS NOT NULL");
            }
            Part::Nulls => {
                sql.push(" AND t.").push(key).push(" IS NULL");
            }
        }
        let (beyond, direction, nulls) = match (self.descending, self.sort.nullable) {
            (true, false) => (" < ", " DESC", ""),
            (true, true) => (" < ", " DESC", " NULLS LAST"),
            (false, false) => (" > ", "", ""),
            (false, true) => (" > ", "", " NULLS FIRST"),
        };
        if let Some(position) = after {
            match &position.key {
                Some(value) => {
                    sql.push(" AND (t.")
                        .push(key)
                        .push(", t.id)")
                        .push(beyond)
                        .push("(");
                    value.push(&mut sql);
                    sql.push(", ").push_bind(position.id).push(")");
                }
                None => {
                    sql.push(" AND t.id").push(beyond).push_bind(position.id);
                }
            }
        }
        sql.push(" ORDER BY t.")
            .push(key)
            .push(direction)
            .push(nulls)
            .push(", t.id")
            .push(direction);
        sql.push(" LIMIT ").push_bind(limit);
        sql
    }

    fn count_up(&self) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new("SELECT count(*) FROM (SELECT 1");
        self.push_selection(&mut sql);
        sql.push(" LIMIT ").push_bind(COUNT_CAP).push(") AS counted");
        sql
    }

    /// `FROM … WHERE …`: the organization, the constant condition, the filters.
    fn push_selection(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push(" FROM ")
            .push(self.spec.table)
            .push(" AS t WHERE t.org_id = ")
            .push_bind(self.org);
        if let Some(condition) = self.spec.condition {
            sql.push(" AND (").push(condition).push(")");
        }
        for Condition { matches, value } in &self.conditions {
            let (before, behind) = match matches {
                Match::Eq(column) => (format!("t.{column} = "), ""),
                Match::AtLeast(column) => (format!("t.{column} >= "), ""),
                Match::Below(column) => (format!("t.{column} < "), ""),
                Match::Sql(condition) => {
                    let (before, behind) = condition.split_once("{}").unwrap_or((condition, ""));
                    (before.to_owned(), behind)
                }
            };
            sql.push(" AND (").push(before);
            value.push(sql);
            sql.push(behind).push(")");
        }
        if let Some(tree) = &self.tree {
            sql.push(" AND ");
            tree.push(sql);
        }
    }
}
