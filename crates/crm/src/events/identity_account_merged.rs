//! `identity.account_merged`: an account that was recorded by hand is one that was known already.

use contracts::{Envelope, Event as _, events::v1 as events};
use eventbus::{Delivery as _, Handler, HandlerError};

use super::{Desk, delivered, id};

pub(super) const EVENT: &str = events::IdentityAccountMerged::TYPE;
const CONSUMER: &str = "crm_identity_account_merged";

/// Gives everything of the one account to the other.
pub struct IdentityAccountMerged(pub Desk);

impl Handler for IdentityAccountMerged {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let event: events::IdentityAccountMerged = envelope.read()?;
        let delivered = delivered(&envelope, CONSUMER);
        let from = id("from_account_id", &event.from_account_id)?;
        let into = id("account_id", &event.account_id)?;
        let outcome = self.0.records.merge_account(&delivered, from, into).await;
        self.0.settle(EVENT, outcome)
    }
}
