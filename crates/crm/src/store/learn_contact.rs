//! `contact.identified`: records the person, or what is new about them.

use ::store::{Tx, retry};

use super::contact_counts::CountChanges;
use super::people::{self, Merged};
use super::{Delivered, Outcome, Records, contact_rows, identity_rows};
use crate::domain::contact::{Contact, ContactFacts};
use crate::error::CrmError;

impl Records {
    /// Applies the facts, unless newer ones were applied before, and tells of it. Facts about a person who turned out
    /// to be another are applied to that other.
    ///
    /// # Errors
    /// Of the database.
    pub async fn learn_contact(
        &self,
        delivered: &Delivered,
        facts: &ContactFacts,
    ) -> Result<Outcome, CrmError> {
        retry(|| self.learn_contact_once(delivered, facts)).await
    }

    async fn learn_contact_once(
        &self,
        delivered: &Delivered,
        facts: &ContactFacts,
    ) -> Result<Outcome, CrmError> {
        let Some(mut tx) = self.begin_once(delivered).await? else {
            return Ok(Outcome::Repeated);
        };
        let merged = people::lock(&mut tx, &delivered.scope, &[facts.person]).await?;
        match merged.get(&facts.person) {
            None => self.learn_directly(&mut tx, delivered, facts).await?,
            Some(merged) => self.learn_of_merged(&mut tx, delivered, facts, *merged).await?,
        }
        tx.commit().await?;
        Ok(Outcome::Applied)
    }

    async fn learn_directly(
        &self,
        tx: &mut Tx,
        delivered: &Delivered,
        facts: &ContactFacts,
    ) -> Result<(), CrmError> {
        let (scope, now) = (&delivered.scope, self.now());
        let before = contact_rows::lock(tx, scope, facts.person).await?;
        let mut contact = before
            .clone()
            .unwrap_or_else(|| Contact::unknown(facts.person, now));
        let change = contact.hear(facts.clone(), now);
        if before.as_ref() == Some(&contact) {
            return Ok(());
        }
        contact_rows::save(tx, scope, &contact).await?;
        if before
            .as_ref()
            .is_none_or(|before| before.identities != contact.identities)
        {
            identity_rows::replace(tx, scope, &contact, facts.person).await?;
        }
        self.tell_contact(tx, scope, &contact, &change).await?;
        let mut counts = CountChanges::default();
        counts.note(before.as_ref(), Some(&contact));
        self.apply_counts(tx, scope, counts, now).await
    }

    async fn learn_of_merged(
        &self,
        tx: &mut Tx,
        delivered: &Delivered,
        facts: &ContactFacts,
        merged: Merged,
    ) -> Result<(), CrmError> {
        let (scope, now) = (&delivered.scope, self.now());
        let newest = facts.revision > merged.revision;
        if newest {
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
