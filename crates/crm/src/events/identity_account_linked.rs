//! `identity.account_linked`: a known person was found to belong to a company.

use contracts::{Envelope, Event as _, events::v1 as events};
use eventbus::{Delivery as _, Handler, HandlerError};

use super::{Desk, delivered, id};
use crate::domain::contact::ToldAccount;

pub(super) const EVENT: &str = events::IdentityAccountLinked::TYPE;
const CONSUMER: &str = "crm_identity_account_linked";

/// Links the contact to the account.
pub struct IdentityAccountLinked(pub Desk);

impl Handler for IdentityAccountLinked {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let event: events::IdentityAccountLinked = envelope.read()?;
        let delivered = delivered(&envelope, CONSUMER);
        let person = id("contact_id", &event.contact_id)?;
        let told = ToldAccount {
            at: delivered.at,
            by: delivered.event,
            account: id("account_id", &event.account_id)?,
        };
        let outcome = self.0.records.link_contact(&delivered, person, told).await;
        self.0.settle(EVENT, outcome)
    }
}
