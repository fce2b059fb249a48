//! `identity.merged`: an actor turned out to be a known person.

use ::store::{Tx, retry};
use ids::ContactId;

use super::contact_counts::CountChanges;
use super::people::{self, Merged};
use super::{Delivered, Outcome, Records, contact_rows, entries, extras, identity_rows};
use crate::domain::contact::{Contact, ToldAccount};
use crate::domain::extras::Object;
use crate::error::CrmError;

/// What one `identity.merged` tells.
#[derive(Debug, Clone, Copy)]
pub struct Merge {
    /// The actor that is no more: an anonymous profile or a person.
    pub from: ContactId,
    /// The person it turned out to be.
    pub into: ContactId,
    /// The account of that person, if known.
    pub account: Option<ToldAccount>,
}

impl Records {
    /// Removes the contact of the actor, if there is one, and gives what is known of it to the person. An anonymous
    /// profile has no contact, so only the merge itself is kept, to hold off what is told about the actor later.
    ///
    /// # Errors
    /// Of the database; [`CrmError::Merge`] when the actor was merged into somebody else before.
    pub async fn merge_contact(&self, delivered: &Delivered, merge: Merge) -> Result<Outcome, CrmError> {
        retry(|| self.merge_contact_once(delivered, merge)).await
    }

    async fn merge_contact_once(&self, delivered: &Delivered, merge: Merge) -> Result<Outcome, CrmError> {
        let Some(mut tx) = self.begin_once(delivered).await? else {
            return Ok(Outcome::Repeated);
        };
        let scope = &delivered.scope;
        let merged = people::lock(&mut tx, scope, &[merge.from, merge.into]).await?;
        let into = merged.get(&merge.into).map_or(merge.into, |known| known.into);
        if into == merge.from {
            return Err(CrmError::Merge(format!("{} would become itself", merge.from)));
        }
        match merged.get(&merge.from) {
            None => {
                // The account told here is that of a person who became another since: the event of that merge says
                // which account is right, whichever of the two is applied first.
                let account = merge.account.filter(|_| into == merge.into);
                let merge = Merge {
                    into,
                    account,
                    ..merge
                };
                self.merge_now(&mut tx, delivered, merge).await?
            }
            Some(known) if known.into == into => {}
            Some(known) => {
                return Err(CrmError::Merge(format!(
                    "{} is {} and not {into}",
                    merge.from, known.into
                )));
            }
        }
        tx.commit().await?;
        Ok(Outcome::Applied)
    }

    async fn merge_now(&self, tx: &mut Tx, delivered: &Delivered, merge: Merge) -> Result<(), CrmError> {
        let (scope, now) = (&delivered.scope, self.now());
        // Rows are locked in the order of ids, like the persons before.
        let (gone, before) = if merge.from < merge.into {
            let gone = contact_rows::lock(tx, scope, merge.from).await?;
            (gone, contact_rows::lock(tx, scope, merge.into).await?)
        } else {
            let before = contact_rows::lock(tx, scope, merge.into).await?;
            (contact_rows::lock(tx, scope, merge.from).await?, before)
        };
        let revision = gone.as_ref().map_or(-1, |gone| gone.revision);
        people::note_merge(
            tx,
            scope,
            merge.from,
            Merged {
                into: merge.into,
                revision,
            },
            now,
        )
        .await?;
        if gone.is_none() && merge.account.is_none() {
            return Ok(());
        }
        let mut counts = CountChanges::default();
        let mut contact = before
            .clone()
            .unwrap_or_else(|| Contact::unknown(merge.into, now));
        let before_extras = contact.extras.clone();
        let other = gone.clone().unwrap_or_else(|| Contact::unknown(merge.from, now));
        let change = contact.absorb(other, merge.account, now);
        counts.note(before.as_ref(), Some(&contact));
        if let Some(gone) = &gone {
            identity_rows::hand_over(tx, scope, gone.id, contact.id).await?;
            entries::hand_over(tx, scope, Object::Contact, gone.id.uuid(), contact.id.uuid()).await?;
            contact_rows::remove(tx, scope, gone.id).await?;
            counts.note(Some(gone), None);
            if gone.recorded {
                self.tell_deleted(tx, scope, gone.id, contact.id, now).await?;
            }
        }
        // Nothing is kept of a person of whom nothing is known yet.
        if before.unwrap_or_else(|| Contact::unknown(merge.into, now)) != contact {
            contact_rows::save(tx, scope, &contact).await?;
        }
        if before_extras != contact.extras {
            extras::reindex(tx, scope, Object::Contact, contact.id.uuid(), &contact.extras).await?;
        }
        self.tell_contact(tx, scope, &contact, &change).await?;
        self.apply_counts(tx, scope, counts, now).await
    }
}
