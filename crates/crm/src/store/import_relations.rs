//! Accounts that rows of contacts and deals name: looked up, and made where the import may.

use std::collections::BTreeSet;

use ::store::{OrgScope, Tx, retry};
use ids::AccountId;
use uuid::Uuid;

use super::import_lane::{Accounts, Lane, existing};
use super::{AccountDraft, Records, Write, import_turns};
use crate::domain::edit::AccountEdit;
use crate::domain::extras::Object;
use crate::domain::text;
use crate::domain::transfer::result::{Outcome, Problem, RowResult};
use crate::domain::transfer::rows::AccountRef;
use crate::domain::transfer::snapshot;
use crate::error::CrmError;

/// The lane in which accounts are made that rows name. They are no rows themselves, and have the number 0.
pub(super) const RELATIONS: i16 = -1;

impl Records {
    /// What the names turn out to be. `lane` is of the chunk's relations. `None` when the turn is over.
    ///
    /// # Errors
    /// Of the database; nothing is stored then.
    pub async fn name_accounts(
        &self,
        lane: &Lane<'_>,
        named: &BTreeSet<AccountRef>,
    ) -> Result<Option<Accounts>, CrmError> {
        let lane = Lane {
            lane: RELATIONS,
            ..lane.clone()
        };
        retry(|| self.name_accounts_once(&lane, named)).await
    }

    async fn name_accounts_once(
        &self,
        lane: &Lane<'_>,
        named: &BTreeSet<AccountRef>,
    ) -> Result<Option<Accounts>, CrmError> {
        let mut tx = self.db.begin(lane.scope).await?;
        let done = self.name_accounts_in(&mut tx, lane, named).await;
        import_turns::settle(lane.turn, tx, done).await
    }

    async fn name_accounts_in(
        &self,
        tx: &mut Tx,
        lane: &Lane<'_>,
        named: &BTreeSet<AccountRef>,
    ) -> Result<Option<Accounts>, CrmError> {
        let Some(fresh) = lane.begin(tx).await? else {
            return Ok(None);
        };
        let create = lane.reader.mapping().options.create_accounts;
        let domains: Vec<&String> = named
            .iter()
            .filter_map(|one| {
                if let AccountRef::Domain(domain) = one {
                    Some(domain)
                } else {
                    None
                }
            })
            .collect();
        if create && fresh {
            let keys = domains
                .iter()
                .map(|domain| format!("crm.domain {} {domain}", lane.scope.org()));
            super::lock_keys(tx, &keys.collect::<Vec<_>>()).await?;
        }
        let mut accounts = look_up(tx, lane.scope, named, &domains).await?;
        let missing: Vec<AccountRef> = named
            .iter()
            .filter(|one| !accounts.contains_key(*one))
            .cloned()
            .collect();
        let mut made = Vec::new();
        for one in missing {
            if create && !matches!(one, AccountRef::Id(_)) {
                let id = self.make_account(tx, lane, &one, &mut made).await?;
                accounts.insert(one, Ok(id));
            } else {
                accounts.insert(
                    one,
                    Err(Problem::new("", "not_found", "there is no such account")),
                );
            }
        }
        if fresh && !made.is_empty() && lane.turn.is_some() {
            lane.end(tx, &made, &[]).await?;
        }
        Ok(Some(accounts))
    }

    async fn make_account(
        &self,
        tx: &mut Tx,
        lane: &Lane<'_>,
        named: &AccountRef,
        made: &mut Vec<RowResult>,
    ) -> Result<Uuid, CrmError> {
        let mut edit = AccountEdit::default();
        let mut known = Vec::new();
        match named {
            AccountRef::Domain(domain) => {
                edit.domain = Some(Some(domain.clone()));
                let draft = AccountDraft {
                    edit: edit.clone(),
                    ..AccountDraft::default()
                };
                known = super::hand_account::known_by(tx, lane.scope, &draft).await?;
            }
            AccountRef::Name(name) => edit.name = Some(name.clone()),
            AccountRef::Id(_) => {}
        }
        let write = Write {
            scope: *lane.scope,
            by: lane.by(),
            dry_run: false,
        };
        let draft = AccountDraft {
            edit,
            ..AccountDraft::default()
        };
        let id = known
            .first()
            .map_or_else(|| AccountId::new(&*self.ids), |row| row.0);
        let account = self.record_account(tx, &write, &draft, id).await?;
        let mut result = RowResult::done(0, Outcome::Created, id.uuid());
        result.mark = Some(snapshot::mark(&snapshot::of_account(&account)));
        made.push(result);
        Ok(id.uuid())
    }
}

async fn look_up(
    tx: &mut Tx,
    scope: &OrgScope,
    named: &BTreeSet<AccountRef>,
    domains: &[&String],
) -> Result<Accounts, CrmError> {
    let mut accounts = Accounts::new();
    let mut found = |key: AccountRef, id: Uuid| {
        let entry = accounts.entry(key).or_insert(Ok(id));
        if *entry != Ok(id) {
            *entry = Err(Problem::new("", "ambiguous_match", "several accounts fit"));
        }
    };
    let ids: Vec<Uuid> = named
        .iter()
        .filter_map(|one| {
            if let AccountRef::Id(id) = one {
                Some(*id)
            } else {
                None
            }
        })
        .collect();
    if !ids.is_empty() {
        for id in existing(tx, scope, Object::Account, &ids).await? {
            found(AccountRef::Id(id), id);
        }
    }
    if !domains.is_empty() {
        let rows: Vec<(String, Uuid)> = sqlx::query_as(
            "SELECT domain, id FROM accounts WHERE org_id = $1 AND domain = ANY($2) AND recorded",
        )
        .bind(scope.uuid())
        .bind(domains)
        .fetch_all(&mut **tx)
        .await?;
        for (domain, id) in rows {
            found(AccountRef::Domain(domain), id);
        }
    }
    let names = || {
        named.iter().filter_map(|one| {
            if let AccountRef::Name(name) = one {
                Some(name)
            } else {
                None
            }
        })
    };
    let keys: Vec<String> = names().map(|name| text::sort_key(name)).collect();
    if !keys.is_empty() {
        let rows: Vec<(String, Uuid)> = sqlx::query_as(
            "SELECT name, id FROM accounts WHERE org_id = $1 AND name_key = ANY($2) AND recorded",
        )
        .bind(scope.uuid())
        .bind(keys)
        .fetch_all(&mut **tx)
        .await?;
        for (held, id) in rows {
            for name in names().filter(|name| name.to_lowercase() == held.to_lowercase()) {
                found(AccountRef::Name(name.clone()), id);
            }
        }
    }
    Ok(accounts)
}
