//! What is told of companies, by whichever event: taken in together.

use std::sync::Arc;

use contracts::Envelope;
use eventbus::{GroupWork, Grouped, HandlerError};
use lifecycle::Lifecycle;

use super::{Desk, delivered};
use crate::config::ConsumerSettings;
use crate::error::ScoringError;
use crate::store::{self, Company, Delivered, Outcome};

/// Keeps what is told of companies. What arrives while a transaction runs shares the next one, whichever event told it.
#[derive(Clone)]
pub struct Companies(Arc<Grouped<Learn>>);

impl Companies {
    /// Starts the lane.
    #[must_use]
    pub fn start(desk: Desk, settings: ConsumerSettings, lifecycle: &Lifecycle) -> Self {
        let grouping = settings.grouping();
        let grouped = Grouped::start("companies-lane", Learn(desk), grouping, lifecycle);
        Self(Arc::new(grouped))
    }

    /// Keeps what `envelope`, delivered to `consumer`, tells of a company.
    pub(super) async fn learn(
        &self,
        envelope: &Envelope,
        consumer: &'static str,
        company: Company,
    ) -> Result<(), HandlerError> {
        match self.0.one((delivered(envelope, consumer), company), 1).await {
            Ok(Outcome::Applied | Outcome::Repeated) => Ok(()),
            Err(error) => Err(error.to_handler(ScoringError::is_final)),
        }
    }
}

#[derive(Clone)]
struct Learn(Desk);

impl GroupWork for Learn {
    type Item = (Delivered, Company);
    type Done = Outcome;
    type Error = ScoringError;

    async fn together(&self, told: &[Self::Item]) -> Result<Vec<Outcome>, ScoringError> {
        let Self(desk) = self;
        let learnt = ::store::retry(|| store::learn_companies(&desk.pipeline, told, desk.now()));
        let outcomes = learnt.await?;
        desk.poke.notify_one();
        Ok(outcomes)
    }

    fn may_be_of_one(error: &ScoringError) -> bool {
        error.is_of_one()
    }
}
