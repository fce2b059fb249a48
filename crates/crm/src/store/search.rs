//! Search: candidates by terms, then their texts, then the order.
//!
//! Why two steps with two roles: under row-level security Postgres may not use an operator that is not leakproof to look into an
//! index before it has checked the policy, and none of those on arrays is (nor those of full text and trigrams). As the
//! request's role every search would read all rows of the organization. So the pipeline's role, whose policy is `true`, finds
//! ids, by terms that the organization is hashed into and by an explicit comparison; what is shown of them is read as the
//! request's role, and row-level security lets nothing else through.

use std::collections::HashSet;

use ::store::paging::{Cursor, Fingerprint, Page, PageRequest, invalid_cursor};
use ::store::{OrgScope, Tx};
use serde_json::json;
use sqlx::postgres::Postgres;
use sqlx::{Executor as _, QueryBuilder};
use uuid::Uuid;

use super::Records;
use super::search_rows::{COLUMNS, DocumentRow};
use crate::domain::search::{Document, Found, Kind, Query, Wanted, of_kinds, rank, wanted};
use crate::error::CrmError;

/// Most records that are looked at: more fit only what is too general to be ranked.
const CANDIDATES: i64 = 200;
/// Scores are compared in these steps.
const STEPS: f64 = 1e6;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct SearchRequest<'a> {
    /// The text.
    pub query: &'a Query,
    /// Which kinds of records.
    pub kinds: &'a [Kind],
    /// Page size.
    pub limit: Option<i32>,
    /// Where to go on.
    pub cursor: Option<&'a str>,
}

impl Records {
    /// A page of what fits, the best first.
    ///
    /// # Errors
    /// A request that is not valid, or of the database.
    pub async fn search(
        &self,
        scope: &OrgScope,
        request: &SearchRequest<'_>,
    ) -> Result<Page<(Document, Found)>, CrmError> {
        let kinds: Vec<&str> = request.kinds.iter().map(|kind| kind.name()).collect();
        let filters = [
            ("q".to_owned(), request.query.words().join(" ")),
            ("types".to_owned(), kinds.join(",")),
        ];
        let fingerprint = Fingerprint::new(scope.org(), "Search", "-score", &filters);
        let page = PageRequest::parse(request.limit, request.cursor, fingerprint)?;
        let after = page
            .after
            .as_ref()
            .map(|cursor| place(cursor).ok_or_else(|| CrmError::Api(invalid_cursor())))
            .transpose()?;
        let mut found = self.ranked(scope, request).await?;
        if let Some(after) = after {
            found.retain(|(document, fit)| key(document, fit) > after);
        }
        found.truncate(usize::try_from(page.fetch_limit()).unwrap_or_default());
        Ok(Page::of(found, &page, fingerprint, |(document, fit)| {
            let (score, id) = key(document, fit);
            Cursor(vec![json!(-score), json!(id)])
        }))
    }

    async fn ranked(
        &self,
        scope: &OrgScope,
        request: &SearchRequest<'_>,
    ) -> Result<Vec<(Document, Found)>, CrmError> {
        let mut ids = self.candidates(scope, request).await?;
        ids.extend(request.query.id());
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.db.begin(scope).await?;
        let rows: Vec<DocumentRow> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM search_documents WHERE org_id = $1 AND id = ANY($2)"
        )))
        .bind(scope.uuid())
        .bind(ids)
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let document = Document::try_from(row)?;
            if let Some(fit) =
                rank(&document, request.query).filter(|_| request.kinds.contains(&document.kind))
            {
                found.push((document, fit));
            }
        }
        found.sort_by_key(|(document, fit)| key(document, fit));
        Ok(found)
    }

    async fn candidates(&self, scope: &OrgScope, request: &SearchRequest<'_>) -> Result<Vec<Uuid>, CrmError> {
        let wanted = wanted(scope.org(), request.query);
        let kinds = if request.kinds.len() == Kind::ALL.len() {
            Vec::new()
        } else {
            of_kinds(scope.org(), request.kinds)
        };
        let mut tx = self.pipeline.begin().await?;
        prepare(&mut tx).await?;
        let ids: Vec<Uuid> = statement(scope, &wanted, &kinds)
            .build_query_scalar()
            .fetch_all(&mut *tx)
            .await?;
        tx.rollback().await;
        let mut seen = HashSet::new();
        Ok(ids.into_iter().filter(|id| seen.insert(*id)).collect())
    }

    /// How Postgres reads the candidates, for tests and measurements.
    ///
    /// # Errors
    /// Of the database.
    pub async fn explain_search(
        &self,
        scope: &OrgScope,
        query: &Query,
        kinds: &[Kind],
    ) -> Result<Vec<String>, CrmError> {
        let kinds = of_kinds(scope.org(), kinds);
        let mut tx = self.pipeline.begin().await?;
        prepare(&mut tx).await?;
        let mut sql = QueryBuilder::new("EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) ");
        push(&mut sql, scope, &wanted(scope.org(), query), &kinds);
        let lines = sql.build_query_scalar().fetch_all(&mut *tx).await?;
        tx.rollback().await;
        Ok(lines)
    }
}

/// Enough memory that positions of many rows are not forgotten down to pages. The index over terms is read for its positions only. To read rows in another order until enough fit would look cheaper to the
/// planner when it takes the terms for frequent.
async fn prepare(tx: &mut Tx) -> Result<(), CrmError> {
    (&mut **tx)
        .execute(
            "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; SET LOCAL work_mem = '32MB'",
        )
        .await?;
    Ok(())
}

fn statement(scope: &OrgScope, wanted: &Wanted, kinds: &[i32]) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("");
    push(&mut sql, scope, wanted, kinds);
    sql
}

/// One part after the other: a part is not begun when those before gave enough.
fn push(sql: &mut QueryBuilder<Postgres>, scope: &OrgScope, wanted: &Wanted, kinds: &[i32]) {
    sql.push("SELECT id FROM (");
    part(sql, scope, kinds, |sql| {
        sql.push("terms @> ").push_bind(vec![wanted.exact]);
    });
    // Each first in the sample: what fills the answer there is too frequent to be read in full.
    let parts = [
        (&wanted.sampled_whole, None),
        (&wanted.whole, Some(&wanted.sampled_whole)),
        (&wanted.sampled_begins, None),
        (&wanted.begins, Some(&wanted.sampled_begins)),
        (&wanted.inside, None),
    ];
    for (all, but) in parts {
        sql.push(" UNION ALL ");
        part(sql, scope, kinds, |sql| {
            sql.push("terms @> ").push_bind(all.clone());
            if let Some(but) = but {
                sql.push(" AND NOT terms @> ").push_bind(but.clone());
            }
        });
    }
    if !wanted.mistyped.is_empty() {
        sql.push(" UNION ALL ");
        part(sql, scope, kinds, |sql| mistyped(sql, wanted));
    }
    sql.push(") found LIMIT ").push_bind(CANDIDATES);
}

fn mistyped(sql: &mut QueryBuilder<Postgres>, wanted: &Wanted) {
    for (n, any) in wanted.mistyped.iter().enumerate() {
        sql.push(if n == 0 { "terms && " } else { " AND terms && " })
            .push_bind(any.clone());
    }
}

fn part(
    sql: &mut QueryBuilder<Postgres>,
    scope: &OrgScope,
    kinds: &[i32],
    terms: impl FnOnce(&mut QueryBuilder<Postgres>),
) {
    sql.push("(SELECT id FROM search_documents WHERE ");
    terms(sql);
    if !kinds.is_empty() {
        sql.push(" AND terms && ").push_bind(kinds.to_vec());
    }
    // In a form that no index serves: the primary key would be read from end to end.
    sql.push(" AND (org_id = ")
        .push_bind(scope.uuid())
        .push(") IS TRUE LIMIT ")
        .push_bind(CANDIDATES)
        .push(")");
}

/// The order of what is found: score, falling, then id.
fn key(document: &Document, fit: &Found) -> (i64, Uuid) {
    #[expect(clippy::cast_possible_truncation, reason = "from 0 to 1,000,000")]
    let steps = (fit.score * STEPS) as i64;
    (-steps, document.id)
}

fn place(cursor: &Cursor) -> Option<(i64, Uuid)> {
    let [score, id] = cursor.0.as_slice() else {
        return None;
    };
    Some((-score.as_i64()?, id.as_str()?.parse().ok()?))
}
