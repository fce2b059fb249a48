//! `identity.account_linked`: a known person was found to belong to a company.

use contracts::{Envelope, events::v1 as events};
use eventbus::{Delivery as _, Handler, HandlerError};

use super::{Desk, delivered, id};
use crate::store::{self, Link};

const CONSUMER: &str = "scoring_identity_account_linked";

/// Gives the company what the person did without one.
pub struct IdentityAccountLinked(pub Desk);

impl Handler for IdentityAccountLinked {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let event: events::IdentityAccountLinked = envelope.read()?;
        let link = Link {
            contact: id("contact_id", &event.contact_id)?,
            account: id("account_id", &event.account_id)?,
        };
        let desk = &self.0;
        let outcome = store::link(&desk.pipeline, &delivered(&envelope, CONSUMER), &link, desk.now()).await;
        desk.settle(outcome)
    }
}
