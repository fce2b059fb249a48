//! `contact.identified`: records the persons, or what is new about them. Many events share a transaction.

use std::collections::HashMap;

use ::store::{OrgScope, Tx, retry};
use ids::ContactId;
use uuid::Uuid;

use super::contact_counts::CountChanges;
use super::people::{self, Merged};
use super::told::Told;
use super::{Delivered, Outcome, Records, contact_rows, group, group::OfOrg, identity_rows};
use crate::domain::contact::{Contact, ContactFacts};
use crate::error::CrmError;

/// A contact that something was learnt of.
struct Learnt {
    before: Option<Contact>,
    now: Contact,
}

impl Records {
    /// Applies the facts, unless newer ones were applied before, and tells of it. Facts about a person who turned out
    /// to be another are applied to that other. All deliveries are of one consumer.
    ///
    /// # Errors
    /// Of the database; nothing is applied then.
    pub async fn learn_contacts(&self, told: &[(Delivered, ContactFacts)]) -> Result<Vec<Outcome>, CrmError> {
        retry(|| self.learn_contacts_once(told)).await
    }

    async fn learn_contacts_once(
        &self,
        told: &[(Delivered, ContactFacts)],
    ) -> Result<Vec<Outcome>, CrmError> {
        let mut tx = self.pipeline.begin().await?;
        let claimed = group::claim(&mut tx, told).await?;
        for OfOrg { scope, told: facts } in claimed.by_org.values() {
            let persons: Vec<ContactId> = facts.iter().map(|facts| facts.person).collect();
            let mut merged = people::lock(&mut tx, scope, &persons).await?;
            let mut here: Vec<&ContactFacts> = Vec::with_capacity(facts.len());
            for facts in facts {
                match merged.get_mut(&facts.person) {
                    Some(merged) => self.learn_of_merged(&mut tx, scope, facts, merged).await?,
                    None => here.push(facts),
                }
            }
            for run in group::runs(here, |facts| facts.person) {
                self.learn_directly(&mut tx, scope, &run).await?;
            }
        }
        tx.commit().await?;
        Ok(claimed.outcomes)
    }

    /// Each person at most once.
    async fn learn_directly(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        facts: &[&ContactFacts],
    ) -> Result<(), CrmError> {
        let now = self.now();
        let ids: Vec<Uuid> = facts.iter().map(|facts| facts.person.uuid()).collect();
        let known = contact_rows::lock_many(tx, scope, &ids).await?;
        let mut known: HashMap<ContactId, Contact> =
            known.into_iter().map(|contact| (contact.id, contact)).collect();
        let (mut told, mut counts) = (Told::default(), CountChanges::default());
        let mut learnt: Vec<Learnt> = Vec::new();
        for facts in facts {
            let before = known.remove(&facts.person);
            let mut contact = before
                .clone()
                .unwrap_or_else(|| Contact::unknown(facts.person, now));
            let change = contact.hear((*facts).clone(), now);
            if before.as_ref() == Some(&contact) {
                continue;
            }
            self.note_contact(&mut told, scope, &contact, &change);
            counts.note(before.as_ref(), Some(&contact));
            learnt.push(Learnt { before, now: contact });
        }
        let contacts: Vec<&Contact> = learnt.iter().map(|learnt| &learnt.now).collect();
        contact_rows::save_many(tx, scope, &contacts).await?;
        let lists: Vec<identity_rows::List<'_>> = learnt.iter().filter_map(Learnt::list).collect();
        identity_rows::replace_many(tx, scope, &lists).await?;
        told.write(tx, scope, &*self.ids).await?;
        self.apply_counts(tx, scope, counts, now).await
    }

    /// `merged` stands for the group: the next fact about the same person meets the revision of this one.
    async fn learn_of_merged(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        facts: &ContactFacts,
        merged: &mut Merged,
    ) -> Result<(), CrmError> {
        let now = self.now();
        let newest = facts.revision > merged.revision;
        if newest {
            merged.revision = facts.revision;
            people::note_revision(tx, scope, facts.person, facts.revision).await?;
        }
        let before = contact_rows::lock(tx, scope, merged.into).await?;
        let mut contact = before
            .clone()
            .unwrap_or_else(|| Contact::unknown(merged.into, now));
        let change = contact.hear_of_merged(facts.clone(), newest, now);
        contact_rows::save(tx, scope, &contact).await?;
        if newest {
            identity_rows::replace(tx, scope, &contact, facts.person).await?;
        }
        self.tell_contact(tx, scope, &contact, &change).await
    }
}

impl Learnt {
    /// The person's own identities, if they are others than before.
    fn list(&self) -> Option<identity_rows::List<'_>> {
        let same = |before: &Contact| before.identities == self.now.identities;
        if self.before.as_ref().is_some_and(same) {
            return None;
        }
        Some(identity_rows::List {
            contact: &self.now,
            told_by: self.now.id,
            is_new: self.before.is_none(),
        })
    }
}
