//! The events that tell of changes, written in the transaction that makes them; and with them what search looks through, and
//! history.

use ::store::{OrgScope, Tx};
use contracts::crm::v1 as crm;
use contracts::{Envelope, Event, events::v1 as events};
use ids::{AccountId, ContactId, EventId};
use jiff::Timestamp;
use uuid::Uuid;

use super::history::{self, Of, Version};
use super::told::Told;
use super::{Records, account_rows, contact_rows, deal_rows, search_rows};
use crate::domain::Change;
use crate::domain::account::{Account, AccountField};
use crate::domain::contact::{Contact, ContactField};
use crate::domain::deal::{Deal, Move, Status};
use crate::domain::extras::Object;
use crate::domain::search::Document;
use crate::error::CrmError;
use crate::wire;

/// What identity-resolver needs, also of imports that nobody else is told of.
const INTERNAL: [&str; 2] = [crm::PeopleStated::TYPE, crm::CompaniesStated::TYPE];

impl Records {
    /// `account.created` or `account.updated`, if something changed.
    pub(super) async fn tell_account(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        account: &Account,
        change: &Change<AccountField>,
    ) -> Result<(), CrmError> {
        let mut told = Told::default();
        self.note_account(&mut told, scope, account, change);
        told.write(tx, scope, &*self.ids).await
    }

    /// `contact.created` or `contact.updated`, if something changed.
    pub(super) async fn tell_contact(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        contact: &Contact,
        change: &Change<ContactField>,
    ) -> Result<(), CrmError> {
        let mut told = Told::default();
        self.note_contact(&mut told, scope, contact, change);
        told.write(tx, scope, &*self.ids).await
    }

    /// The same of many contacts of one transaction. Search learns of them later, see [`super::index_later`].
    pub(super) async fn tell_contacts<'c>(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        changed: impl Iterator<Item = (&'c Contact, &'c Change<ContactField>)>,
    ) -> Result<(), CrmError> {
        let mut told = Told::searched_later();
        for (contact, change) in changed {
            self.note_contact(&mut told, scope, contact, change);
        }
        told.write(tx, scope, &*self.ids).await
    }

    /// Gathers what a change of the account leaves behind.
    pub(super) fn note_account(
        &self,
        told: &mut Told,
        scope: &OrgScope,
        account: &Account,
        change: &Change<AccountField>,
    ) {
        if account.recorded && *change != Change::None {
            told.versions.push(account.into());
            if changes(change, |field| *field != AccountField::Tags) {
                told.search_account(account);
            }
        }
        if self.quiet {
            return;
        }
        let (about, at) = (account.id.to_string(), account.updated_at);
        let message = || Some(wire::account(account));
        told.events.extend(match change {
            Change::None => None,
            Change::Created => self.event(scope, &events::AccountCreated { account: message() }, about, at),
            Change::Updated(fields) => {
                let changed_fields = fields.iter().map(|field| field.name().to_owned()).collect();
                let event = events::AccountUpdated {
                    account: message(),
                    changed_fields,
                };
                self.event(scope, &event, about, at)
            }
        });
    }

    /// Gathers what a change of the contact leaves behind.
    pub(super) fn note_contact(
        &self,
        told: &mut Told,
        scope: &OrgScope,
        contact: &Contact,
        change: &Change<ContactField>,
    ) {
        if contact.recorded && changes(change, is_remembered) {
            told.versions.push(contact.into());
        }
        if contact.recorded && changes(change, is_searched) {
            told.search_contact(contact);
        }
        if self.quiet {
            return;
        }
        let (about, at) = (contact.id.to_string(), contact.updated_at);
        let message = || Some(wire::contact(contact));
        told.events.extend(match change {
            Change::None => None,
            Change::Created => self.event(scope, &events::ContactCreated { contact: message() }, about, at),
            Change::Updated(fields) => {
                let changed_fields = fields.iter().map(|field| field.name().to_owned()).collect();
                let event = events::ContactUpdated {
                    contact: message(),
                    changed_fields,
                };
                self.event(scope, &event, about, at)
            }
        });
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
        self.forget(tx, scope, Version::removed(Of::Contact, contact.uuid(), now))
            .await?;
        let event = events::ContactDeleted {
            contact_id: contact.to_string(),
            merged_into: Some(into.to_string()),
        };
        self.tell(tx, scope, &event, contact.to_string(), now).await
    }

    /// `contact.deleted`: the contacts were removed by hand, or with the import that made them.
    pub(super) async fn tell_contacts_removed(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        contacts: &[Uuid],
        now: Timestamp,
    ) -> Result<(), CrmError> {
        search_rows::remove(tx, scope, contacts).await?;
        let removed: Vec<Version> = contacts
            .iter()
            .map(|contact| Version::removed(Of::Contact, *contact, now))
            .collect();
        history::keep_many(tx, scope, &*self.ids, &removed, false).await?;
        for contact in contacts {
            let event = events::ContactDeleted {
                contact_id: contact.to_string(),
                merged_into: None,
            };
            self.tell(tx, scope, &event, contact.to_string(), now).await?;
        }
        Ok(())
    }

    /// `account.deleted`.
    pub(super) async fn tell_account_removed(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        account: AccountId,
        now: Timestamp,
    ) -> Result<(), CrmError> {
        self.forget(tx, scope, Version::removed(Of::Account, account.uuid(), now))
            .await?;
        let event = events::AccountDeleted {
            account_id: account.to_string(),
        };
        self.tell(tx, scope, &event, account.to_string(), now).await
    }

    /// `deal.created`, and `deal.closed` of one that begins won or lost.
    pub(super) async fn tell_deal_created(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        deal: &Deal,
    ) -> Result<(), CrmError> {
        let document = Document::from(deal);
        history::keep(tx, scope, &*self.ids, deal.into(), Some(&document)).await?;
        let event = events::DealCreated {
            deal: Some(wire::deal(deal)),
        };
        self.tell(tx, scope, &event, deal.id.to_string(), deal.updated_at)
            .await?;
        self.tell_closed(tx, scope, deal).await
    }

    /// `deal.updated`.
    pub(super) async fn tell_deal_updated(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        deal: &Deal,
        changed_fields: Vec<String>,
    ) -> Result<(), CrmError> {
        let document = Document::from(deal);
        history::keep(tx, scope, &*self.ids, deal.into(), Some(&document)).await?;
        let event = events::DealUpdated {
            deal: Some(wire::deal(deal)),
            changed_fields,
        };
        self.tell(tx, scope, &event, deal.id.to_string(), deal.updated_at)
            .await
    }

    /// `deal.stage_changed`, and `deal.closed` when it is won or lost by that.
    pub(super) async fn tell_deal_moved(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        deal: &Deal,
        made: &Move,
    ) -> Result<(), CrmError> {
        let event = events::DealStageChanged {
            deal: Some(wire::deal(deal)),
            r#move: Some(wire::deal_move(made)),
        };
        self.tell(tx, scope, &event, deal.id.to_string(), deal.updated_at)
            .await?;
        self.tell_closed(tx, scope, deal).await
    }

    async fn tell_closed(&self, tx: &mut Tx, scope: &OrgScope, deal: &Deal) -> Result<(), CrmError> {
        if deal.status == Status::Open {
            return Ok(());
        }
        let event = events::DealClosed {
            deal: Some(wire::deal(deal)),
            outcome: deal.status.name().to_owned(),
        };
        self.tell(tx, scope, &event, deal.id.to_string(), deal.updated_at)
            .await
    }

    /// `deal.deleted`.
    pub(super) async fn tell_deal_deleted(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        deal: Uuid,
    ) -> Result<(), CrmError> {
        self.forget(tx, scope, Version::removed(Of::Deal, deal, self.now()))
            .await?;
        let event = events::DealDeleted {
            deal_id: deal.to_string(),
        };
        self.tell(tx, scope, &event, deal.to_string(), self.now()).await
    }

    /// That a record has other tags now.
    pub(super) async fn tell_marked(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        object: Object,
        id: Uuid,
    ) -> Result<(), CrmError> {
        match object {
            Object::Account => {
                let account = account_rows::read(tx, scope, AccountId(id)).await?;
                let account = account.ok_or(CrmError::NotFound("account"))?;
                let change = Change::Updated(vec![AccountField::Tags]);
                self.tell_account(tx, scope, &account, &change).await
            }
            Object::Contact => {
                let contact = contact_rows::read(tx, scope, ContactId(id)).await?;
                let contact = contact.ok_or(CrmError::NotFound("contact"))?;
                let change = Change::Updated(vec![ContactField::Tags]);
                self.tell_contact(tx, scope, &contact, &change).await
            }
            Object::Deal => {
                let deal = deal_rows::find(tx, scope, id, false).await?;
                self.tell_deal_updated(tx, scope, &deal, vec!["tags".to_owned()])
                    .await
            }
        }
    }

    /// Takes a record that was removed out of search; its history ends here.
    async fn forget(&self, tx: &mut Tx, scope: &OrgScope, removed: Version) -> Result<(), CrmError> {
        search_rows::remove(tx, scope, &[removed.parts().0]).await?;
        history::keep(tx, scope, &*self.ids, removed, None).await
    }

    pub(super) async fn tell<E: Event>(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        event: &E,
        about: String,
        at: Timestamp,
    ) -> Result<(), CrmError> {
        if let Some(envelope) = self.event(scope, event, about, at) {
            eventbus::enqueue(tx, &envelope).await?;
        }
        Ok(())
    }

    /// The event as it is told, if anybody is to be told of it.
    fn event<E: Event>(&self, scope: &OrgScope, event: &E, about: String, at: Timestamp) -> Option<Envelope> {
        if self.quiet && !INTERNAL.contains(&E::TYPE) {
            return None;
        }
        let id = EventId::new(&*self.ids);
        Some(Envelope::wrap(event, id, scope.org(), about, at))
    }
}

/// Whether a change is of something that `counts`.
fn changes<F>(change: &Change<F>, counts: impl Fn(&F) -> bool) -> bool {
    match change {
        Change::None => false,
        Change::Created => true,
        Change::Updated(fields) => fields.iter().any(counts),
    }
}

/// Whether a change of the field makes a version: not that somebody was seen again, which would be most of all versions.
fn is_remembered(field: &ContactField) -> bool {
    !matches!(field, ContactField::FirstSeenAt | ContactField::LastSeenAt)
}

/// Whether the field is looked through.
fn is_searched(field: &ContactField) -> bool {
    matches!(
        field,
        ContactField::Name
            | ContactField::Email
            | ContactField::Title
            | ContactField::Company
            | ContactField::Identities
            | ContactField::CustomFields
    )
}
