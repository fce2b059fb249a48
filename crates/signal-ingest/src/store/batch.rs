//! Reading many records with one statement.

use contracts::signals::v1::Signal;
use errors::{ApiError, ErrorCode};
use sqlx::{QueryBuilder, Row as _};
use store::{Db, OrgScope};
use uuid::Uuid;

use super::row;
use super::sources::{COLUMNS, SourceRow};
use crate::error::IngestError;

/// Most bytes of free-form data in one answer, counted once as JSON text; the answer's limit is 16 MiB.
const ANSWER_BYTES: i64 = 3_500_000;

/// Whose signals.
#[derive(Debug, Clone, Copy)]
pub enum Owner {
    /// Of an account.
    Account,
    /// Of a known person.
    Contact,
}

/// The newest signals of each owner, owner by owner.
///
/// # Errors
/// `too_large` when they do not fit into one answer; the database failed.
pub async fn signals(
    db: &Db,
    scope: &OrgScope,
    owner: Owner,
    ids: Vec<Uuid>,
    of_each: i32,
) -> Result<Vec<(Uuid, Signal)>, IngestError> {
    let condition = match owner {
        Owner::Account => "t.account_id = k.id",
        Owner::Contact => "t.actor_id = k.id AND t.contact_id IS NOT NULL",
    };
    let mut sql =
        QueryBuilder::new("SELECT * FROM (SELECT k.id AS owner, s.*, row_number() OVER () AS place, ");
    sql.push("sum(coalesce(octet_length(s.metadata), 0)) OVER () AS bytes FROM unnest(");
    sql.push_bind(ids)
        .push("::uuid[]) AS k (id) CROSS JOIN LATERAL (SELECT ");
    sql.push(row::COLUMNS).push(" FROM signals t WHERE t.org_id = ");
    sql.push_bind(scope.uuid()).push(" AND ").push(condition);
    sql.push(" ORDER BY t.occurred_at DESC, t.id DESC LIMIT ");
    sql.push_bind(i64::from(of_each)).push(") s) q WHERE bytes <= ");
    sql.push_bind(ANSWER_BYTES)
        .push(" OR place = 1 ORDER BY owner, occurred_at DESC, id DESC");
    let mut tx = db.begin(scope).await?;
    let rows = sql.build().fetch_all(&mut *tx).await?;
    tx.commit().await?;
    let bytes = rows.first().map_or(Ok(0), |row| row.try_get::<i64, _>("bytes"))?;
    if bytes > ANSWER_BYTES {
        let detail = "these signals do not fit into one answer; ask for fewer of each";
        return Err(ApiError::new(ErrorCode::TooLarge, detail).into());
    }
    rows.iter()
        .map(|row| Ok((row.try_get("owner")?, row::read(row)?)))
        .collect()
}

/// The sources of these ids, in no order; without what does not exist.
///
/// # Errors
/// The database failed.
pub async fn sources(db: &Db, scope: &OrgScope, ids: Vec<Uuid>) -> Result<Vec<SourceRow>, IngestError> {
    let mut sql = QueryBuilder::new("SELECT ");
    sql.push(COLUMNS).push(" FROM sources t WHERE t.org_id = ");
    sql.push_bind(scope.uuid())
        .push(" AND t.id = ANY(")
        .push_bind(ids)
        .push(")");
    let mut tx = db.begin(scope).await?;
    let found = sql.build_query_as::<SourceRow>().fetch_all(&mut *tx).await?;
    tx.commit().await?;
    Ok(found)
}
