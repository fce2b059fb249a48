//! `signals.recorded`: a batch of signals to be counted, exactly once.

use contracts::{Envelope, events::v1 as events};
use eventbus::{Delivery as _, GroupWork, Grouped, Handler, HandlerError};
use lifecycle::Lifecycle;

use super::{Desk, id, reading, unreadable};
use crate::config::RollupSettings;
use crate::error::ScoringError;
use crate::store::rollup::{self, Added, Batch};

/// Its name in the inbox.
const CONSUMER: &str = "scoring_signals_recorded";

/// Adds batches to the roll-ups. Batches that arrive while a transaction runs share the next one: fewer commits, and one
/// row for what they have in common.
pub struct SignalsRecorded(Grouped<AddUp>);

impl SignalsRecorded {
    /// Starts the lanes.
    pub fn start(desk: Desk, settings: RollupSettings, lifecycle: &Lifecycle) -> Self {
        let grouping = settings.grouping();
        Self(Grouped::start("rollup-lane", AddUp(desk), grouping, lifecycle))
    }
}

impl Handler for SignalsRecorded {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let event: events::SignalsRecorded = envelope.read()?;
        envelope.check_org(&event.organization_id)?;
        let batch = Batch {
            id: id("batch_id", &event.batch_id)?,
            org: envelope.org().uuid(),
            signals: event
                .signals
                .into_iter()
                .map(reading::recorded)
                .collect::<Result<_, _>>()?,
        };
        if batch.signals.is_empty() {
            return Err(unreadable("there is no signal"));
        }
        let weight = batch.signals.len();
        let added = self.0.one(batch, weight).await;
        added.map_err(|error| error.to_handler(ScoringError::is_final))
    }
}

/// Adds batches up in one transaction.
#[derive(Clone)]
struct AddUp(Desk);

impl GroupWork for AddUp {
    type Item = Batch;
    type Done = ();
    type Error = ScoringError;

    async fn together(&self, batches: &[Batch]) -> Result<Vec<()>, ScoringError> {
        let Self(desk) = self;
        let added = ::store::retry(|| rollup::add(&desk.pipeline, CONSUMER, batches, desk.now()));
        let Added {
            signals, repeated, ..
        } = added.await?;
        desk.metrics.signals.inc_by(signals as u64);
        desk.metrics.repeated_batches.inc_by(repeated as u64);
        desk.poke.notify_one();
        Ok(vec![(); batches.len()])
    }

    fn may_be_of_one(error: &ScoringError) -> bool {
        error.is_of_one()
    }
}
