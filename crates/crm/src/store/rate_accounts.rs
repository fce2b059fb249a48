//! `account.score_changed`: the accounts' scores, and their entries in the timeline. Many moves share a transaction.

use std::collections::BTreeMap;

use ::store::{OrgScope, ToSqlx as _, Tx, retry};

use super::{Delivered, Outcome, Records, account_rows, group, group::OfOrg};
use crate::domain::account::Account;
use crate::domain::score::{ScoreChange, Tier};
use crate::error::CrmError;

impl Records {
    /// Keeps the moves for the timeline, and of each account the score unless a newer one is known. Tells of nothing: a
    /// move has its own event. All deliveries are of one consumer.
    ///
    /// # Errors
    /// Of the database; nothing is kept then.
    pub async fn rate_accounts(&self, moves: &[(Delivered, ScoreChange)]) -> Result<Vec<Outcome>, CrmError> {
        retry(|| self.rate_accounts_once(moves)).await
    }

    async fn rate_accounts_once(&self, moves: &[(Delivered, ScoreChange)]) -> Result<Vec<Outcome>, CrmError> {
        let mut tx = self.pipeline.begin().await?;
        let claimed = group::claim(&mut tx, moves).await?;
        let now = self.now();
        for OfOrg { scope, told: changes } in claimed.by_org.values() {
            let ids = changes.iter().map(|change| change.account);
            let mut accounts = account_rows::lock_or_make_many(&mut tx, scope, ids, now).await?;
            let mut rated = BTreeMap::new();
            for change in changes {
                if let Some(account) = accounts.get_mut(&change.account)
                    && account.rate(change, now)
                {
                    rated.insert(change.account, account.clone());
                }
            }
            save(&mut tx, scope, rated.values()).await?;
            keep(&mut tx, scope, changes).await?;
        }
        tx.commit().await?;
        Ok(claimed.outcomes)
    }
}

/// Writes what a score changes of accounts.
async fn save(
    tx: &mut Tx,
    scope: &OrgScope,
    accounts: impl ExactSizeIterator<Item = &Account> + Clone,
) -> Result<(), CrmError> {
    if accounts.len() == 0 {
        return Ok(());
    }
    let scores = || accounts.clone().map(|account| account.score);
    sqlx::query(
        "UPDATE accounts t SET score_revision = n.revision, score = n.score, tier = n.tier, trend = n.trend, \
         scored_at = n.scored_at, updated_at = n.updated_at, version = n.version \
         FROM unnest($2::uuid[], $3::bigint[], $4::smallint[], $5::smallint[], $6::smallint[], $7::timestamptz[], \
         $8::timestamptz[], $9::bigint[]) n (id, revision, score, tier, trend, scored_at, updated_at, version) \
         WHERE t.org_id = $1 AND t.id = n.id",
    )
    .bind(scope.uuid())
    .bind(accounts.clone().map(|a| a.id.uuid()).collect::<Vec<_>>())
    .bind(accounts.clone().map(|a| a.score_revision).collect::<Vec<_>>())
    .bind(scores().map(|s| s.map(|s| s.points)).collect::<Vec<_>>())
    .bind(scores().map(|s| s.map_or(0, |s| account_rows::small(s.tier.number()))).collect::<Vec<_>>())
    .bind(scores().map(|s| s.map_or(0, |s| account_rows::small(s.trend.number()))).collect::<Vec<_>>())
    .bind(scores().map(|s| s.map(|s| s.at.to_sqlx())).collect::<Vec<_>>())
    .bind(accounts.clone().map(|a| a.updated_at.to_sqlx()).collect::<Vec<_>>())
    .bind(accounts.map(|a| a.version).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Keeps the moves for the timeline.
async fn keep(tx: &mut Tx, scope: &OrgScope, changes: &[&ScoreChange]) -> Result<(), CrmError> {
    let small = account_rows::small;
    let each = || changes.iter();
    sqlx::query(
        "INSERT INTO score_changes (org_id, account_id, at, id, score, tier, trend, previous_score, previous_tier, \
         model_version, detail) SELECT $1, * FROM unnest($2::uuid[], $3::timestamptz[], $4::uuid[], $5::smallint[], \
         $6::smallint[], $7::smallint[], $8::smallint[], $9::smallint[], $10::text[], $11::bytea[])",
    )
    .bind(scope.uuid())
    .bind(each().map(|c| c.account.uuid()).collect::<Vec<_>>())
    .bind(each().map(|c| c.score.at.to_sqlx()).collect::<Vec<_>>())
    .bind(each().map(|c| c.id.uuid()).collect::<Vec<_>>())
    .bind(each().map(|c| c.score.points).collect::<Vec<_>>())
    .bind(each().map(|c| small(c.score.tier.number())).collect::<Vec<_>>())
    .bind(each().map(|c| small(c.score.trend.number())).collect::<Vec<_>>())
    .bind(each().map(|c| c.previous_points).collect::<Vec<_>>())
    .bind(each().map(|c| small(c.previous_tier.map_or(0, Tier::number))).collect::<Vec<_>>())
    .bind(each().map(|c| c.model_version.as_str()).collect::<Vec<_>>())
    .bind(each().map(|c| c.detail.as_slice()).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}
