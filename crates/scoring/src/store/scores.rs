//! Writes and reads scores.

use std::collections::HashSet;

use ::store::{ToSqlx as _, Tx};
use contracts::scores::v1::AccountScore;
use jiff::Timestamp;
use prost::Message as _;
use uuid::Uuid;

use crate::error::ScoringError;

/// A score to be stored.
#[derive(Debug, Clone)]
pub struct NewScore {
    /// Organization.
    pub org: Uuid,
    /// Account.
    pub account: Uuid,
    /// The score.
    pub score: i16,
    /// Number of the tier.
    pub tier: i16,
    /// Number of the trend.
    pub trend: i16,
    /// Highest used share of a limit.
    pub limit_ratio: Option<f64>,
    /// Number of the event that tells of it, or of the one before if none does.
    pub revision: i64,
    /// One more than the version it was computed against.
    pub version: i64,
    /// When it was computed.
    pub computed_at: Timestamp,
    /// The model.
    pub model: String,
    /// Points of the factors, in the model's order.
    pub points: Vec<i16>,
    /// Everything, as it is told.
    pub detail: AccountScore,
    /// Whether score, tier or trend is another than before.
    pub moved: bool,
}

/// Stores the scores, and what moved also in the history. Returns the accounts that were written: one that another
/// worker wrote since the version was read is not.
///
/// # Errors
/// [`ScoringError::Store`].
pub(crate) async fn write(tx: &mut Tx, scores: &[NewScore]) -> Result<HashSet<(Uuid, Uuid)>, ScoringError> {
    let mut rows: Vec<&NewScore> = scores.iter().collect();
    rows.sort_unstable_by_key(|row| std::cmp::Reverse((row.org, row.account)));
    let written: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "INSERT INTO scores AS s (org_id, account_id, score, tier, trend, limit_ratio, revision, version,
                                  computed_at, model, detail)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::smallint[], $5::smallint[], $6::float8[],
                              $7::bigint[], $8::bigint[], $9::timestamptz[], $10::text[], $11::bytea[])
         ON CONFLICT (org_id, account_id) DO UPDATE SET
             score = excluded.score, tier = excluded.tier, trend = excluded.trend, limit_ratio = excluded.limit_ratio,
             revision = excluded.revision, version = excluded.version, computed_at = excluded.computed_at,
             model = excluded.model, detail = excluded.detail
         WHERE s.version = excluded.version - 1
         RETURNING org_id, account_id",
    )
    .bind(rows.iter().map(|row| row.org).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.account).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.score).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.tier).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.trend).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.limit_ratio).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.revision).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.version).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.computed_at.to_sqlx()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.model.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.detail.encode_to_vec()).collect::<Vec<_>>())
    .fetch_all(&mut **tx)
    .await?;
    let written: HashSet<(Uuid, Uuid)> = written.into_iter().collect();
    rows.retain(|row| row.moved && written.contains(&(row.org, row.account)));
    remember(tx, &rows).await?;
    Ok(written)
}

/// Adds the scores to the history.
async fn remember(tx: &mut Tx, rows: &[&NewScore]) -> Result<(), ScoringError> {
    if rows.is_empty() {
        return Ok(());
    }
    // Postgres has no arrays of arrays of different length: the points travel as text.
    let points = |row: &NewScore| -> String {
        let points: Vec<String> = row.points.iter().map(i16::to_string).collect();
        format!("{{{}}}", points.join(","))
    };
    sqlx::query(
        "INSERT INTO score_history (org_id, account_id, computed_at, revision, score, tier, trend, points, model)
         SELECT n.org_id, n.account_id, n.computed_at, n.revision, n.score, n.tier, n.trend,
                n.points::smallint[], n.model
         FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::bigint[], $5::smallint[], $6::smallint[],
                     $7::smallint[], $8::text[], $9::text[])
              AS n(org_id, account_id, computed_at, revision, score, tier, trend, points, model)",
    )
    .bind(rows.iter().map(|row| row.org).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.account).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.computed_at.to_sqlx()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.revision).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.score).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.tier).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.trend).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| points(row)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.model.as_str()).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The stored score of an account, as it was told.
///
/// # Errors
/// [`ScoringError::Store`], [`ScoringError::Corrupt`].
pub(crate) async fn read(
    tx: &mut Tx,
    org: Uuid,
    account: Uuid,
) -> Result<Option<AccountScore>, ScoringError> {
    let detail: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT detail FROM scores WHERE org_id = $1 AND account_id = $2")
            .bind(org)
            .bind(account)
            .fetch_optional(&mut **tx)
            .await?;
    Ok(detail
        .map(|bytes| AccountScore::decode(bytes.as_slice()))
        .transpose()?)
}

/// The stored scores of accounts, as they were told.
///
/// # Errors
/// [`ScoringError::Store`], [`ScoringError::Corrupt`].
pub(crate) async fn read_many(
    tx: &mut Tx,
    org: Uuid,
    accounts: &[Uuid],
) -> Result<Vec<AccountScore>, ScoringError> {
    let details: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT detail FROM scores WHERE org_id = $1 AND account_id = ANY($2)")
            .bind(org)
            .bind(accounts)
            .fetch_all(&mut **tx)
            .await?;
    let read = details.iter().map(|bytes| AccountScore::decode(bytes.as_slice()));
    Ok(read.collect::<Result<_, _>>()?)
}
