//! Many contacts written by few statements.

use std::collections::BTreeMap;

use ::store::{OrgScope, ToSqlx as _, Tx};
use contracts::crm::v1 as crm;
use uuid::Uuid;

use super::import_contacts::Held;
use super::import_lane::Lane;
use super::{Records, contact_rows, hand_contact, identity_rows};
use crate::domain::contact::Contact;
use crate::domain::deal::{Milestone, TEAM};
use crate::error::CrmError;

/// Persons in one event: it must stay below what the broker takes.
const PEOPLE_AT_ONCE: usize = 250;

/// Writes the contacts, and the identities that were stated by hand in place of those before. Whoever makes a row holds the
/// person's lock, or the id is new.
pub(super) async fn save(tx: &mut Tx, scope: &OrgScope, written: &[&Held]) -> Result<(), CrmError> {
    let contacts: Vec<&Contact> = written.iter().map(|held| &held.now).collect();
    contact_rows::save_many(tx, scope, &contacts).await?;
    let lists: Vec<identity_rows::List<'_>> = written
        .iter()
        .filter(|held| held.states)
        .map(|held| identity_rows::List {
            contact: &held.now,
            told_by: held.now.stated_by(),
            is_new: held.before.is_none(),
        })
        .collect();
    identity_rows::replace_many(tx, scope, &lists).await
}

impl Records {
    /// Adds up `contact_count` of accounts, and notes what they reached by that; no deal moves.
    pub(super) async fn count_imported(
        &self,
        tx: &mut Tx,
        lane: &Lane<'_>,
        written: &[&Held],
    ) -> Result<(), CrmError> {
        let mut deltas: BTreeMap<Uuid, i64> = BTreeMap::new();
        let counted = |contact: &Contact| contact.account_id().filter(|_| contact.recorded);
        for held in written {
            if let Some(account) = held.before.as_ref().and_then(counted) {
                *deltas.entry(account.uuid()).or_default() -= 1;
            }
            if let Some(account) = counted(&held.now) {
                *deltas.entry(account.uuid()).or_default() += 1;
            }
        }
        let (mut accounts, mut by): (Vec<Uuid>, Vec<i64>) = (Vec::new(), Vec::new());
        for (account, delta) in deltas.into_iter().filter(|(_, delta)| *delta != 0) {
            accounts.push(account);
            by.push(delta);
        }
        if accounts.is_empty() {
            return Ok(());
        }
        let now = self.now().to_sqlx();
        // In the order of ids: two transactions that want the same accounts never wait for each other in a circle.
        sqlx::query("SELECT 1 FROM accounts WHERE org_id = $1 AND id = ANY($2) ORDER BY id FOR UPDATE")
            .bind(lane.scope.uuid())
            .bind(&accounts)
            .execute(&mut **tx)
            .await?;
        let counts: Vec<(Uuid, i64, i64)> = sqlx::query_as(
            "UPDATE accounts t SET contact_count = t.contact_count + n.by, version = t.version + t.recorded::int, \
             updated_at = $4 FROM unnest($2::uuid[], $3::bigint[]) n (id, by) \
             WHERE t.org_id = $1 AND t.id = n.id RETURNING t.id, t.contact_count - n.by, t.contact_count",
        )
        .bind(lane.scope.uuid())
        .bind(accounts)
        .bind(by)
        .bind(now)
        .fetch_all(&mut **tx)
        .await?;
        let crossed = |milestone: Milestone, line: i64| {
            counts
                .iter()
                .filter(move |(_, before, after)| *before < line && *after >= line)
                .map(move |(id, ..)| (*id, milestone as i16))
        };
        let reached = crossed(Milestone::Identified, 1).chain(crossed(Milestone::TeamAdoption, TEAM));
        let (of, what): (Vec<Uuid>, Vec<i16>) = reached.unzip();
        if of.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO account_milestones (org_id, account_id, milestone, reached_at, reason) \
             SELECT $1, n.id, n.what, $4, $5 FROM unnest($2::uuid[], $3::smallint[]) n (id, what) ON CONFLICT DO NOTHING",
        )
        .bind(lane.scope.uuid())
        .bind(of)
        .bind(what)
        .bind(now)
        .bind(reason_of(lane.import))
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Tells identity-resolver which identities go with which ids.
    pub(super) async fn state_people(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        written: &[&Held],
    ) -> Result<(), CrmError> {
        let named = |held: &&&Held| held.states && held.now.recorded && !held.now.identities.is_empty();
        let stated: Vec<&Contact> = written.iter().filter(named).map(|held| &held.now).collect();
        for some in stated.chunks(PEOPLE_AT_ONCE) {
            let now = self.now();
            let people = some
                .iter()
                .map(|contact| hand_contact::stated_person(contact, now));
            let event = crm::PeopleStated {
                people: people.collect(),
                quiet: true,
            };
            let about = some
                .first()
                .map(|contact| contact.id.to_string())
                .unwrap_or_default();
            self.tell(tx, scope, &event, about, now).await?;
        }
        Ok(())
    }
}

/// Why accounts have reached what an import showed.
pub(super) fn reason_of(import: Uuid) -> String {
    format!("contacts of import {import}")
}
