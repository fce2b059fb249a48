//! `signals.recorded`: a batch of signals to be counted, exactly once.

use std::sync::Arc;
use std::time::Duration;

use coalesce::{CallError, Coalescer, Lane, Options};
use contracts::{Envelope, events::v1 as events};
use eventbus::{Delivery as _, Handler, HandlerError};
use lifecycle::{Lifecycle, OnExit, Phase};

use super::{Desk, id, reading, unreadable};
use crate::config::RollupSettings;
use crate::error::{ScoringError, SharedError};
use crate::store::rollup::{self, Added, Batch};

/// Its name in the inbox.
const CONSUMER: &str = "scoring_signals_recorded";

type Verdict = Result<(), SharedError>;

/// Adds batches to the roll-ups. Batches that arrive while a transaction runs share the next one: fewer commits, and one
/// row for what they have in common.
pub struct SignalsRecorded {
    desk: Desk,
    batches: Coalescer<Batch, Verdict, SharedError>,
}

impl SignalsRecorded {
    /// Starts the lanes.
    pub fn start(desk: Desk, settings: RollupSettings, lifecycle: &Lifecycle) -> Self {
        let (batches, lanes) = Coalescer::new(Options {
            lanes: settings.lanes,
            max_items: settings.group_batches,
            max_weight: settings.group_signals,
            // Never reached: no more batches are in hand than the consumer handles at once.
            max_queued_items: settings.concurrency.saturating_mul(4).max(64),
            max_queued_weight: usize::MAX,
            breath: Duration::from_millis(settings.breath_ms),
        });
        for lane in lanes {
            let desk = desk.clone();
            // Stopped after the consumer, which hands over what it has in hand until then.
            lifecycle.spawn("rollup-lane", Phase::Base, OnExit::restart(), move |shutdown| {
                let (desk, lane): (Desk, Lane<_, _, _>) = (desk.clone(), lane.clone());
                async move {
                    let desk = &desk;
                    lane.run(|group| add_group(desk.clone(), group), shutdown.requested_owned())
                        .await;
                    Ok(())
                }
            });
        }
        Self { desk, batches }
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
        match self.batches.call(batch, weight).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => self.desk.settle::<()>(Err(unshared(error)?)),
            Err(CallError::Bulk(error)) => self.desk.settle::<()>(Err(unshared(error)?)),
            Err(error) => Err(HandlerError::retry(error)),
        }
    }
}

/// The failure itself, or, while others hold it too, a wrapper that keeps it in the chain.
fn unshared(error: SharedError) -> Result<ScoringError, HandlerError> {
    Arc::try_unwrap(error).map_err(HandlerError::retry)
}

/// One transaction for the group; if that fails for a reason that may be one batch's, one for each batch, so that it
/// does not harm its neighbours.
async fn add_group(desk: Desk, group: Vec<Batch>) -> Result<Vec<Verdict>, SharedError> {
    let error = match add(&desk, &group).await {
        Ok(()) => return Ok(group.iter().map(|_| Ok(())).collect()),
        Err(error) => error,
    };
    if group.len() == 1 || !error.is_of_one() {
        return Err(Arc::new(error));
    }
    let mut verdicts = Vec::with_capacity(group.len());
    for batch in group {
        verdicts.push(add(&desk, std::slice::from_ref(&batch)).await.map_err(Arc::new));
    }
    Ok(verdicts)
}

async fn add(desk: &Desk, batches: &[Batch]) -> Result<(), ScoringError> {
    let added = ::store::retry(|| rollup::add(&desk.pipeline, CONSUMER, batches, desk.now()));
    let Added {
        signals, repeated, ..
    } = added.await?;
    desk.metrics.signals.inc_by(signals as u64);
    desk.metrics.repeated_batches.inc_by(repeated as u64);
    desk.poke.notify_one();
    Ok(())
}
