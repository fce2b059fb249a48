//! `account.discovered`: records the companies, or what is new about them. Many events share a transaction.

use ::store::{OrgScope, Tx, retry};
use ids::AccountId;

use super::told::Told;
use super::{Delivered, Outcome, Records, account_rows, group, group::OfOrg};
use crate::domain::account::{Account, AccountFacts};
use crate::error::CrmError;

/// What is told of a company.
pub type ToldCompany = (AccountId, AccountFacts);

impl Records {
    /// Applies the facts, unless newer ones were applied before, and tells of it. All deliveries are of one consumer.
    ///
    /// # Errors
    /// Of the database; nothing is applied then.
    pub async fn learn_accounts(&self, told: &[(Delivered, ToldCompany)]) -> Result<Vec<Outcome>, CrmError> {
        retry(|| self.learn_accounts_once(told)).await
    }

    async fn learn_accounts_once(&self, told: &[(Delivered, ToldCompany)]) -> Result<Vec<Outcome>, CrmError> {
        let mut tx = self.pipeline.begin().await?;
        let claimed = group::claim(&mut tx, told).await?;
        for OfOrg { scope, told } in claimed.by_org.values() {
            for run in group::runs(told.clone(), |(id, _): &&ToldCompany| *id) {
                self.learn_companies(&mut tx, scope, &run).await?;
            }
        }
        tx.commit().await?;
        Ok(claimed.outcomes)
    }

    /// Each company at most once.
    async fn learn_companies(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        companies: &[&ToldCompany],
    ) -> Result<(), CrmError> {
        let now = self.now();
        let ids = companies.iter().map(|(id, _)| *id);
        let mut accounts = account_rows::lock_or_make_many(tx, scope, ids, now).await?;
        let mut told = Told::default();
        let mut learnt: Vec<Account> = Vec::new();
        for (id, facts) in companies {
            let before = accounts.remove(id);
            let before = before.ok_or_else(|| CrmError::Corrupt(format!("account {id} vanished")))?;
            let mut account = before.clone();
            let change = account.learn(facts.clone(), now);
            self.note_account(&mut told, scope, &account, &change);
            if account != before {
                learnt.push(account);
            }
        }
        account_rows::save_many(tx, scope, &learnt.iter().collect::<Vec<_>>()).await?;
        told.write(tx, scope, &*self.ids).await
    }
}
