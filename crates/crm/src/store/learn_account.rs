//! `account.discovered`: records the company, or what is new about it.

use ::store::retry;
use ids::AccountId;

use super::{Delivered, Outcome, Records, account_rows};
use crate::domain::account::AccountFacts;
use crate::error::CrmError;

impl Records {
    /// Applies the facts, unless newer ones were applied before, and tells of it.
    ///
    /// # Errors
    /// Of the database.
    pub async fn learn_account(
        &self,
        delivered: &Delivered,
        id: AccountId,
        facts: &AccountFacts,
    ) -> Result<Outcome, CrmError> {
        retry(|| self.learn_account_once(delivered, id, facts)).await
    }

    async fn learn_account_once(
        &self,
        delivered: &Delivered,
        id: AccountId,
        facts: &AccountFacts,
    ) -> Result<Outcome, CrmError> {
        let Some(mut tx) = self.begin_once(delivered).await? else {
            return Ok(Outcome::Repeated);
        };
        let (scope, now) = (&delivered.scope, self.now());
        let before = account_rows::lock_or_make(&mut tx, scope, id, now).await?;
        let mut account = before.clone();
        let change = account.learn(facts.clone(), now);
        if account != before {
            account_rows::save(&mut tx, scope, &account).await?;
        }
        self.tell_account(&mut tx, scope, &account, &change).await?;
        tx.commit().await?;
        Ok(Outcome::Applied)
    }
}
