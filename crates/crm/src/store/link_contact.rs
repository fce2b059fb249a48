//! `identity.account_linked`: the person belongs to a company.

use ::store::retry;
use ids::ContactId;

use super::contact_counts::CountChanges;
use super::{Delivered, Outcome, Records, contact_rows, people};
use crate::domain::contact::{Contact, ToldAccount};
use crate::error::CrmError;

impl Records {
    /// Links the contact to the account, unless a later event told otherwise. What is told about a person who turned
    /// out to be another does not move that other.
    ///
    /// # Errors
    /// Of the database.
    pub async fn link_contact(
        &self,
        delivered: &Delivered,
        person: ContactId,
        told: ToldAccount,
    ) -> Result<Outcome, CrmError> {
        retry(|| self.link_contact_once(delivered, person, told)).await
    }

    async fn link_contact_once(
        &self,
        delivered: &Delivered,
        person: ContactId,
        told: ToldAccount,
    ) -> Result<Outcome, CrmError> {
        let Some(mut tx) = self.begin_once(delivered).await? else {
            return Ok(Outcome::Repeated);
        };
        let (scope, now) = (&delivered.scope, self.now());
        let merged = people::lock(&mut tx, scope, &[person]).await?;
        if merged.is_empty() {
            let before = contact_rows::lock(&mut tx, scope, person).await?;
            let mut contact = before.clone().unwrap_or_else(|| Contact::unknown(person, now));
            let change = contact.link(told, now);
            if before.as_ref() != Some(&contact) {
                contact_rows::save(&mut tx, scope, &contact).await?;
            }
            self.tell_contact(&mut tx, scope, &contact, &change).await?;
            let mut counts = CountChanges::default();
            counts.note(before.as_ref(), Some(&contact));
            self.apply_counts(&mut tx, scope, counts, now).await?;
        }
        tx.commit().await?;
        Ok(Outcome::Applied)
    }
}
