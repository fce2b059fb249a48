//! Rows of contacts become contacts, many in one transaction, by the rules of contacts by hand.
//!
//! Contract: who writes an address holds the lock of its stripe (`identity_locks`), as whoever records a contact by hand does, so one
//! address stays one contact whatever runs at once. Rows of one address are in one lane, so that they take effect in their order.

use std::collections::HashMap;

use ::store::{Tx, retry};
use ids::{AccountId, ContactId, EventId};
use uuid::Uuid;

use super::import_lane::{Around, Lane};
use super::{Records, contact_bulk, contact_rows, hand_contact, import_turns, people};
use crate::domain::Change;
use crate::domain::contact::{Contact, ContactField, ToldAccount};
use crate::domain::edit::ContactEdit;
use crate::domain::extras::ExtrasEdit;
use crate::domain::identity::Identity;
use crate::domain::transfer::result::{Outcome, Problem, RowResult};
use crate::domain::transfer::rows::ContactRow;
use crate::domain::transfer::snapshot::{self, Snapshot};
use crate::error::CrmError;

/// A row, read or not.
pub type Row<T> = (i64, Result<T, Vec<Problem>>);

/// A contact that rows of the lane lead to.
pub(super) struct Held {
    pub(super) before: Option<Contact>,
    pub(super) now: Contact,
    pub(super) change: Change<ContactField>,
    pub(super) states: bool,
}

/// What a lane knows while it goes through its rows.
struct Book {
    known: HashMap<(String, String), Vec<Uuid>>,
    held: HashMap<Uuid, Held>,
    order: Vec<Uuid>,
}

/// The identities of a row by which a contact is found, the address first. A phone is shared by too many.
pub(crate) fn keys_of(row: &ContactRow) -> impl Iterator<Item = (&'static str, &str)> {
    [("email", &row.email), ("github", &row.github)]
        .into_iter()
        .filter_map(|(kind, value)| Some((kind, value.as_deref()?)))
}

impl Records {
    /// Writes a lane's rows. `None` when the turn is over.
    ///
    /// # Errors
    /// Of the database; nothing is stored then.
    pub async fn import_contacts(
        &self,
        lane: &Lane<'_>,
        rows: &[Row<ContactRow>],
    ) -> Result<Option<Vec<RowResult>>, CrmError> {
        retry(|| self.import_contacts_once(lane, rows)).await
    }

    async fn import_contacts_once(
        &self,
        lane: &Lane<'_>,
        rows: &[Row<ContactRow>],
    ) -> Result<Option<Vec<RowResult>>, CrmError> {
        let mut tx = self.db.begin(lane.scope).await?;
        let done = self.import_contacts_in(&mut tx, lane, rows).await;
        import_turns::settle(lane.turn, tx, done).await
    }

    async fn import_contacts_in(
        &self,
        tx: &mut Tx,
        lane: &Lane<'_>,
        rows: &[Row<ContactRow>],
    ) -> Result<Option<Vec<RowResult>>, CrmError> {
        match lane.begin(tx).await? {
            None => return Ok(None),
            Some(false) => return Ok(Some(Vec::new())),
            Some(true) => {}
        }
        let mut book = self.open_book(tx, lane, rows).await?;
        let edits: Vec<&ExtrasEdit> = rows
            .iter()
            .filter_map(|(_, row)| row.as_ref().ok().map(|row| &row.common.extras))
            .collect();
        let mut around = self.around(tx, lane, &edits).await?;
        let mut results = Vec::with_capacity(rows.len());
        for (number, row) in rows {
            results.push(match row {
                Err(problems) => RowResult::refused(*number, problems.clone()),
                Ok(row) => self.one_contact(&mut book, &mut around, lane, *number, row),
            });
        }
        let written: Vec<&Held> = book.order.iter().filter_map(|id| book.held.get(id)).collect();
        self.write_contacts(tx, lane, &written).await?;
        if lane.turn.is_some() {
            lane.end(tx, &results, &around.made_tags).await?;
        }
        Ok(Some(results))
    }

    /// Locks the identities that the rows name, and reads whom they lead to.
    async fn open_book(
        &self,
        tx: &mut Tx,
        lane: &Lane<'_>,
        rows: &[Row<ContactRow>],
    ) -> Result<Book, CrmError> {
        let scope = lane.scope;
        let read = || rows.iter().filter_map(|(_, row)| row.as_ref().ok());
        let (kinds, values): (Vec<&str>, Vec<&str>) = read().flat_map(keys_of).unzip();
        let stripes = hand_contact::identity_locks(scope, kinds.iter().copied().zip(values.iter().copied()));
        super::lock_keys(tx, &stripes).await?;
        let found: Vec<(String, String, Uuid, bool)> = sqlx::query_as(
            "SELECT DISTINCT i.type, i.value, c.id, c.recorded FROM unnest($2::text[], $3::text[]) k (type, value) \
             JOIN contact_identities i ON i.org_id = $1 AND i.type = k.type AND i.value = k.value \
             JOIN contacts c ON c.org_id = i.org_id AND c.id = i.contact_id ORDER BY c.recorded DESC, c.id",
        )
        .bind(scope.uuid())
        .bind(&kinds)
        .bind(&values)
        .fetch_all(&mut **tx)
        .await?;
        let mut known: HashMap<(String, String), Vec<Uuid>> = HashMap::new();
        let unseen: Vec<ContactId> = found
            .iter()
            .filter(|row| !row.3)
            .map(|row| ContactId(row.2))
            .collect();
        let mut wanted: Vec<Uuid> = read().filter_map(|row| row.common.id).collect();
        wanted.extend(found.iter().map(|row| row.2));
        for (kind, value, id, recorded) in found {
            let list = known.entry((kind, value)).or_default();
            // Those that readers see come first; one that they do not is taken only when there is no other.
            if recorded || list.is_empty() {
                list.push(id);
            }
        }
        if !unseen.is_empty() {
            people::lock(tx, scope, &unseen).await?;
        }
        let contacts = contact_rows::lock_many(tx, scope, &wanted).await?;
        let held = |contact: Contact| {
            let held = Held {
                before: Some(contact.clone()),
                now: contact,
                change: Change::None,
                states: false,
            };
            (held.now.id.uuid(), held)
        };
        Ok(Book {
            known,
            held: contacts.into_iter().map(held).collect(),
            order: Vec::new(),
        })
    }

    /// Applies one row to what the rows before it left.
    fn one_contact(
        &self,
        book: &mut Book,
        around: &mut Around,
        lane: &Lane<'_>,
        number: i64,
        row: &ContactRow,
    ) -> RowResult {
        let refused = |problem: Problem| RowResult::refused(number, vec![problem]);
        let account = match lane.account(row.account.as_ref()) {
            Ok(account) => account,
            Err(problem) => return refused(problem),
        };
        let target = match book.target(row) {
            Ok(target) => target,
            Err((true, problem)) => return RowResult::ambiguous(number, problem),
            Err((false, problem)) => return refused(problem),
        };
        let id = target.unwrap_or_else(|| self.ids.next());
        let now = self.now();
        let known = book.held.get(&id).map(|held| held.now.clone());
        let is_new = known.as_ref().is_none_or(|contact| !contact.recorded);
        let before = known.unwrap_or_else(|| Contact::unknown(ContactId(id), now));
        let held = (!is_new).then_some(&before.extras);
        let extras = match around.extras(lane.reader.own(), id, held, &row.common.extras) {
            Ok(extras) => extras,
            Err(problems) => return RowResult::refused(number, problems),
        };
        let edit = ContactEdit {
            email: row.email.clone(),
            stated: stated(row, &before),
            account: account.map(|account| {
                let account = AccountId(account);
                // The same account stays as it was told; from now on a person decided it.
                let same = before.account.filter(|told| told.account == account);
                Some(same.unwrap_or(ToldAccount {
                    at: now,
                    by: EventId::new(&*self.ids),
                    account,
                }))
            }),
            extras: Some(extras),
            ..row.edit.clone()
        };
        let states = !edit.stated.is_empty();
        let mut contact = before.clone();
        let change = if is_new {
            contact.record(edit, now)
        } else {
            contact.edit(edit, now)
        };
        let result = judged(number, is_new, target.is_some(), &before, &contact);
        if contact != before || is_new {
            book.keep(contact, change, states || is_new, row);
        }
        result
    }

    /// Writes what the lane made and changed, and tells of it.
    pub(super) async fn write_contacts(
        &self,
        tx: &mut Tx,
        lane: &Lane<'_>,
        written: &[&Held],
    ) -> Result<(), CrmError> {
        if written.is_empty() {
            return Ok(());
        }
        contact_bulk::save(tx, lane.scope, written).await?;
        let extras: Vec<_> = written
            .iter()
            .map(|held| {
                let before = held.before.as_ref().filter(|c| c.recorded).map(|c| &c.extras);
                (held.now.id.uuid(), before, &held.now.extras)
            })
            .collect();
        let object = crate::domain::extras::Object::Contact;
        super::import_lane::index_many(tx, lane.scope, object, lane.reader.own(), &extras).await?;
        self.count_imported(tx, lane, written).await?;
        let changed = written.iter().map(|held| (&held.now, &held.change));
        self.tell_contacts(tx, lane.scope, changed).await?;
        self.state_people(tx, lane.scope, written).await
    }
}

impl Book {
    /// Whom a row is about: `None` for nobody who is known. Fails with whether several fit, and why.
    fn target(&self, row: &ContactRow) -> Result<Option<Uuid>, (bool, Problem)> {
        let seen = |id: &Uuid| self.held.get(id).is_some_and(|held| held.now.recorded);
        let by_id = row.common.id.filter(seen);
        let mut by_key = None;
        for (kind, value) in keys_of(row) {
            let list = self.known.get(&(kind.to_owned(), value.to_owned()));
            let list = list.map(Vec::as_slice).unwrap_or_default();
            let recorded: Vec<Uuid> = list.iter().copied().filter(|id| seen(id)).collect();
            match (recorded.as_slice(), list.first()) {
                ([one], _) => by_key = by_key.or(Some((*one, kind))),
                ([], Some(unseen)) if by_key.is_none() && by_id.is_none() => by_key = Some((*unseen, kind)),
                ([], _) => {}
                _ => {
                    let message = format!("{} contacts have this {kind}", recorded.len());
                    return Err((true, Problem::new(kind, "ambiguous_match", message)));
                }
            }
            if by_key.is_some_and(|(id, _)| seen(&id)) {
                break;
            }
        }
        match (by_id, by_key) {
            (Some(id), Some((other, kind))) if id != other && seen(&other) => {
                let message = format!("another contact has this {kind}: {other}");
                Err((false, Problem::new(kind, "conflict", message)))
            }
            (Some(id), _) | (None, Some((id, _))) => Ok(Some(id)),
            (None, None) => Ok(None),
        }
    }

    fn keep(&mut self, contact: Contact, change: Change<ContactField>, states: bool, row: &ContactRow) {
        let id = contact.id.uuid();
        for (kind, value) in keys_of(row) {
            let list = self.known.entry((kind.to_owned(), value.to_owned())).or_default();
            if !list.contains(&id) {
                list.insert(0, id);
            }
        }
        if let Some(held) = self.held.get_mut(&id) {
            if held.change == Change::None && !self.order.contains(&id) {
                self.order.push(id);
            }
            held.now = contact;
            held.states |= states;
            held.change = held.change.clone().and(change);
            return;
        }
        self.order.push(id);
        let held = Held {
            before: None,
            now: contact,
            change,
            states,
        };
        self.held.insert(id, held);
    }
}

fn stated(row: &ContactRow, before: &Contact) -> Vec<Identity> {
    let given = [
        ("email", &row.email),
        ("github", &row.github),
        ("phone", &row.phone),
    ];
    let known = if before.identities.is_empty() {
        Vec::new()
    } else {
        before.visible_identities()
    };
    given
        .into_iter()
        .filter_map(|(kind, value)| Some((kind, value.clone()?)))
        .filter(|(kind, value)| !known.iter().any(|old| old.kind == *kind && old.value == *value))
        .map(|(kind, value)| Identity {
            kind: kind.to_owned(),
            value,
            verified: false,
            confidence: hand_contact::STATED,
        })
        .collect()
}

/// What became of the row, with what its undo needs.
fn judged(number: i64, is_new: bool, was_there: bool, before: &Contact, after: &Contact) -> RowResult {
    let id = after.id.uuid();
    let is: Snapshot = snapshot::of_contact(after);
    if is_new && !was_there {
        let mut result = RowResult::done(number, Outcome::Created, id);
        result.mark = Some(snapshot::mark(&is));
        return result;
    }
    let changes = snapshot::differences(&snapshot::of_contact(before), &is);
    let outcome = match (is_new, after.version == before.version) {
        (true, _) => Outcome::Created,
        (false, true) => Outcome::Noop,
        (false, false) => Outcome::Updated,
    };
    let mut result = RowResult::done(number, outcome, id);
    result.changes = changes;
    result
}
