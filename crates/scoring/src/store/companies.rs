//! What is known of companies.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use ::store::{PipelineDb, Tx};
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::{Delivered, Outcome, by_index, claim_all, schedule};
use crate::domain::facts::Firmographics;
use crate::error::ScoringError;

/// Who tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// identity-resolver: learnt from signals.
    Discovered,
    /// crm: recorded, edits by hand included.
    Recorded,
}

impl Source {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Discovered => "discovered",
            Self::Recorded => "recorded",
        }
    }
}

/// What an event tells of a company that scoring keeps.
#[derive(Debug, Clone)]
pub struct Company {
    /// The account.
    pub account: Uuid,
    /// Who tells.
    pub source: Source,
    /// Counts up with each event of this source about this company.
    pub revision: i64,
    /// What is told.
    pub firmographics: Firmographics,
}

/// What is told about a company by one source: organization, account, source.
type Key<T> = (Uuid, Uuid, T);
/// What is to be kept, one for each key, in locking order.
type Newest<'a> = BTreeMap<Reverse<Key<&'a str>>, &'a Company>;

/// Keeps, in one transaction, what is told if it is newer than what its source told before. A company that is new, or
/// whose firmographics changed, is marked for scoring. Answers in the order of what is told.
///
/// # Errors
/// [`ScoringError::Store`]; nothing was changed then.
pub async fn learn_companies(
    pipeline: &PipelineDb,
    told: &[(Delivered, Company)],
    now: Timestamp,
) -> Result<Vec<Outcome>, ScoringError> {
    let mut tx = pipeline.begin().await?;
    let outcomes = claim_all(&mut tx, told.iter().map(|(delivered, _)| delivered)).await?;
    let newest = newest(told, &outcomes);
    if newest.is_empty() {
        tx.rollback().await;
        return Ok(outcomes);
    }
    by_index(&mut tx).await?;
    // A score event makes crm write the account and tell of it: what says nothing new must not be scored again. The
    // rows are locked for the comparison, so that of two events neither compares with what the other replaces.
    let before = lock(&mut tx, &newest).await?;
    let changed: BTreeSet<Reverse<(Uuid, Uuid)>> = keep(&mut tx, &newest)
        .await?
        .into_iter()
        .filter(|key| {
            let told = newest.get(&Reverse((key.0, key.1, key.2.as_str())));
            before.get(key) != told.map(|company| &company.firmographics)
        })
        .map(|(org, account, _)| Reverse((org, account)))
        .collect();
    let changed: Vec<(Uuid, Uuid)> = changed.into_iter().map(|Reverse(key)| key).collect();
    schedule::mark(&mut tx, &changed, now).await?;
    tx.commit().await?;
    Ok(outcomes)
}

/// Of what is told now, the highest revision about each company from each source: a statement cannot touch a row twice.
fn newest<'a>(told: &'a [(Delivered, Company)], outcomes: &[Outcome]) -> Newest<'a> {
    let mut newest = Newest::new();
    for ((delivered, company), outcome) in told.iter().zip(outcomes) {
        if *outcome == Outcome::Repeated {
            continue;
        }
        let key = (delivered.org.uuid(), company.account, company.source.as_str());
        let kept = newest.entry(Reverse(key)).or_insert(company);
        // Of equal ones the first counts, as it does with what is kept already.
        if kept.revision < company.revision {
            *kept = company;
        }
    }
    newest
}

/// Locks what is kept, and reads it. A subquery that locks is never joined otherwise than row by row: one look by index
/// for each key, in the order given.
async fn lock(tx: &mut Tx, newest: &Newest<'_>) -> Result<HashMap<Key<String>, Firmographics>, ScoringError> {
    let rows = keys(
        sqlx::query(
            "SELECT n.org_id, n.account_id, n.source, f.*
             FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS n(org_id, account_id, source)
             CROSS JOIN LATERAL (
                 SELECT employees, industry, country, funding_stage FROM firmographics k
                 WHERE k.org_id = n.org_id AND k.account_id = n.account_id AND k.source = n.source FOR UPDATE
             ) f",
        ),
        newest,
    )
    .fetch_all(&mut **tx)
    .await?;
    let rows = rows.iter().map(|row| Ok((key(row)?, from_row(row, 3)?)));
    Ok(rows.collect::<Result<_, sqlx::Error>>()?)
}

/// Writes what is newer than what is kept; returns its keys.
async fn keep(tx: &mut Tx, newest: &Newest<'_>) -> Result<Vec<Key<String>>, ScoringError> {
    let texts = |of: fn(&Firmographics) -> &Option<String>| -> Vec<Option<&str>> {
        newest
            .values()
            .map(|told| of(&told.firmographics).as_deref())
            .collect()
    };
    let employees: Vec<Option<i64>> = newest.values().map(|told| told.firmographics.employees).collect();
    let rows = keys(
        sqlx::query(
            "INSERT INTO firmographics AS f (org_id, account_id, source, revision,
                                             employees, industry, country, funding_stage)
             SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[],
                                  $5::bigint[], $6::text[], $7::text[], $8::text[])
             ON CONFLICT (org_id, account_id, source) DO UPDATE SET revision = excluded.revision,
                 employees = excluded.employees, industry = excluded.industry,
                 country = excluded.country, funding_stage = excluded.funding_stage
             WHERE f.revision < excluded.revision
             RETURNING org_id, account_id, source",
        ),
        newest,
    )
    .bind(newest.values().map(|told| told.revision).collect::<Vec<_>>())
    .bind(employees)
    .bind(texts(|told| &told.industry))
    .bind(texts(|told| &told.country))
    .bind(texts(|told| &told.funding_stage))
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.iter().map(key).collect::<Result<_, _>>()?)
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// `$1` organizations, `$2` accounts, `$3` sources.
fn keys<'q>(query: Query<'q>, newest: &Newest<'_>) -> Query<'q> {
    let keys = || newest.keys().map(|Reverse(key)| key);
    query
        .bind(keys().map(|key| key.0).collect::<Vec<_>>())
        .bind(keys().map(|key| key.1).collect::<Vec<_>>())
        .bind(keys().map(|key| key.2.to_owned()).collect::<Vec<_>>())
}

fn key(row: &PgRow) -> Result<Key<String>, sqlx::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

/// Firmographics in four columns from `first` on.
pub(super) fn from_row(row: &PgRow, first: usize) -> Result<Firmographics, sqlx::Error> {
    Ok(Firmographics {
        employees: row.try_get(first)?,
        industry: row.try_get(first + 1)?,
        country: row.try_get(first + 2)?,
        funding_stage: row.try_get(first + 3)?,
    })
}
