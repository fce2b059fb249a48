//! `account.score_changed`: the account's score, and its entry in the timeline.

use ::store::{OrgScope, ToSqlx as _, Tx, retry};

use super::{Delivered, Outcome, Records, account_rows};
use crate::domain::score::{ScoreChange, Tier};
use crate::error::CrmError;

impl Records {
    /// Keeps the move for the timeline, and the score unless a newer one is known. Tells of nothing: the move has its
    /// own event.
    ///
    /// # Errors
    /// Of the database.
    pub async fn rate_account(
        &self,
        delivered: &Delivered,
        change: &ScoreChange,
    ) -> Result<Outcome, CrmError> {
        retry(|| self.rate_account_once(delivered, change)).await
    }

    async fn rate_account_once(
        &self,
        delivered: &Delivered,
        change: &ScoreChange,
    ) -> Result<Outcome, CrmError> {
        let Some(mut tx) = self.begin_once(delivered).await? else {
            return Ok(Outcome::Repeated);
        };
        let (scope, now) = (&delivered.scope, self.now());
        let mut account = account_rows::lock_or_make(&mut tx, scope, change.account, now).await?;
        if account.rate(change, now) {
            account_rows::save(&mut tx, scope, &account).await?;
        }
        keep(&mut tx, scope, change).await?;
        tx.commit().await?;
        Ok(Outcome::Applied)
    }
}

async fn keep(tx: &mut Tx, scope: &OrgScope, change: &ScoreChange) -> Result<(), CrmError> {
    let small = |number: i32| i16::try_from(number).unwrap_or_default();
    sqlx::query(
        "INSERT INTO score_changes (org_id, account_id, at, id, score, tier, trend, previous_score, previous_tier, \
         model_version, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(scope.uuid())
    .bind(change.account.uuid())
    .bind(change.score.at.to_sqlx())
    .bind(change.id.uuid())
    .bind(change.score.points)
    .bind(small(change.score.tier.number()))
    .bind(small(change.score.trend.number()))
    .bind(change.previous_points)
    .bind(small(change.previous_tier.map_or(0, Tier::number)))
    .bind(&change.model_version)
    .bind(&change.detail)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
