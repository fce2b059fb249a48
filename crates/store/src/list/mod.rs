//! Lists of one table: filters, sorts, keyset pages and capped counts, from a description of what is allowed.
//!
//! Everything that a caller sends is a bind parameter; names and conditions come from `&'static` descriptions only.
//! A page is found by its position in an index, never by counting rows: the last page is as quick as the first.

mod query;
mod tree;
mod value;
mod values;

use errors::ApiError;

use crate::OrgScope;
use crate::paging::{Fingerprint, PageRequest, invalid_parameter};

pub use query::ListQuery;
pub use tree::Field;
use tree::Tree;
use value::{Position, Value};
pub use values::{Key, ValueField};

/// What may be listed, and how. A `const` of a service.
///
/// ```
/// use store::list::{Filter, Kind, ListSpec, Match, Sort, SortKind};
///
/// const ACCOUNTS: ListSpec = ListSpec {
///     table: "accounts",
///     columns: "t.id, t.name, t.score",
///     condition: Some("t.deleted_at IS NULL"),
///     filters: &[
///         Filter { name: "tier", kind: Kind::OneOf(&["HOT", "WARM"]), matches: Match::Eq("tier") },
///         Filter { name: "email", kind: Kind::Text, matches: Match::Sql(
///             "EXISTS (SELECT FROM emails e WHERE e.org_id = t.org_id AND e.account_id = t.id AND e.email = {})") },
///     ],
///     sorts: &[Sort { name: "score", column: "score", kind: SortKind::Int, nullable: true }],
///     default_sort: "-score",
/// };
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ListSpec {
    /// The table (or view with `security_invoker`); it has the columns `org_id` and `id`. Its alias is `t`.
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
    /// The column of `t` equals the value.
    Eq(&'static str),
    /// The column of `t` is at or above the value.
    AtLeast(&'static str),
    /// The column of `t` is below the value.
    Below(&'static str),
    /// A condition over `t` in which `{}`, once, is the value.
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

/// An allowed sort, backed by an index that serves both directions: `(org_id, <column>, id)`, and for a nullable
/// column `(org_id, <column> NULLS FIRST, id)`. Rows without a value count as lowest: last in descending order, first
/// in ascending order.
#[derive(Debug, Clone, Copy)]
pub struct Sort {
    /// Its name in the API, for example `createdAt`.
    pub name: &'static str,
    /// The column of `t`.
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
    /// `double precision`, never `NaN`
    Float,
    /// `timestamptz`
    Time,
    /// `uuid`
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

/// A checked filter.
#[derive(Debug, Clone)]
struct Condition {
    matches: Match,
    value: Value,
}

impl ListSpec {
    /// Checks the request. `method` tells lists of the same table apart in cursors.
    ///
    /// # Errors
    /// `invalid_parameter` naming the parameter and what is allowed; `invalid_cursor`.
    pub fn prepare(
        &self,
        scope: &OrgScope,
        method: &str,
        request: &ListRequest<'_>,
    ) -> Result<ListQuery, ApiError> {
        let (sort, descending, sort_text) = self.sort(request.sort)?;
        let mut conditions = Vec::with_capacity(request.filters.len());
        for (index, (name, value)) in request.filters.iter().enumerate() {
            if request.filters[..index]
                .iter()
                .any(|(earlier, _)| earlier == name)
            {
                return Err(invalid_parameter(
                    &pointer(name),
                    "repeated",
                    format!("filter {name:?} is given twice"),
                ));
            }
            conditions.push(self.condition(name, value)?);
        }
        let count = match request.include {
            None | Some("") => false,
            Some("totalCount") => true,
            Some(_) => {
                let message = "include can only be totalCount".to_owned();
                return Err(invalid_parameter("?include", "unknown", message));
            }
        };
        let fingerprint = Fingerprint::new(scope.org(), method, sort_text, &request.filters);
        let page = PageRequest::parse(request.limit, request.cursor, fingerprint)?;
        let after = page
            .after
            .as_ref()
            .map(|cursor| Position::read(cursor, &sort))
            .transpose()?;
        Ok(ListQuery {
            spec: *self,
            org: scope.uuid(),
            conditions,
            sort,
            descending,
            page,
            after,
            fingerprint,
            count,
            tree: None,
        })
    }

    /// As [`ListSpec::prepare`], with a full filter (`where`) over `fields` beside the simple ones.
    ///
    /// # Errors
    /// As there; `validation_failed` with a JSON pointer into `/where`.
    pub fn prepare_where(
        &self,
        scope: &OrgScope,
        method: &str,
        request: &ListRequest<'_>,
        fields: &[Field],
        filter: Option<&serde_json::Map<String, serde_json::Value>>,
    ) -> Result<ListQuery, ApiError> {
        self.prepare_values(scope, method, request, fields, &[], filter)
    }

    /// As [`ListSpec::prepare_where`], with fields beside those of the description whose values stand in rows.
    ///
    /// # Errors
    /// As there.
    pub fn prepare_values(
        &self,
        scope: &OrgScope,
        method: &str,
        request: &ListRequest<'_>,
        fields: &[Field],
        values: &[ValueField],
        filter: Option<&serde_json::Map<String, serde_json::Value>>,
    ) -> Result<ListQuery, ApiError> {
        let Some(filter) = filter else {
            return self.prepare(scope, method, request);
        };
        let tree = Tree::parse(filter, fields, values)?;
        // The cursor belongs to this filter too.
        let method = format!("{method} {}", serde_json::Value::Object(filter.clone()));
        let mut query = self.prepare(scope, &method, request)?;
        query.tree = Some(tree);
        Ok(query)
    }

    fn sort<'a>(&'a self, asked: Option<&'a str>) -> Result<(Sort, bool, &'a str), ApiError> {
        let text = asked.filter(|text| !text.is_empty()).unwrap_or(self.default_sort);
        let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        let sort = self.sorts.iter().find(|sort| sort.name == name).ok_or_else(|| {
            let allowed: Vec<_> = self
                .sorts
                .iter()
                .map(|sort| format!("{0}, -{0}", sort.name))
                .collect();
            let message = format!("sort must be one of: {}", allowed.join(", "));
            invalid_parameter("?sort", "unknown", message)
        })?;
        Ok((*sort, descending, text))
    }

    fn condition(&self, name: &str, value: &str) -> Result<Condition, ApiError> {
        let filter = self
            .filters
            .iter()
            .find(|filter| filter.name == name)
            .ok_or_else(|| {
                let allowed: Vec<_> = self.filters.iter().map(|filter| filter.name).collect();
                let message = match allowed.as_slice() {
                    [] => "this list has no filters".to_owned(),
                    names => format!("filters must be among: {}", names.join(", ")),
                };
                invalid_parameter(&pointer(name), "unknown", message)
            })?;
        let value = Value::parse(filter.kind, value).map_err(|expected| {
            invalid_parameter(&pointer(name), "invalid", format!("{name} must be {expected}"))
        })?;
        Ok(Condition {
            matches: filter.matches,
            value,
        })
    }
}

fn pointer(name: &str) -> String {
    let name: String = name.chars().take(100).collect();
    format!("?filter[{name}]")
}
