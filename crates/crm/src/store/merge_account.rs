//! `identity.account_merged`: an account that was recorded by hand turned out to be one that was known already.

use ::store::{OrgScope, ToSqlx as _, Tx, retry};
use ids::{AccountId, ContactId};

use super::{Delivered, Outcome, Records, account_rows, deal_rows, entries, extras, history};
use crate::domain::extras::Object;
use crate::error::CrmError;

impl Records {
    /// Gives everything of account `from` to account `into`, and removes it.
    ///
    /// # Errors
    /// Of the database.
    pub async fn merge_account(
        &self,
        delivered: &Delivered,
        from: AccountId,
        into: AccountId,
    ) -> Result<Outcome, CrmError> {
        retry(|| self.merge_account_once(delivered, from, into)).await
    }

    async fn merge_account_once(
        &self,
        delivered: &Delivered,
        from: AccountId,
        into: AccountId,
    ) -> Result<Outcome, CrmError> {
        let Some(mut tx) = self.begin_once(delivered).await? else {
            return Ok(Outcome::Repeated);
        };
        if from == into {
            return Err(CrmError::Merge(format!("{from} would become itself")));
        }
        let (scope, now) = (&delivered.scope, self.now());
        for id in [from.min(into), from.max(into)] {
            account_rows::lock_or_make(&mut tx, scope, id, now).await?;
        }
        let gone = account_rows::lock(&mut tx, scope, from).await?;
        let before = account_rows::lock(&mut tx, scope, into).await?;
        let (Some(gone), Some(before)) = (gone, before) else {
            return Err(CrmError::Corrupt(format!("account {from} or {into} vanished")));
        };
        let moved = self.hand_over_contacts(&mut tx, scope, from, into).await?;
        let deals: Vec<uuid::Uuid> = sqlx::query_scalar(
            "SELECT id FROM deals WHERE org_id = $1 AND account_id = $2 ORDER BY id FOR UPDATE",
        )
        .bind(scope.uuid())
        .bind(from.uuid())
        .fetch_all(&mut *tx)
        .await?;
        entries::hand_over(&mut tx, scope, Object::Account, from.uuid(), into.uuid()).await?;
        for deal in deals {
            let deal = deal_rows::find(&mut tx, scope, deal, false).await?;
            let version = history::at_least((&deal).into(), now);
            history::keep(&mut tx, scope, &*self.ids, version, None).await?;
        }
        let was_recorded = gone.recorded;
        let mut account = before.clone();
        let change = account.absorb(gone, now);
        account_rows::save(&mut tx, scope, &account).await?;
        extras::reindex(&mut tx, scope, Object::Account, into.uuid(), &account.extras).await?;
        sqlx::query("UPDATE accounts SET contact_count = contact_count + $3 WHERE org_id = $1 AND id = $2")
            .bind(scope.uuid())
            .bind(into.uuid())
            .bind(moved)
            .execute(&mut *tx)
            .await?;
        sqlx::query("DELETE FROM accounts WHERE org_id = $1 AND id = $2")
            .bind(scope.uuid())
            .bind(from.uuid())
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO account_merges (org_id, from_id, into_id, merged_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(scope.uuid())
        .bind(from.uuid())
        .bind(into.uuid())
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
        if was_recorded {
            self.tell_account_removed(&mut tx, scope, from, now).await?;
        }
        account.contact_count += moved;
        self.tell_account(&mut tx, scope, &account, &change).await?;
        tx.commit().await?;
        Ok(Outcome::Applied)
    }
}

impl Records {
    /// Answers how many recorded contacts moved.
    async fn hand_over_contacts(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        from: AccountId,
        into: AccountId,
    ) -> Result<i64, CrmError> {
        let moved: Vec<(uuid::Uuid, bool)> = sqlx::query_as(
            "UPDATE contacts SET account_id = $3, version = version + recorded::int WHERE org_id = $1 AND account_id = $2 \
             RETURNING id, recorded",
        )
        .bind(scope.uuid())
        .bind(from.uuid())
        .bind(into.uuid())
        .fetch_all(&mut **tx)
        .await?;
        let recorded = moved.into_iter().filter(|(_, recorded)| *recorded);
        let recorded: Vec<ContactId> = recorded.map(|(id, _)| ContactId(id)).collect();
        history::keep_contacts(tx, scope, &*self.ids, &recorded, self.now()).await?;
        Ok(i64::try_from(recorded.len()).unwrap_or_default())
    }
}
