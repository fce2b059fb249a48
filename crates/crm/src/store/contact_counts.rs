//! `accounts.contact_count`: how many recorded contacts belong to an account.
//!
//! Contract: it changes in the transaction that records, moves or removes a contact, by statements that add and
//! subtract, so it always equals the number of rows. Counting at read was the alternative: exact too, but a page of 200
//! accounts with thousands of contacts each would count millions of rows.

use std::collections::BTreeMap;

use ::store::{OrgScope, ToSqlx as _, Tx};
use ids::AccountId;
use jiff::Timestamp;
use uuid::Uuid;

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

    /// Writes them. A contact can precede its account. Answers the counts that grew: before and after.
    async fn apply(
        self,
        tx: &mut Tx,
        scope: &OrgScope,
        now: Timestamp,
    ) -> Result<Vec<(AccountId, i64, i64)>, CrmError> {
        let (grow, shrink): (Vec<_>, Vec<_>) = self
            .0
            .into_iter()
            .filter(|(_, delta)| *delta != 0)
            .map(|(account, delta)| (account.uuid(), delta))
            .partition(|(_, delta)| *delta > 0);
        if !shrink.is_empty() {
            // In the order of ids over both statements.
            let all: Vec<Uuid> = grow.iter().chain(&shrink).map(|(id, _)| *id).collect();
            sqlx::query("SELECT 1 FROM accounts WHERE org_id = $1 AND id = ANY($2) ORDER BY id FOR UPDATE")
                .bind(scope.uuid())
                .bind(all)
                .execute(&mut **tx)
                .await?;
            let (ids, by): (Vec<Uuid>, Vec<i64>) = shrink.into_iter().unzip();
            sqlx::query(
                "UPDATE accounts t SET contact_count = t.contact_count + n.by, version = t.version + t.recorded::int, \
                 updated_at = greatest(t.updated_at, $4) FROM unnest($2::uuid[], $3::bigint[]) n (id, by) \
                 WHERE t.org_id = $1 AND t.id = n.id",
            )
            .bind(scope.uuid())
            .bind(ids)
            .bind(by)
            .bind(now.to_sqlx())
            .execute(&mut **tx)
            .await?;
        }
        if grow.is_empty() {
            return Ok(Vec::new());
        }
        let (ids, by): (Vec<Uuid>, Vec<i64>) = grow.iter().copied().unzip();
        // The row that an upsert proposes must satisfy the check constraint even if it is there already.
        let counts: Vec<(Uuid, i64)> = sqlx::query_as(
            "INSERT INTO accounts AS t (org_id, id, contact_count, created_at, updated_at) \
             SELECT $1, n.id, n.by, $4, $4 FROM unnest($2::uuid[], $3::bigint[]) n (id, by) ORDER BY n.id \
             ON CONFLICT (org_id, id) DO UPDATE SET contact_count = t.contact_count + excluded.contact_count, \
             version = t.version + t.recorded::int, updated_at = greatest(t.updated_at, $4) \
             RETURNING t.id, t.contact_count",
        )
        .bind(scope.uuid())
        .bind(ids)
        .bind(by)
        .bind(now.to_sqlx())
        .fetch_all(&mut **tx)
        .await?;
        let counts: BTreeMap<Uuid, i64> = counts.into_iter().collect();
        let grown = |(id, by): (Uuid, i64)| counts.get(&id).map(|count| (AccountId(id), count - by, *count));
        Ok(grow.into_iter().filter_map(grown).collect())
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
