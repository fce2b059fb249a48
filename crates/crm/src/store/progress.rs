//! What the signals of accounts show: milestones from `signals.recorded` and `account.expansion_signal`.

use std::collections::BTreeMap;

use ::store::retry;
use ids::AccountId;
use uuid::Uuid;

use super::{Delivered, Outcome, Records};
use crate::domain::deal::Milestone;
use crate::error::CrmError;

impl Records {
    /// Notes that accounts reached a milestone, each with what showed it. Accounts that reached it before cost one look.
    ///
    /// # Errors
    /// Of the database.
    pub async fn progress(
        &self,
        delivered: &Delivered,
        milestone: Milestone,
        reasons: &BTreeMap<AccountId, String>,
    ) -> Result<Outcome, CrmError> {
        retry(|| self.progress_once(delivered, milestone, reasons)).await
    }

    async fn progress_once(
        &self,
        delivered: &Delivered,
        milestone: Milestone,
        reasons: &BTreeMap<AccountId, String>,
    ) -> Result<Outcome, CrmError> {
        let scope = &delivered.scope;
        let accounts: Vec<Uuid> = reasons.keys().map(|id| id.uuid()).collect();
        let mut tx = self.pipeline.begin().await?;
        let reached: Vec<Uuid> = sqlx::query_scalar(
            "SELECT account_id FROM account_milestones WHERE org_id = $1 AND milestone = $2 AND account_id = ANY($3)",
        )
        .bind(scope.uuid())
        .bind(milestone as i16)
        .bind(&accounts)
        .fetch_all(&mut *tx)
        .await?;
        if reached.len() == accounts.len() {
            tx.rollback().await;
            return Ok(Outcome::Repeated);
        }
        // No claim: what is reached is reached, however often it is told.
        for (account, reason) in reasons {
            if !reached.contains(&account.uuid()) {
                self.reach(&mut tx, scope, *account, milestone, reason).await?;
            }
        }
        tx.commit().await?;
        Ok(Outcome::Applied)
    }
}
