//! Accounts by hand: recording, changing, removing.
//!
//! Contract: of accounts that are recorded by hand, one domain is one account: whoever records or takes a domain holds its
//! lock. Ids are agreed with identity-resolver by `companies.stated`: it takes ours over, or tells by
//! `identity.account_merged` which it knows already.

use ::store::{OrgScope, Tx};
use contracts::convert::timestamp;
use contracts::crm::v1 as crm;
use errors::{ApiError, ErrorCode};
use ids::AccountId;

use super::custom_fields::conflict;
use super::{Did, Records, Write, account_rows, check_version, extras, in_tx};
use crate::domain::account::{Account, AccountField};
use crate::domain::edit::AccountEdit;
use crate::domain::extras::{ExtrasEdit, Object};
use crate::error::CrmError;

/// An account as a person gives it; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct AccountDraft {
    /// The account's own fields.
    pub edit: AccountEdit,
    /// Owner, tags, own fields.
    pub extras: ExtrasEdit,
}

impl Records {
    /// Records an account. With `upsert`, one that is known by the domain is changed instead.
    ///
    /// # Errors
    /// A conflict with the known account, [`CrmError::Invalid`], or of the database; nothing is stored then.
    pub async fn create_account(
        &self,
        write: &Write,
        draft: &AccountDraft,
        upsert: bool,
    ) -> Result<(Account, Did), CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let found = known_by(tx, &write.scope, draft).await?;
                let recorded: Vec<AccountId> = found.iter().filter(|row| row.1).map(|row| row.0).collect();
                match (recorded.as_slice(), upsert) {
                    ([], _) => {
                        let id = found
                            .first()
                            .map_or_else(|| AccountId::new(&*self.ids), |row| row.0);
                        let account = self.record_account(tx, write, draft, id).await?;
                        Ok((account, Did::Created))
                    }
                    ([one], true) => {
                        let before = locked(tx, &write.scope, *one).await?;
                        self.change_account(tx, write, &before, draft).await
                    }
                    ([one, ..], false) => Err(conflict(&format!("the account is known already: {one}"))),
                    _ => Err(CrmError::Api(ApiError::new(ErrorCode::AmbiguousMatch, "several accounts are known by this domain"))),
                }
            }),
        )
        .await
    }

    pub(super) async fn record_account(
        &self,
        tx: &mut Tx,
        write: &Write,
        draft: &AccountDraft,
        id: AccountId,
    ) -> Result<Account, CrmError> {
        let (scope, now) = (&write.scope, self.now());
        let mut account = account_rows::lock_or_make(tx, scope, id, now).await?;
        if account.recorded {
            return Err(conflict(
                "the account is recorded by somebody else at this moment",
            ));
        }
        let resolved = self
            .resolve_extras(tx, scope, Object::Account, None, &draft.extras)
            .await?;
        let edit = AccountEdit {
            extras: Some(resolved.extras.clone()),
            ..draft.edit.clone()
        };
        let change = account.record(edit, now);
        account_rows::save(tx, scope, &account).await?;
        extras::index(tx, scope, Object::Account, id.uuid(), None, &resolved).await?;
        self.tell_account(tx, scope, &account, &change).await?;
        self.state_company(tx, scope, &account).await?;
        Ok(account)
    }

    /// Changes an account, if it still has version `if_version` (when given).
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], [`CrmError::Invalid`], a conflict with another account of
    /// the domain, or of the database.
    pub async fn edit_account(
        &self,
        write: &Write,
        id: AccountId,
        draft: &AccountDraft,
        if_version: Option<i64>,
    ) -> Result<(Account, Did), CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let found = known_by(tx, &write.scope, draft).await?;
                if found.iter().any(|(other, recorded)| *recorded && *other != id) {
                    return Err(conflict("another account has this domain"));
                }
                let before = locked(tx, &write.scope, id).await?;
                check_version(before.version, if_version)?;
                self.change_account(tx, write, &before, draft).await
            }),
        )
        .await
    }

    pub(super) async fn change_account(
        &self,
        tx: &mut Tx,
        write: &Write,
        before: &Account,
        draft: &AccountDraft,
    ) -> Result<(Account, Did), CrmError> {
        let (scope, now) = (&write.scope, self.now());
        let resolved = self
            .resolve_extras(tx, scope, Object::Account, Some(&before.extras), &draft.extras)
            .await?;
        let edit = AccountEdit {
            extras: Some(resolved.extras.clone()),
            ..draft.edit.clone()
        };
        let mut account = before.clone();
        let change = account.edit(edit, now);
        if account == *before {
            return Ok((account, Did::Noop));
        }
        account_rows::save(tx, scope, &account).await?;
        extras::index(
            tx,
            scope,
            Object::Account,
            account.id.uuid(),
            Some(&before.extras),
            &resolved,
        )
        .await?;
        self.tell_account(tx, scope, &account, &change).await?;
        if account.profile.domain != before.profile.domain {
            self.state_company(tx, scope, &account).await?;
        }
        let did = if account.version == before.version {
            Did::Noop
        } else {
            Did::Updated
        };
        Ok((account, did))
    }

    /// Removes an account. What is learnt of the company later does not bring it back. Contacts and deals stay.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], or of the database.
    pub async fn delete_account(
        &self,
        write: &Write,
        id: AccountId,
        if_version: Option<i64>,
    ) -> Result<(), CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let (scope, now) = (&write.scope, self.now());
                let mut account = locked(tx, scope, id).await?;
                check_version(account.version, if_version)?;
                account.delete(now);
                account_rows::save(tx, scope, &account).await?;
                extras::unindex(tx, scope, id.uuid()).await?;
                self.tell_account_removed(tx, scope, id, now).await
            }),
        )
        .await
    }

    /// Tells identity-resolver which domain and name go with which id.
    async fn state_company(&self, tx: &mut Tx, scope: &OrgScope, account: &Account) -> Result<(), CrmError> {
        let profile = &account.profile;
        if profile.domain.is_none() {
            return Ok(());
        }
        let named = account.edited.contains(&AccountField::Name);
        let event = crm::CompaniesStated {
            companies: vec![crm::StatedCompany {
                account_id: account.id.to_string(),
                stated_at: Some(timestamp(self.now())),
                domain: profile.domain.clone(),
                name: named.then(|| profile.name.clone()),
                github_org: profile.github_org.clone(),
            }],
            quiet: self.importing,
        };
        self.tell(tx, scope, &event, account.id.to_string(), account.updated_at)
            .await
    }
}

async fn locked(tx: &mut Tx, scope: &OrgScope, id: AccountId) -> Result<Account, CrmError> {
    account_rows::lock(tx, scope, id)
        .await?
        .filter(|account| account.recorded)
        .ok_or(CrmError::NotFound("account"))
}

/// Takes the lock of the draft's domain, and tells which accounts have it: id, and whether readers see it.
pub(super) async fn known_by(
    tx: &mut Tx,
    scope: &OrgScope,
    draft: &AccountDraft,
) -> Result<Vec<(AccountId, bool)>, CrmError> {
    let Some(Some(domain)) = &draft.edit.domain else {
        return Ok(Vec::new());
    };
    super::lock_keys(tx, &[format!("crm.domain {} {domain}", scope.org())]).await?;
    let rows: Vec<(uuid::Uuid, bool)> = sqlx::query_as(
        "SELECT id, recorded FROM accounts WHERE org_id = $1 AND domain = $2 \
         ORDER BY recorded DESC, id LIMIT 10",
    )
    .bind(scope.uuid())
    .bind(domain)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(id, recorded)| (AccountId(id), recorded))
        .collect())
}
