//! Lists of one table: filters, sorts, keyset pages and capped counts, from a description of what is allowed.
//!
//! Everything that a caller sends is a bind parameter; names and conditions come from `&'static` descriptions only.

use errors::ApiError;
use sqlx::FromRow;
use sqlx::postgres::PgRow;

use crate::paging::Page;
use crate::{OrgScope, StoreError, Tx};

/// What may be listed, and how. A `const` of a service.
#[derive(Debug, Clone, Copy)]
pub struct ListSpec {
    /// `FROM` item with the columns `org_id` and `id`, under the alias `t`: a table's name. Joins go into `columns` as
    /// subselects or into a view.
    pub table: &'static str,
    /// Select list over `t`, decoded by the row type's `FromRow`.
    pub columns: &'static str,
    /// A condition over `t` that always holds, for example `t.deleted_at IS NULL`.
    pub condition: Option<&'static str>,
    /// The filters that are allowed.
    pub filters: &'static [Filter],
    /// The sorts that are allowed, each in both directions.
    pub sorts: &'static [Sort],
    /// The sort when none is asked for, for example `-createdAt`.
    pub default_sort: &'static str,
}

/// An allowed filter.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    /// Its name in the API, for example `accountId`.
    pub name: &'static str,
    /// What its value must be.
    pub kind: Kind,
    /// How it selects.
    pub matches: Match,
}

/// How a filter selects rows.
#[derive(Debug, Clone, Copy)]
pub enum Match {
    /// The column equals the value.
    Eq(&'static str),
    /// The column is at or above the value.
    AtLeast(&'static str),
    /// The column is below the value.
    Below(&'static str),
    /// A condition over `t` in which `{}` is the value.
    Sql(&'static str),
}

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Text of at most 1,000 characters.
    Text,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A UUID in canonical form.
    Uuid,
    /// A whole number.
    Int,
    /// `true` or `false`.
    Bool,
    /// An RFC 3339 time.
    Time,
}

/// An allowed sort. Backed by an index `(org_id, <column> DESC NULLS LAST, id DESC)`, which serves both directions:
/// rows without a value come last in descending order and first in ascending order.
#[derive(Debug, Clone, Copy)]
pub struct Sort {
    /// Its name in the API, for example `createdAt`.
    pub name: &'static str,
    /// The column.
    pub column: &'static str,
    /// The column's type.
    pub kind: SortKind,
    /// Whether the column may be null.
    pub nullable: bool,
}

/// The type of a sort column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKind {
    /// `text`
    Text,
    /// `bigint`
    Int,
    /// `double precision`
    Float,
    /// `timestamptz`
    Time,
    /// `uuid`; also for sorting by `id` itself.
    Uuid,
}

/// What the caller asks for, as it came.
#[derive(Debug, Clone, Default)]
pub struct ListRequest<'a> {
    /// `?limit`
    pub limit: Option<i32>,
    /// `?cursor`
    pub cursor: Option<&'a str>,
    /// `?sort`
    pub sort: Option<&'a str>,
    /// `?filter[name]=value`, and other parameters that are filters in the description.
    pub filters: Vec<(String, String)>,
    /// `?include`
    pub include: Option<&'a str>,
}

/// A checked list, ready to run.
#[derive(Debug)]
pub struct ListQuery {}

impl ListSpec {
    /// Checks the request. `method` tells lists of the same table apart in cursors.
    ///
    /// # Errors
    /// `invalid_parameter` naming the parameter and what is allowed; `invalid_cursor`.
    pub fn prepare(
        &self,
        _scope: &OrgScope,
        _method: &str,
        _request: &ListRequest<'_>,
    ) -> Result<ListQuery, ApiError> {
        todo!()
    }
}

impl ListQuery {
    /// Reads the page. `tx` must be of the organization that the list was prepared for; its rows only are selected, by
    /// row-level security and by an explicit condition.
    ///
    /// # Errors
    /// Of the database only.
    pub async fn fetch<T>(&self, _tx: &mut Tx) -> Result<Page<T>, StoreError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        todo!()
    }
}
