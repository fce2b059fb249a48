//! `contact.identified`: more became known about a person; scoring keeps the job title.

use contracts::{Envelope, events::v1 as events};
use eventbus::{Delivery as _, GroupWork, Grouped, Handler, HandlerError};
use ids::OrgId;
use lifecycle::Lifecycle;

use super::{Desk, id};
use crate::config::ConsumerSettings;
use crate::domain::signal::clean_title;
use crate::error::ScoringError;
use crate::store::{self, Person};

/// Keeps the title. Events that arrive while others are taken in are taken in together.
pub struct ContactIdentified(Grouped<Learn>);

impl ContactIdentified {
    /// Starts the lane.
    #[must_use]
    pub fn start(desk: Desk, settings: ConsumerSettings, lifecycle: &Lifecycle) -> Self {
        let grouping = settings.grouping();
        Self(Grouped::start("people-lane", Learn(desk), grouping, lifecycle))
    }
}

impl Handler for ContactIdentified {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let event: events::ContactIdentified = envelope.read()?;
        let person = Person {
            contact: id("contact_id", &event.contact_id)?,
            revision: event.revision,
            title: event.title.as_deref().and_then(clean_title),
        };
        let learnt = self.0.one((envelope.org(), person), 1).await;
        learnt.map_err(|error| error.to_handler(ScoringError::is_final))
    }
}

#[derive(Clone)]
struct Learn(Desk);

impl GroupWork for Learn {
    type Item = (OrgId, Person);
    type Done = ();
    type Error = ScoringError;

    /// After a failure, titles may be kept whose accounts are not marked: the repetition marks them.
    async fn together(&self, told: &[Self::Item]) -> Result<Vec<()>, ScoringError> {
        let Self(desk) = self;
        ::store::retry(|| store::learn_people(&desk.pipeline, told, desk.now())).await?;
        desk.poke.notify_one();
        Ok(vec![(); told.len()])
    }

    fn may_be_of_one(error: &ScoringError) -> bool {
        error.is_of_one()
    }
}
