//! `contact.identified`: more became known about a person; scoring keeps the job title.

use contracts::{Envelope, events::v1 as events};
use eventbus::{Delivery as _, Handler, HandlerError};

use super::{Desk, id};
use crate::domain::signal::clean_title;
use crate::store::{self, Person};

/// Keeps the title.
pub struct ContactIdentified(pub Desk);

impl Handler for ContactIdentified {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let event: events::ContactIdentified = envelope.read()?;
        let person = Person {
            contact: id("contact_id", &event.contact_id)?,
            revision: event.revision,
            title: event.title.as_deref().and_then(clean_title),
        };
        let desk = &self.0;
        let outcome = store::learn_person(&desk.pipeline, envelope.org(), &person, desk.now()).await;
        desk.settle(outcome)
    }
}
