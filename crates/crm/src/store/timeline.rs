//! Our part of an account's timeline: the moves of its score.

use ::store::{OrgScope, ToSqlx as _, Ts};
use ids::{AccountId, EventId};
use sqlx::FromRow;
use uuid::Uuid;

use super::{Records, account_rows};
use crate::domain::score::{Score, ScoreChange, Tier, Trend};
use crate::domain::timeline::Position;
use crate::error::CrmError;

/// Moves of a score, newest first.
pub type OwnTimeline = Vec<ScoreChange>;

#[derive(Debug, FromRow)]
struct ScoreRow {
    at: Ts,
    id: Uuid,
    score: i16,
    tier: i16,
    trend: i16,
    previous_score: Option<i16>,
    previous_tier: i16,
    model_version: String,
}

impl Records {
    /// The newest `limit` moves of the account's score behind `after`.
    ///
    /// # Errors
    /// [`CrmError::NotFound`] for an account that is not there, or of the database.
    pub async fn score_changes(
        &self,
        scope: &OrgScope,
        account: AccountId,
        after: Option<Position>,
        limit: i64,
    ) -> Result<OwnTimeline, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let known = account_rows::read(&mut tx, scope, account)
            .await?
            .is_some_and(|account| account.recorded);
        if !known {
            tx.rollback().await;
            return Err(CrmError::NotFound("account"));
        }
        let rows: Vec<ScoreRow> = sqlx::query_as(
            "SELECT at, id, score, tier, trend, previous_score, previous_tier, model_version FROM score_changes \
             WHERE org_id = $1 AND account_id = $2 \
             AND (at, id) < (coalesce($3, 'infinity'), coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff')) \
             ORDER BY at DESC, id DESC LIMIT $5",
        )
        .bind(scope.uuid())
        .bind(account.uuid())
        .bind(after.map(|position| position.at.to_sqlx()))
        .bind(after.map(|position| position.id))
        .bind(limit)
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.into_iter().map(|row| change(account, row)).collect()
    }
}

fn change(account: AccountId, row: ScoreRow) -> Result<ScoreChange, CrmError> {
    let corrupt = || CrmError::Corrupt(format!("score change {}", row.id));
    let score = Score {
        points: row.score,
        tier: Tier::from_number(row.tier.into()).ok_or_else(corrupt)?,
        trend: Trend::from_number(row.trend.into()).ok_or_else(corrupt)?,
        at: row.at.to_jiff(),
    };
    Ok(ScoreChange {
        // Of no use in a timeline.
        detail: Vec::new(),
        id: EventId(row.id),
        account,
        // Not kept: history has no use for it.
        revision: 0,
        score,
        previous_points: row.previous_score,
        previous_tier: Tier::from_number(row.previous_tier.into()),
        model_version: row.model_version,
    })
}
