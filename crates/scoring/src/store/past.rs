//! Loads what a new score is compared with: the score before, older ones, and what is known of the company.

use ::store::{ToSqlx as _, Ts, Tx};
use jiff::{SignedDuration, Timestamp};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::companies::from_row;
use crate::domain::facts::Firmographics;
use crate::domain::model::Model;
use crate::domain::trend::{PastScore, Reference};
use crate::error::ScoringError;

/// The score that is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoredScore {
    /// The score.
    pub score: i32,
    /// Number of the tier.
    pub tier: i16,
    /// Number of the trend.
    pub trend: i16,
    /// Highest used share of a limit at that time.
    pub limit_ratio: Option<f64>,
    /// Number of the last event about the account.
    pub revision: i64,
    /// Number of the last write.
    pub version: i64,
}

/// What is known besides activity.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// The score before, if there is one.
    pub stored: Option<StoredScore>,
    /// What the trend compares with.
    pub reference: Reference,
    /// The company.
    pub firmographics: Firmographics,
}

/// Loads the past of accounts that are scored by one model, in the order asked.
///
/// # Errors
/// [`ScoringError::Store`].
pub(crate) async fn load(
    tx: &mut Tx,
    model: &Model,
    accounts: &[(Uuid, Uuid)],
    now: Timestamp,
) -> Result<Vec<Past>, ScoringError> {
    let window = SignedDuration::from_hours(i64::from(model.trend.window_days) * 24);
    let rows = sqlx::query(
        "SELECT s.score, s.tier, s.trend, s.limit_ratio, s.revision, s.version,
                w.score AS window_score, w.computed_at AS window_at, o.score AS oldest_score, o.computed_at AS oldest_at,
                c.employees, c.industry, c.country, c.funding_stage,
                d.employees, d.industry, d.country, d.funding_stage
         FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS k(org_id, account_id, n)
         LEFT JOIN scores s ON s.org_id = k.org_id AND s.account_id = k.account_id
         LEFT JOIN LATERAL (
             SELECT h.score, h.computed_at FROM score_history h
             WHERE h.org_id = k.org_id AND h.account_id = k.account_id AND h.computed_at <= $3
             ORDER BY h.computed_at DESC, h.revision DESC LIMIT 1) w ON true
         LEFT JOIN LATERAL (
             SELECT h.score, h.computed_at FROM score_history h
             WHERE h.org_id = k.org_id AND h.account_id = k.account_id
             ORDER BY h.computed_at, h.revision LIMIT 1) o ON true
         LEFT JOIN firmographics c
             ON c.org_id = k.org_id AND c.account_id = k.account_id AND c.source = 'recorded'
         LEFT JOIN firmographics d
             ON d.org_id = k.org_id AND d.account_id = k.account_id AND d.source = 'discovered'
         ORDER BY k.n",
    )
    .bind(accounts.iter().map(|(org, _)| *org).collect::<Vec<_>>())
    .bind(accounts.iter().map(|(_, account)| *account).collect::<Vec<_>>())
    .bind(now.checked_sub(window).unwrap_or(Timestamp::MIN).to_sqlx())
    .fetch_all(&mut **tx)
    .await?;
    rows.iter()
        .map(|row| read(row).map_err(ScoringError::from))
        .collect()
}

fn read(row: &PgRow) -> Result<Past, sqlx::Error> {
    let stored = match row.try_get::<Option<i16>, _>(0)? {
        None => None,
        Some(score) => Some(StoredScore {
            score: score.into(),
            tier: row.try_get(1)?,
            trend: row.try_get(2)?,
            limit_ratio: row.try_get(3)?,
            revision: row.try_get(4)?,
            version: row.try_get(5)?,
        }),
    };
    let past = |score: usize| -> Result<Option<PastScore>, sqlx::Error> {
        let points: Option<i16> = row.try_get(score)?;
        let at: Option<Ts> = row.try_get(score + 1)?;
        Ok(points.zip(at).map(|(points, at)| PastScore {
            at: at.to_jiff(),
            score: points.into(),
        }))
    };
    Ok(Past {
        stored,
        reference: Reference {
            window_ago: past(6)?,
            oldest: past(8)?,
        },
        firmographics: from_row(row, 10)?.or(from_row(row, 14)?),
    })
}
