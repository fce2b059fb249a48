//! What is known of companies.

use ::store::PipelineDb;
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::{Delivered, Outcome, begin_once, schedule};
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

/// Keeps what is told if it is newer than what this source told before. A company that is new, or whose firmographics
/// changed, is marked for scoring.
///
/// # Errors
/// [`ScoringError::Store`]; nothing was changed then.
pub async fn learn_company(
    pipeline: &PipelineDb,
    delivered: &Delivered,
    company: &Company,
    now: Timestamp,
) -> Result<Outcome, ScoringError> {
    let Some(mut tx) = begin_once(pipeline, delivered).await? else {
        return Ok(Outcome::Repeated);
    };
    let org = delivered.org.uuid();
    let told = &company.firmographics;
    // A score event makes crm write the account and tell of it: what says nothing new must not be scored again. The
    // row is locked for the comparison, so that of two events neither compares with what the other replaces.
    let before = sqlx::query(
        "SELECT employees, industry, country, funding_stage FROM firmographics
         WHERE org_id = $1 AND account_id = $2 AND source = $3 FOR UPDATE",
    )
    .bind(org)
    .bind(company.account)
    .bind(company.source.as_str())
    .fetch_optional(&mut *tx)
    .await?;
    let before = before.map(|row| from_row(&row, 0)).transpose()?;
    let kept = sqlx::query(
        "INSERT INTO firmographics AS f (org_id, account_id, source, revision,
                                         employees, industry, country, funding_stage)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (org_id, account_id, source) DO UPDATE SET revision = excluded.revision,
             employees = excluded.employees, industry = excluded.industry,
             country = excluded.country, funding_stage = excluded.funding_stage
         WHERE f.revision < excluded.revision",
    )
    .bind(org)
    .bind(company.account)
    .bind(company.source.as_str())
    .bind(company.revision)
    .bind(told.employees)
    .bind(&told.industry)
    .bind(&told.country)
    .bind(&told.funding_stage)
    .execute(&mut *tx)
    .await?;
    if kept.rows_affected() > 0 && before.as_ref() != Some(told) {
        schedule::mark(&mut tx, &[(org, company.account)], now).await?;
    }
    tx.commit().await?;
    Ok(Outcome::Applied)
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
