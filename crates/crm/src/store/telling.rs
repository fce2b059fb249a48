//! The events that tell of changes, written in the transaction that makes them.

use ::store::{OrgScope, Tx};
use contracts::{Envelope, Event, events::v1 as events};
use ids::{ContactId, EventId};
use jiff::Timestamp;

use super::Records;
use crate::domain::Change;
use crate::domain::account::{Account, AccountField};
use crate::domain::contact::{Contact, ContactField};
use crate::error::CrmError;
use crate::{SERVICE, wire};

impl Records {
    /// `account.created` or `account.updated`, if something changed.
    pub(super) async fn tell_account(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        account: &Account,
        change: &Change<AccountField>,
    ) -> Result<(), CrmError> {
        let message = Some(wire::account(account));
        match change {
            Change::None => Ok(()),
            Change::Created => {
                let event = events::AccountCreated { account: message };
                self.tell(tx, scope, &event, account.id.to_string(), account.updated_at)
                    .await
            }
            Change::Updated(fields) => {
                let changed_fields = fields
                    .iter()
                    .map(|field: &AccountField| field.name().to_owned())
                    .collect();
                let event = events::AccountUpdated {
                    account: message,
                    changed_fields,
                };
                self.tell(tx, scope, &event, account.id.to_string(), account.updated_at)
                    .await
            }
        }
    }

    /// `contact.created` or `contact.updated`, if something changed.
    pub(super) async fn tell_contact(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        contact: &Contact,
        change: &Change<ContactField>,
    ) -> Result<(), CrmError> {
        let message = Some(wire::contact(contact));
        match change {
            Change::None => Ok(()),
            Change::Created => {
                let event = events::ContactCreated { contact: message };
                self.tell(tx, scope, &event, contact.id.to_string(), contact.updated_at)
                    .await
            }
            Change::Updated(fields) => {
                let changed_fields = fields
                    .iter()
                    .map(|field: &ContactField| field.name().to_owned())
                    .collect();
                let event = events::ContactUpdated {
                    contact: message,
                    changed_fields,
                };
                self.tell(tx, scope, &event, contact.id.to_string(), contact.updated_at)
                    .await
            }
        }
    }

    /// `contact.deleted`: the contact is another one now.
    pub(super) async fn tell_deleted(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        contact: ContactId,
        into: ContactId,
        now: Timestamp,
    ) -> Result<(), CrmError> {
        let event = events::ContactDeleted {
            contact_id: contact.to_string(),
            merged_into: Some(into.to_string()),
        };
        self.tell(tx, scope, &event, contact.to_string(), now).await
    }

    async fn tell<E: Event>(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        event: &E,
        about: String,
        at: Timestamp,
    ) -> Result<(), CrmError> {
        let envelope = Envelope::wrap(event, EventId::new(&*self.ids), scope.org(), about, SERVICE, at);
        eventbus::enqueue(tx, &envelope).await?;
        Ok(())
    }
}
