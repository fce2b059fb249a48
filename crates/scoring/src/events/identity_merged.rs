//! `identity.merged`: an actor turned out to be a known person.

use contracts::{Envelope, events::v1 as events};
use eventbus::{Delivery as _, Handler, HandlerError};

use super::{Desk, delivered, id, unreadable};
use crate::store::{self, Merge};

const CONSUMER: &str = "scoring_identity_merged";

/// Gives the person what was the actor's.
pub struct IdentityMerged(pub Desk);

impl Handler for IdentityMerged {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let event: events::IdentityMerged = envelope.read()?;
        let merge = Merge {
            from: id("from_actor_id", &event.from_actor_id)?,
            contact: id("contact_id", &event.contact_id)?,
            account: event
                .account_id
                .as_deref()
                .map(|text| id("account_id", text))
                .transpose()?,
        };
        if merge.from == merge.contact {
            return Err(unreadable("an actor is merged into itself"));
        }
        let desk = &self.0;
        let outcome = store::merge(
            &desk.pipeline,
            &delivered(&envelope, CONSUMER),
            &merge,
            desk.now(),
        )
        .await;
        desk.settle(outcome)
    }
}
