//! `accounts.contact_count`: how many recorded contacts belong to an account.
//!
//! Contract: it changes in the transaction that records, moves or removes a contact, by statements that add and
//! subtract, so it always equals the number of rows. Counting at read was the alternative: exact too, but a page of 200
//! accounts with thousands of contacts each would count millions of rows.

use std::collections::BTreeMap;

use ::store::{OrgScope, ToSqlx as _, Tx};
use ids::AccountId;
use jiff::Timestamp;

use super::Records;
use crate::domain::contact::Contact;
use crate::domain::deal::{Milestone, TEAM};
use crate::error::CrmError;

/// Changes of counts, gathered over one transaction.
#[derive(Debug, Default)]
pub(super) struct CountChanges(BTreeMap<AccountId, i64>);

impl CountChanges {
    /// Notes what `contact` was and is; either may be absent.
    pub(super) fn note(&mut self, before: Option<&Contact>, after: Option<&Contact>) {
        let counted = |contact: &Contact| {
            if contact.recorded {
                contact.account_id()
            } else {
                None
            }
        };
        if let Some(account) = before.and_then(counted) {
            *self.0.entry(account).or_default() -= 1;
        }
        if let Some(account) = after.and_then(counted) {
            *self.0.entry(account).or_default() += 1;
        }
    }

    /// Writes them, account by account in the order of ids. A contact can precede its account. Answers the counts that
    /// grew: before and after.
    async fn apply(
        self,
        tx: &mut Tx,
        scope: &OrgScope,
        now: Timestamp,
    ) -> Result<Vec<(AccountId, i64, i64)>, CrmError> {
        let mut grown = Vec::new();
        for (account, delta) in self.0.into_iter().filter(|(_, delta)| *delta != 0) {
            // The row that an upsert proposes must satisfy the check constraint even if it is there already.
            let statement = if delta > 0 {
                "INSERT INTO accounts AS t (org_id, id, contact_count, created_at, updated_at) \
                 VALUES ($1, $2, $3, $4, $4) \
                 ON CONFLICT (org_id, id) DO UPDATE SET contact_count = t.contact_count + $3, \
                 version = t.version + t.recorded::int, updated_at = greatest(t.updated_at, $4) RETURNING contact_count"
            } else {
                "UPDATE accounts SET contact_count = contact_count + $3, version = version + recorded::int, \
                 updated_at = greatest(updated_at, $4) WHERE org_id = $1 AND id = $2 RETURNING contact_count"
            };
            let count: Option<i64> = sqlx::query_scalar(statement)
                .bind(scope.uuid())
                .bind(account.uuid())
                .bind(delta)
                .bind(now.to_sqlx())
                .fetch_optional(&mut **tx)
                .await?;
            if let Some(count) = count.filter(|_| delta > 0) {
                grown.push((account, count - delta, count));
            }
        }
        Ok(grown)
    }
}

impl Records {
    /// Writes the changes of counts. An account whose first persons became known has reached something.
    pub(super) async fn apply_counts(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        counts: CountChanges,
        now: Timestamp,
    ) -> Result<(), CrmError> {
        for (account, before, after) in counts.apply(tx, scope, now).await? {
            if before < 1 && after >= 1 {
                let reason = "a contact of the account is known";
                self.reach(tx, scope, account, Milestone::Identified, reason)
                    .await?;
            }
            if before < TEAM && after >= TEAM {
                let reason = format!("{after} contacts of the account are known");
                self.reach(tx, scope, account, Milestone::TeamAdoption, &reason)
                    .await?;
            }
        }
        Ok(())
    }
}
