//! Questions about recorded signals.
//!
//! A page ends early when its signals are large: an answer must fit into one gRPC message. It then has `has_more`, and its
//! cursor goes on where it ended.

use contracts::signals::v1::Signal;
use ids::SignalId;
use jiff::{SignedDuration, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row as _};
use store::paging::{COUNT_CAP, Cursor, Fingerprint, Page, PageRequest, invalid_cursor};
use store::partitions::uuid_floor;
use store::{Db, OrgScope, ToSqlx as _, Ts, Tx};
use uuid::Uuid;

use super::row;
use crate::error::IngestError;

/// Most bytes of free-form data on a page, counted four times as JSON text: encoded for the wire, lists of short numbers
/// grow nearly so much, and an answer is at most 4 MiB. A page of ordinary signals is far below.
const PAGE_BYTES: i64 = 3_500_000;

/// Signals that were accepted under an earlier, larger setting of `max_ahead_secs` are found too.
const LEAST_AHEAD_SECS: i64 = 86_400;

/// Which signals, in which order. Checked values only.
#[derive(Debug, Clone, Default)]
pub struct SignalQuery {
    /// What happened.
    pub kind: Option<String>,
    /// Source.
    pub source: Option<Uuid>,
    /// Account.
    pub account: Option<Uuid>,
    /// Person.
    pub contact: Option<Uuid>,
    /// Person or anonymous profile.
    pub actor: Option<Uuid>,
    /// The sender's id of a visitor.
    pub visitor: Option<String>,
    /// At or after this time.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    /// Oldest first.
    pub ascending: bool,
    /// Count the matches.
    pub count: bool,
    /// How far ahead of its acceptance a signal may have happened.
    pub max_ahead_secs: u32,
}

/// Lists signals of the organization.
///
/// # Errors
/// The cursor is not one of this list, or the database failed.
pub async fn list(
    db: &Db,
    scope: &OrgScope,
    query: &SignalQuery,
    page: &PageRequest,
    fingerprint: Fingerprint,
) -> Result<Page<Signal>, IngestError> {
    let after = page.after.as_ref().map(position).transpose()?;
    let mut tx = db.begin(scope).await?;
    let mut sql = QueryBuilder::new("");
    page_of(&mut sql, scope, query, page, after);
    let rows = sql.build().fetch_all(&mut *tx).await?;
    let total_count = if query.count {
        Some(count(&mut tx, scope, query).await?)
    } else {
        None
    };
    tx.commit().await?;
    let found = rows.first().map_or(Ok(0), |row| row.try_get::<i64, _>("found"))?;
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let has_more = found > i64::from(page.limit) || i64::try_from(rows.len()).is_ok_and(|n| n < found);
    let kept = &rows[..rows.len().min(limit)];
    let next_cursor = match kept.last() {
        Some(last) if has_more => Some(cursor(last)?.encode(fingerprint)),
        _ => None,
    };
    let items = kept.iter().map(row::read).collect::<Result<Vec<_>, _>>()?;
    Ok(Page {
        items,
        next_cursor,
        has_more,
        total_count,
    })
}

/// Reads one signal of the organization.
///
/// # Errors
/// The database failed.
pub async fn get(db: &Db, scope: &OrgScope, id: SignalId) -> Result<Option<Signal>, IngestError> {
    let mut statement = QueryBuilder::<Postgres>::new("SELECT ");
    statement
        .push(row::COLUMNS)
        .push(" FROM signals t WHERE t.org_id = ")
        .push_bind(scope.uuid());
    statement.push(" AND t.id = ").push_bind(id.uuid());
    let mut tx = db.begin(scope).await?;
    let found = statement.build().fetch_optional(&mut *tx).await?;
    tx.commit().await?;
    Ok(found.as_ref().map(row::read).transpose()?)
}

/// How Postgres reads a page, with what it read: `EXPLAIN (ANALYZE, BUFFERS)` as JSON, for operators and for the test that
/// holds every list to its index.
///
/// # Errors
/// As [`list`].
pub async fn explain(
    db: &Db,
    scope: &OrgScope,
    query: &SignalQuery,
    page: &PageRequest,
) -> Result<serde_json::Value, IngestError> {
    let after = page.after.as_ref().map(position).transpose()?;
    let mut sql = QueryBuilder::new("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ");
    page_of(&mut sql, scope, query, page, after);
    let mut tx = db.begin(scope).await?;
    let plan = sql.build_query_scalar().fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(plan)
}

/// The page is cut to its bytes after the inner `LIMIT`, so that only its own rows are measured.
fn page_of(
    sql: &mut QueryBuilder<Postgres>,
    scope: &OrgScope,
    query: &SignalQuery,
    page: &PageRequest,
    after: Option<(Timestamp, Uuid)>,
) {
    let direction = if query.ascending { "ASC" } else { "DESC" };
    let order = format!("ORDER BY occurred_at {direction}, id {direction}");
    sql.push("SELECT * FROM (SELECT p.*, count(*) OVER () AS found, row_number() OVER w AS place,");
    sql.push(" sum(coalesce(4 * octet_length(metadata), 0)) OVER w AS bytes FROM (SELECT ")
        .push(row::COLUMNS);
    sql.push(" FROM signals t WHERE ");
    conditions(sql, scope, query);
    if let Some((at, id)) = after {
        sql.push(format!(
            " AND (t.occurred_at, t.id) {} (",
            if query.ascending { ">" } else { "<" }
        ));
        sql.push_bind(at.to_sqlx()).push(", ").push_bind(id).push(")");
    }
    sql.push(format!(
        " ORDER BY t.occurred_at {direction}, t.id {direction} LIMIT "
    ))
    .push_bind(page.fetch_limit());
    sql.push(format!(
        ") p WINDOW w AS ({order} ROWS UNBOUNDED PRECEDING)) q WHERE place = 1 OR bytes <= "
    ));
    sql.push_bind(PAGE_BYTES).push(" ").push(order);
}

fn conditions(sql: &mut QueryBuilder<Postgres>, scope: &OrgScope, query: &SignalQuery) {
    sql.push("t.org_id = ").push_bind(scope.uuid());
    if let Some(kind) = &query.kind {
        sql.push(" AND t.type = ").push_bind(kind.clone());
    }
    if let Some(visitor) = &query.visitor {
        sql.push(" AND t.anonymous_id = ").push_bind(visitor.clone());
    }
    for (column, value) in [
        ("source_id", query.source),
        ("account_id", query.account),
        ("actor_id", query.contact),
        ("actor_id", query.actor),
    ] {
        if let Some(value) = value {
            sql.push(format!(" AND t.{column} = ")).push_bind(value);
        }
    }
    if query.contact.is_some() {
        // A contact's actor id is the contact's, so that this tells contacts from anonymous profiles of the same id; an
        // equation would tell the planner of two independent conditions, and it would gather all rows and sort them.
        sql.push(" AND t.contact_id IS NOT NULL");
    }
    if let Some(from) = query.from {
        sql.push(" AND t.occurred_at >= ").push_bind(from.to_sqlx());
        // Nothing is accepted long before it happens, so older partitions hold nothing of that time.
        let ahead = i64::from(query.max_ahead_secs).max(LEAST_AHEAD_SECS);
        if let Ok(accepted) = from.checked_sub(SignedDuration::from_secs(ahead)) {
            sql.push(" AND t.id >= ").push_bind(uuid_floor(accepted));
        }
    }
    if let Some(to) = query.to {
        sql.push(" AND t.occurred_at < ").push_bind(to.to_sqlx());
    }
}

async fn count(tx: &mut Tx, scope: &OrgScope, query: &SignalQuery) -> Result<i64, IngestError> {
    let mut sql = QueryBuilder::new("SELECT count(*) FROM (SELECT FROM signals t WHERE ");
    conditions(&mut sql, scope, query);
    sql.push(" LIMIT ").push_bind(COUNT_CAP).push(") AS matches");
    Ok(sql.build_query_scalar().fetch_one(&mut **tx).await?)
}

fn cursor(row: &PgRow) -> Result<Cursor, sqlx::Error> {
    let at = row.try_get::<Ts, _>("occurred_at")?.to_jiff();
    let id: Uuid = row.try_get("id")?;
    Ok(Cursor(vec![at.as_microsecond().into(), id.to_string().into()]))
}

fn position(cursor: &Cursor) -> Result<(Timestamp, Uuid), IngestError> {
    let read = || match cursor.0.as_slice() {
        [at, id] => Some((
            Timestamp::from_microsecond(at.as_i64()?).ok()?,
            Uuid::try_parse(id.as_str()?).ok()?,
        )),
        _ => None,
    };
    read().ok_or_else(|| invalid_cursor().into())
}
