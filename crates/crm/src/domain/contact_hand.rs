//! What persons do to contacts: record, change, remove; and what becomes of that when two contacts turn out to be one.

use ids::ContactId;
use jiff::Timestamp;

use super::Change;
use super::contact::{Contact, ContactField, ToldAccount};
use super::edit::ContactEdit;
use super::extras::Extras;
use super::identity::Identity;

impl Contact {
    /// Takes in what is known of `other`, who turned out to be this person: identities, times, and what was set by hand
    /// there and not here. The account is not taken over: the events say which is right.
    pub fn absorb(
        &mut self,
        other: Contact,
        told: Option<ToldAccount>,
        now: Timestamp,
    ) -> Change<ContactField> {
        let before = self.clone();
        self.tell_account(told);
        self.identities.extend(other.identities);
        if let (Some(first), Some(last)) = (other.first_seen_at, other.last_seen_at) {
            self.see(first, last);
        }
        self.absorb_extras(other.extras);
        // Recorded or removed by hand, and known under another id before the first event about that one arrived.
        let appears = !self.recorded && self.deleted_at.is_none() && other.recorded && other.revision < 0;
        if !self.recorded && self.revision < 0 && other.deleted_at.is_some() {
            self.deleted_at = other.deleted_at;
        }
        for field in other.edited {
            if !self.edited.insert(field) {
                continue;
            }
            match field {
                ContactField::Name => self.name.clone_from(&other.name),
                ContactField::Title => self.title.clone_from(&other.title),
                ContactField::Company => self.company.clone_from(&other.company),
                ContactField::Email => self.email.clone_from(&other.email),
                ContactField::AccountId => self.account = other.account,
                _ => {}
            }
        }
        if appears {
            self.recorded = true;
            self.created_at = other.created_at;
            self.derive();
            self.touch(now);
            return Change::Created;
        }
        self.settle(&before, now)
    }

    /// Applies what a person set: values change, and what is learnt later leaves these fields alone.
    pub fn edit(&mut self, edit: ContactEdit, now: Timestamp) -> Change<ContactField> {
        let before = self.clone();
        self.edited.extend(edit.fields());
        if let Some(name) = edit.name {
            self.name = name;
        }
        if let Some(title) = edit.title {
            self.title = title;
        }
        if let Some(company) = edit.company {
            self.company = company;
        }
        if let Some(account) = edit.account {
            self.account = account;
        }
        if let Some(extras) = edit.extras {
            self.extras = extras;
        }
        if !edit.stated.is_empty() {
            self.state(edit.stated);
        }
        if let Some(email) = edit.email {
            self.email = Some(email);
        }
        self.settle(&before, now)
    }

    /// Records it by hand, also after it was removed.
    pub fn record(&mut self, edit: ContactEdit, now: Timestamp) -> Change<ContactField> {
        self.edit(edit, now);
        self.see(now, now);
        self.recorded = true;
        self.deleted_at = None;
        self.created_at = now;
        self.derive();
        self.touch(now);
        Change::Created
    }

    /// Removes it by hand: what is told later does not bring it back.
    pub fn delete(&mut self, now: Timestamp) {
        self.recorded = false;
        self.deleted_at = Some(now);
        self.extras.tags.clear();
        self.extras.custom.clear();
        self.touch(now);
    }

    /// Gives fields their earlier values back; what follows from the others is worked out anew.
    pub fn take_back(
        &mut self,
        back: &super::transfer::snapshot::Snapshot,
        now: Timestamp,
    ) -> Change<ContactField> {
        let before = self.clone();
        super::transfer::snapshot::set_contact(self, back);
        if before.recorded && self.recorded {
            return self.settle(&before, now);
        }
        self.touch(now);
        Change::None
    }

    /// As if it had never been recorded. The identities stay, unseen: they lead to the same id again.
    pub fn forget(&mut self, now: Timestamp) {
        let fresh = Self::unknown(self.id, now);
        *self = Self {
            identities: std::mem::take(&mut self.identities),
            revision: self.revision,
            version: self.version + 1,
            ..fresh
        };
    }

    /// Under which id the identities are kept that a person stated: what identity-resolver lists never replaces them.
    #[must_use]
    pub fn stated_by(&self) -> ContactId {
        ContactId(ids::derived(self.id.uuid(), "stated by hand"))
    }

    /// Adds identities to those that were stated before.
    fn state(&mut self, stated: Vec<Identity>) {
        let by = self.stated_by();
        let mut list: Vec<Identity> = stated;
        let before = self.identities.iter().filter(|told| told.told_by == by);
        list.extend(before.map(|told| told.identity.clone()));
        self.replace_identities(by, list);
    }

    fn absorb_extras(&mut self, other: Extras) {
        self.extras.owner = self.extras.owner.or(other.owner);
        for (key, value) in other.custom {
            self.extras.custom.entry(key).or_insert(value);
        }
        for tag in other.tags {
            if self.extras.tags.len() < super::extras::MAX_TAGS && !self.extras.tags.contains(&tag) {
                self.extras.tags.push(tag);
            }
        }
    }
}
