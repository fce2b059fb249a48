//! `identity.merged`: an actor turned out to be a known person.

use contracts::{Envelope, Event as _, events::v1 as events};
use eventbus::{Delivery as _, Handler, HandlerError};
use ids::AccountId;

use super::{Desk, delivered, id};
use crate::domain::contact::ToldAccount;
use crate::store::Merge;

pub(super) const EVENT: &str = events::IdentityMerged::TYPE;
const CONSUMER: &str = "crm_identity_merged";

/// Removes the contact of the actor and gives what is known of it to the person.
pub struct IdentityMerged(pub Desk);

impl Handler for IdentityMerged {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let event: events::IdentityMerged = envelope.read()?;
        let delivered = delivered(&envelope, CONSUMER);
        let account: Option<AccountId> = event
            .account_id
            .as_deref()
            .map(|text| id("account_id", text))
            .transpose()?;
        let merge = Merge {
            from: id("from_actor_id", &event.from_actor_id)?,
            into: id("contact_id", &event.contact_id)?,
            account: account.map(|account| ToldAccount {
                at: delivered.at,
                by: delivered.event,
                account,
            }),
        };
        let outcome = self.0.records.merge_contact(&delivered, merge).await;
        self.0.settle(EVENT, outcome)
    }
}
