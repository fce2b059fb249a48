//! Many contacts written by few statements.

use std::collections::BTreeMap;

use ::store::{OrgScope, ToSqlx as _, Ts, Tx};
use contracts::crm::v1 as crm;
use sqlx::types::Json;
use uuid::Uuid;

use super::import_contacts::Held;
use super::import_lane::Lane;
use super::{Records, arrays, hand_contact};
use crate::domain::contact::Contact;
use crate::domain::deal::{Milestone, TEAM};
use crate::domain::text;
use crate::error::CrmError;

/// Persons in one event: it must stay below what the broker takes.
const PEOPLE_AT_ONCE: usize = 250;

/// Writes the contacts without their identities. Whoever makes a row holds the person's lock, or the id is new.
pub(super) async fn save(tx: &mut Tx, scope: &OrgScope, written: &[&Held]) -> Result<(), CrmError> {
    let all: Vec<&Contact> = written.iter().map(|held| &held.now).collect();
    fn column<'a, T>(all: &[&'a Contact], get: impl Fn(&'a Contact) -> T) -> Vec<T> {
        all.iter().map(|contact| get(contact)).collect()
    }
    let at = |time: Option<jiff::Timestamp>| -> Option<Ts> { time.map(|at| at.to_sqlx()) };
    sqlx::query(
        "INSERT INTO contacts (org_id, id, recorded, name, name_key, told_name, email, title, company, avatar_url, \
         account_id, account_told_at, account_told_by, edited_fields, revision, first_seen_at, last_seen_at, \
         created_at, updated_at, version, owner_id, tags, custom, deleted_at) \
         SELECT $1, n.id, n.recorded, n.name, n.name_key, n.told_name, n.email, n.title, n.company, n.avatar_url, \
         n.account_id, n.told_at, n.told_by, n.edited::text[], n.revision, n.first_seen, n.last_seen, n.created, \
         n.updated, n.version, n.owner, n.tags::text[], n.custom, n.deleted \
         FROM unnest($2::uuid[], $3::boolean[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], \
         $10::text[], $11::uuid[], $12::timestamptz[], $13::uuid[], $14::text[], $15::bigint[], $16::timestamptz[], \
         $17::timestamptz[], $18::timestamptz[], $19::timestamptz[], $20::bigint[], $21::uuid[], $22::text[], \
         $23::jsonb[], $24::timestamptz[]) n (id, recorded, name, name_key, told_name, email, title, company, \
         avatar_url, account_id, told_at, told_by, edited, revision, first_seen, last_seen, created, updated, version, \
         owner, tags, custom, deleted) \
         ON CONFLICT (org_id, id) DO UPDATE SET recorded = excluded.recorded, name = excluded.name, \
         name_key = excluded.name_key, told_name = excluded.told_name, email = excluded.email, \
         title = excluded.title, company = excluded.company, avatar_url = excluded.avatar_url, \
         account_id = excluded.account_id, account_told_at = excluded.account_told_at, \
         account_told_by = excluded.account_told_by, edited_fields = excluded.edited_fields, \
         revision = excluded.revision, first_seen_at = excluded.first_seen_at, \
         last_seen_at = excluded.last_seen_at, created_at = excluded.created_at, \
         updated_at = excluded.updated_at, version = excluded.version, owner_id = excluded.owner_id, \
         tags = excluded.tags, custom = excluded.custom, deleted_at = excluded.deleted_at",
    )
    .bind(scope.uuid())
    .bind(column(&all, |c| c.id.uuid()))
    .bind(column(&all, |c| c.recorded))
    .bind(column(&all, |c| c.name.as_str()))
    .bind(column(&all, |c| text::sort_key(&c.name)))
    .bind(column(&all, |c| c.told_name.as_deref()))
    .bind(column(&all, |c| c.email.as_deref()))
    .bind(column(&all, |c| c.title.as_deref()))
    .bind(column(&all, |c| c.company.as_deref()))
    .bind(column(&all, |c| c.avatar_url.as_deref()))
    .bind(column(&all, |c| c.account.map(|told| told.account.uuid())))
    .bind(column(&all, |c| at(c.account.map(|told| told.at))))
    .bind(column(&all, |c| c.account.map(|told| told.by.uuid())))
    .bind(column(&all, |c| arrays::of_texts(c.edited.iter().map(|field| field.name()))))
    .bind(column(&all, |c| c.revision))
    .bind(column(&all, |c| at(c.first_seen_at)))
    .bind(column(&all, |c| at(c.last_seen_at)))
    .bind(column(&all, |c| c.created_at.to_sqlx()))
    .bind(column(&all, |c| c.updated_at.to_sqlx()))
    .bind(column(&all, |c| c.version))
    .bind(column(&all, |c| c.extras.owner))
    .bind(column(&all, |c| arrays::of_texts(c.extras.tags.iter().map(String::as_str))))
    .bind(column(&all, |c| Json(&c.extras.custom)))
    .bind(column(&all, |c| at(c.deleted_at)))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes the identities that were stated by hand, in place of those before.
pub(super) async fn save_identities(
    tx: &mut Tx,
    scope: &OrgScope,
    written: &[&Held],
) -> Result<(), CrmError> {
    let states = || written.iter().filter(|held| held.states);
    let known = states().filter(|held| held.before.is_some());
    let known: Vec<Uuid> = known.map(|held| held.now.stated_by().uuid()).collect();
    if !known.is_empty() {
        sqlx::query("DELETE FROM contact_identities WHERE org_id = $1 AND told_by = ANY($2)")
            .bind(scope.uuid())
            .bind(known)
            .execute(&mut **tx)
            .await?;
    }
    let (mut by, mut of, mut places, mut kinds, mut values, mut sure) = (
        Vec::new(),
        Vec::new(),
        Vec::new(),
        Vec::new(),
        Vec::new(),
        Vec::new(),
    );
    for held in states() {
        let stated_by = held.now.stated_by();
        for told in held
            .now
            .identities
            .iter()
            .filter(|told| told.told_by == stated_by)
        {
            by.push(stated_by.uuid());
            of.push(held.now.id.uuid());
            places.push(told.position);
            kinds.push(told.identity.kind.as_str());
            values.push(told.identity.value.as_str());
            sure.push(told.identity.confidence);
        }
    }
    sqlx::query(
        "INSERT INTO contact_identities (org_id, told_by, contact_id, position, type, value, verified, confidence) \
         SELECT $1, n.by, n.of, n.place, n.kind, n.value, false, n.sure \
         FROM unnest($2::uuid[], $3::uuid[], $4::int[], $5::text[], $6::text[], $7::float8[]) \
         n (by, of, place, kind, value, sure)",
    )
    .bind(scope.uuid())
    .bind(by)
    .bind(of)
    .bind(places)
    .bind(kinds)
    .bind(values)
    .bind(sure)
    .execute(&mut **tx)
    .await?;
    Ok(())
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
