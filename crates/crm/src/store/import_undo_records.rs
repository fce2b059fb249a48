//! Taking back rows of accounts and deals, and the accounts that were made for rows of others.

use ::store::{OrgScope, Tx};
use ids::AccountId;
use uuid::Uuid;

use super::import_lane::index_many;
use super::import_turns::Turn;
use super::import_undo::{Reversal, kept_all, named, reversal};
use super::{Records, account_rows, custom_fields, deal_rows, extras, search_rows};
use crate::domain::Change;
use crate::domain::account::Account;
use crate::domain::deal::Deal;
use crate::domain::extras::Object;
use crate::domain::transfer::result::{RowResult, UndoResult};
use crate::domain::transfer::snapshot::{self, Snapshot};
use crate::error::CrmError;

impl Records {
    /// Takes rows back, the last first.
    pub(super) async fn undo_records(
        &self,
        tx: &mut Tx,
        turn: &Turn,
        object: Object,
        results: &[RowResult],
    ) -> Result<Vec<UndoResult>, CrmError> {
        let mut undone = Vec::new();
        for result in results.iter().rev() {
            let Some(id) = result.id else { continue };
            let kept = match object {
                Object::Deal => self.undo_deal(tx, turn, result, id).await?,
                _ => self.undo_account(tx, turn, result, AccountId(id)).await?,
            };
            if let Some(kept) = kept {
                undone.push(kept);
            }
        }
        Ok(undone)
    }

    async fn undo_account(
        &self,
        tx: &mut Tx,
        turn: &Turn,
        result: &RowResult,
        id: AccountId,
    ) -> Result<Option<UndoResult>, CrmError> {
        let scope = &turn.scope;
        let Some(before) = account_rows::lock(tx, scope, id).await? else {
            return Ok(Some(kept_all(result.row)));
        };
        let mut account = before.clone();
        let now = self.now();
        let done = if result.mark.is_some() && !account.recorded {
            Reversal::Forget
        } else {
            let pristine = result.mark.is_some() && is_unused(tx, scope, &account).await?;
            reversal(result, &snapshot::of_account(&account), pristine)
        };
        let mut undone = UndoResult {
            row: result.row,
            kept: Vec::new(),
        };
        match done {
            Reversal::Nothing => return Ok(None),
            Reversal::Keep => return Ok(Some(kept_all(result.row))),
            Reversal::Forget => {
                account.forget(now);
                account_rows::save(tx, scope, &account).await?;
                extras::unindex(tx, scope, id.uuid()).await?;
                self.tell_account_removed(tx, scope, id, now).await?;
                // Nobody else ever heard of one without a domain.
                sqlx::query(
                    "DELETE FROM accounts WHERE org_id = $1 AND id = $2 AND domain IS NULL AND contact_count = 0 \
                     AND learnt_revision < 0",
                )
                .bind(scope.uuid())
                .bind(id.uuid())
                .execute(&mut **tx)
                .await?;
            }
            Reversal::Back(back, kept) => {
                let change = account.take_back(&back, now);
                account_rows::save(tx, scope, &account).await?;
                let own = custom_fields::definitions(tx, scope, Object::Account).await?;
                let changed = [(id.uuid(), Some(&before.extras), &account.extras)];
                index_many(tx, scope, Object::Account, &own, &changed).await?;
                if !account.recorded {
                    search_rows::remove(tx, scope, &[id.uuid()]).await?;
                }
                if change != Change::None {
                    self.tell_account(tx, scope, &account, &change).await?;
                }
                undone.kept = kept;
            }
        }
        Ok(Some(undone))
    }

    async fn undo_deal(
        &self,
        tx: &mut Tx,
        turn: &Turn,
        result: &RowResult,
        id: Uuid,
    ) -> Result<Option<UndoResult>, CrmError> {
        let scope = &turn.scope;
        let before = match deal_rows::find(tx, scope, id, true).await {
            Ok(deal) => deal,
            // Deleted by hand since. What was made is gone then; what was there before cannot come back.
            Err(CrmError::NotFound(_)) if result.mark.is_some() => {
                return Ok(Some(UndoResult {
                    row: result.row,
                    kept: Vec::new(),
                }));
            }
            Err(CrmError::NotFound(_)) => return Ok(Some(kept_all(result.row))),
            Err(error) => return Err(error),
        };
        let pristine = result.mark.is_some() && !has_work(tx, scope, "deal_id", id).await?;
        let mut undone = UndoResult {
            row: result.row,
            kept: Vec::new(),
        };
        match reversal(result, &snapshot::of_deal(&before), pristine) {
            Reversal::Nothing => return Ok(None),
            Reversal::Keep => return Ok(Some(kept_all(result.row))),
            Reversal::Forget => self.erase_deal(tx, scope, id).await?,
            Reversal::Back(back, kept) => {
                self.restore_deal(tx, turn, &before, &back).await?;
                undone.kept = kept;
            }
        }
        Ok(Some(undone))
    }

    async fn erase_deal(&self, tx: &mut Tx, scope: &OrgScope, id: Uuid) -> Result<(), CrmError> {
        extras::unindex(tx, scope, id).await?;
        for statement in [
            "DELETE FROM timeline_entries WHERE org_id = $1 AND record_id = $2",
            "DELETE FROM timeline_entries WHERE org_id = $1 AND about = $2",
            "DELETE FROM deals WHERE org_id = $1 AND id = $2",
        ] {
            sqlx::query(statement)
                .bind(scope.uuid())
                .bind(id)
                .execute(&mut **tx)
                .await?;
        }
        self.tell_deal_deleted(tx, scope, id).await
    }

    async fn restore_deal(
        &self,
        tx: &mut Tx,
        turn: &Turn,
        before: &Deal,
        back: &Snapshot,
    ) -> Result<(), CrmError> {
        let scope = &turn.scope;
        let mut deal = before.clone();
        snapshot::set_deal(&mut deal, back);
        deal.version += 1;
        deal.updated_at = self.now();
        deal_rows::save(tx, scope, &deal).await?;
        if deal.contacts != before.contacts {
            deal_rows::save_contacts(tx, scope, &deal).await?;
        }
        let own = custom_fields::definitions(tx, scope, Object::Deal).await?;
        let changed = [(deal.id, Some(&before.extras), &deal.extras)];
        index_many(tx, scope, Object::Deal, &own, &changed).await?;
        if back.contains_key("stage") {
            let moves: Vec<Uuid> = sqlx::query_scalar(
                "DELETE FROM deal_moves WHERE org_id = $1 AND deal_id = $2 AND moved_by = $3 RETURNING id",
            )
            .bind(scope.uuid())
            .bind(deal.id)
            .bind(format!("import:{}", turn.import))
            .fetch_all(&mut **tx)
            .await?;
            sqlx::query("DELETE FROM timeline_entries WHERE org_id = $1 AND record_id = $2 AND id = ANY($3)")
                .bind(scope.uuid())
                .bind(deal.id)
                .bind(moves)
                .execute(&mut **tx)
                .await?;
        }
        self.tell_deal_updated(tx, scope, &deal, named(back)).await
    }
}

/// Whether tasks, activities or notes are about the record.
async fn has_work(tx: &mut Tx, scope: &OrgScope, column: &'static str, id: Uuid) -> Result<bool, CrmError> {
    let statement = format!(
        "SELECT EXISTS (SELECT FROM tasks WHERE org_id = $1 AND {column} = $2) \
         OR EXISTS (SELECT FROM activities WHERE org_id = $1 AND {column} = $2) \
         OR EXISTS (SELECT FROM notes WHERE org_id = $1 AND {column} = $2)"
    );
    Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
        .bind(scope.uuid())
        .bind(id)
        .fetch_one(&mut **tx)
        .await?)
}

/// Whether nobody learnt of the account, and nothing else belongs to it.
async fn is_unused(tx: &mut Tx, scope: &OrgScope, account: &Account) -> Result<bool, CrmError> {
    if account.contact_count > 0 || account.learnt_revision >= 0 || account.score.is_some() {
        return Ok(false);
    }
    let deals: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM deals WHERE org_id = $1 AND account_id = $2)")
            .bind(scope.uuid())
            .bind(account.id.uuid())
            .fetch_one(&mut **tx)
            .await?;
    Ok(!deals && !has_work(tx, scope, "account_id", account.id.uuid()).await?)
}
