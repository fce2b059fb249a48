//! `signals.resolved`: the batch is recorded.

use std::sync::Arc;
use std::time::Duration;

use ::store::{Class, PipelineDb};
use coalesce::{CallError, Coalescer, Lane, Options};
use contracts::Envelope;
use contracts::signals::v1::SignalsResolved;
use eventbus::{Delivery as _, Handler, HandlerError};
use ids::{Clock, IdGen};
use lifecycle::{Lifecycle, OnExit, Phase};

use crate::config::RecordSettings;
use crate::domain::record::Resolved;
use crate::error::IngestError;
use crate::metrics::IngestMetrics;
use crate::store::record::{Batch, record};

type SharedError = Arc<IngestError>;
type Verdict = Result<(), SharedError>;

/// What the lanes work with.
#[derive(Clone)]
pub struct Recorder {
    /// The workers' role.
    pub db: PipelineDb,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New event ids.
    pub ids: Arc<dyn IdGen>,
    /// What is counted.
    pub metrics: IngestMetrics,
}

/// Records batches. Those that arrive while a transaction runs share the next one.
pub struct RecordHandler(Coalescer<Batch, Verdict, SharedError>);

impl RecordHandler {
    /// Starts the lanes.
    pub fn start(recorder: &Recorder, settings: &RecordSettings, lifecycle: &Lifecycle) -> Self {
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
            let recorder = recorder.clone();
            // Stopped after the consumer, which hands over what it has in hand until then.
            lifecycle.spawn("record-lane", Phase::Base, OnExit::restart(), move |shutdown| {
                let (recorder, lane): (Recorder, Lane<_, _, _>) = (recorder.clone(), lane.clone());
                async move {
                    let recorder = &recorder;
                    lane.run(|group| recorder.clone().group(group), shutdown.requested_owned())
                        .await;
                    Ok(())
                }
            });
        }
        Self(batches)
    }
}

impl Handler for RecordHandler {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let event: SignalsResolved = envelope.read()?;
        envelope.check_org(&event.organization_id)?;
        let org = envelope.org();
        let read = |signal| Resolved::read(org, signal).map_err(HandlerError::poison);
        let batch = Batch {
            id: event.batch_id.parse().map_err(HandlerError::poison)?,
            org,
            signals: event.signals.into_iter().map(read).collect::<Result<_, _>>()?,
        };
        let weight = batch.signals.len();
        match self.0.call(batch, weight).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) | Err(CallError::Bulk(error)) => Err(HandlerError::retry(error)),
            Err(error) => Err(HandlerError::retry(error)),
        }
    }
}

impl Recorder {
    /// One transaction for the group; if that fails for a reason that may be one batch's, one for each batch, so that it
    /// does not harm its neighbours.
    async fn group(self, group: Vec<Batch>) -> Result<Vec<Verdict>, SharedError> {
        let error = match self.record(&group).await {
            Ok(()) => return Ok(group.iter().map(|_| Ok(())).collect()),
            Err(error) => error,
        };
        if group.len() == 1 || !is_of_one(&error) {
            return Err(Arc::new(error));
        }
        let mut verdicts = Vec::with_capacity(group.len());
        for batch in group {
            verdicts.push(self.record(std::slice::from_ref(&batch)).await.map_err(Arc::new));
        }
        Ok(verdicts)
    }

    async fn record(&self, batches: &[Batch]) -> Result<(), IngestError> {
        let now = self.clock.now();
        let is_new = ::store::retry(|| record(&self.db, &*self.ids, now, batches)).await?;
        for (batch, _) in batches.iter().zip(is_new).filter(|(_, new)| *new) {
            let count = u64::try_from(batch.signals.len()).unwrap_or(0);
            self.metrics.recorded.inc_by(count);
            if let Some(first) = batch.signals.first() {
                let age = now.duration_since(first.received_at);
                self.metrics.record_lag_seconds.observe(age.as_secs_f64());
            }
        }
        Ok(())
    }
}

/// Whether the batches of a group may fail for different reasons: not when the database is away.
fn is_of_one(error: &IngestError) -> bool {
    !matches!(error, IngestError::Store(error) if matches!(error.class(), Class::Unavailable))
}
