//! What changes of one transaction leave behind, gathered: versions, documents of search, events. Many cost as many
//! statements as one.

use ::store::{OrgScope, Tx};
use contracts::Envelope;
use ids::IdGen;
use uuid::Uuid;

use super::history::{self, Version};
use super::{index_later, search_rows};
use crate::domain::account::Account;
use crate::domain::contact::Contact;
use crate::domain::search::Document;
use crate::error::CrmError;

/// Gathers.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// For history.
    pub(super) versions: Vec<Version>,
    /// For search.
    documents: Vec<Document>,
    /// Contacts that search learns of later, where it does.
    later: Option<Vec<Uuid>>,
    /// For the outbox.
    pub(super) events: Vec<Envelope>,
}

impl Told {
    /// For contacts that search learns of later, see [`index_later`].
    pub(super) fn searched_later() -> Self {
        Self {
            later: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// Has search know of the account.
    pub(super) fn search_account(&mut self, account: &Account) {
        self.documents.push(account.into());
    }

    /// Has search know of the contact.
    pub(super) fn search_contact(&mut self, contact: &Contact) {
        match &mut self.later {
            Some(later) => later.push(contact.id.uuid()),
            None => self.documents.push(contact.into()),
        }
    }

    /// Writes all of it.
    pub(super) async fn write(self, tx: &mut Tx, scope: &OrgScope, ids: &dyn IdGen) -> Result<(), CrmError> {
        match (&*self.versions, &*self.documents) {
            // The usual change by hand: one statement for both.
            ([version], [document]) => history::keep(tx, scope, ids, version.clone(), Some(document)).await?,
            (versions, documents) => {
                search_rows::save_many(tx, scope, documents, false).await?;
                history::keep_many(tx, scope, ids, versions, false).await?;
            }
        }
        index_later::note(tx, scope, &self.later.unwrap_or_default()).await?;
        eventbus::enqueue_all(tx, &self.events).await?;
        Ok(())
    }
}
