//! Changing an account by hand.

use ::store::{OrgScope, retry};
use ids::AccountId;

use super::{Records, account_rows};
use crate::domain::account::Account;
use crate::domain::edit::AccountEdit;
use crate::error::CrmError;

impl Records {
    /// Sets fields of an account, if it still has version `if_version` (when given), and tells of it.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], or of the database; nothing is changed then.
    pub async fn edit_account(
        &self,
        scope: &OrgScope,
        id: AccountId,
        edit: &AccountEdit,
        if_version: Option<i64>,
    ) -> Result<Account, CrmError> {
        retry(|| self.edit_account_once(scope, id, edit, if_version)).await
    }

    async fn edit_account_once(
        &self,
        scope: &OrgScope,
        id: AccountId,
        edit: &AccountEdit,
        if_version: Option<i64>,
    ) -> Result<Account, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let found = account_rows::lock(&mut tx, scope, id)
            .await?
            .filter(|account| account.recorded);
        let checked = found.ok_or(CrmError::NotFound("account")).and_then(|before| {
            super::check_version(before.version, if_version)?;
            Ok(before)
        });
        let before = match checked {
            Ok(before) => before,
            Err(error) => {
                tx.rollback().await;
                return Err(error);
            }
        };
        let mut account = before.clone();
        let change = account.edit(edit.clone(), self.now());
        if account != before {
            account_rows::save(&mut tx, scope, &account).await?;
        }
        self.tell_account(&mut tx, scope, &account, &change).await?;
        tx.commit().await?;
        Ok(account)
    }
}
