//! Columns to domain values.

use std::sync::Arc;

use ::store::{StoreError, Ts};
use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row as _, Type};

use crate::domain::{Rule, Stated};

/// A value with the time of its statement, from two columns.
pub(super) fn stated<T>(row: &PgRow, value: &str, at: &str) -> Result<Option<Stated<T>>, StoreError>
where
    T: for<'r> Decode<'r, Postgres> + Type<Postgres>,
{
    let value: Option<T> = row.try_get(value)?;
    let at: Option<Ts> = row.try_get(at)?;
    Ok(value.zip(at).map(|(value, at)| Stated {
        value,
        at: at.to_jiff(),
    }))
}

/// The same for text, which is shared.
pub(super) fn stated_text(
    row: &PgRow,
    value: &str,
    at: &str,
) -> Result<Option<Stated<Arc<str>>>, StoreError> {
    let stated: Option<Stated<String>> = stated(row, value, at)?;
    Ok(stated.map(|stated| Stated {
        value: stated.value.into(),
        at: stated.at,
    }))
}

/// A value that only a later release can have written.
pub(super) fn unknown(what: &str, value: &str) -> StoreError {
    StoreError::Sql(sqlx::Error::Decode(
        format!("{what} {value:?} is not known to this release").into(),
    ))
}

/// A rule by its name.
pub(super) fn rule(name: &str) -> Result<Rule, StoreError> {
    Rule::parse(name).ok_or_else(|| unknown("rule", name))
}
