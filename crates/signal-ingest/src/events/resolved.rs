//! `signals.resolved`: the batch is recorded.

use std::sync::Arc;
use std::time::Duration;

use ::store::{Class, PipelineDb};
use contracts::Envelope;
use contracts::signals::v1::SignalsResolved;
use eventbus::{Delivery as _, GroupWork, Grouped, Grouping, Handler, HandlerError};
use ids::{Clock, IdGen};
use lifecycle::Lifecycle;

use crate::config::RecordSettings;
use crate::domain::record::Resolved;
use crate::error::IngestError;
use crate::metrics::IngestMetrics;
use crate::store::record::{Batch, record};

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
pub struct RecordHandler(Grouped<Recorder>);

impl RecordHandler {
    /// Starts the lanes.
    pub fn start(recorder: &Recorder, settings: &RecordSettings, lifecycle: &Lifecycle) -> Self {
        let grouping = Grouping {
            lanes: settings.lanes,
            max_items: settings.group_batches,
            max_weight: settings.group_signals,
            breath: Duration::from_millis(settings.breath_ms),
        };
        Self(Grouped::start(
            "record-lane",
            recorder.clone(),
            grouping,
            lifecycle,
        ))
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
        let recorded = self.0.one(batch, weight).await;
        recorded.map_err(|error| error.to_handler(|_| false))
    }
}

impl GroupWork for Recorder {
    type Item = Batch;
    type Done = ();
    type Error = IngestError;

    async fn together(&self, batches: &[Batch]) -> Result<Vec<()>, IngestError> {
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
        Ok(vec![(); batches.len()])
    }

    /// Not when the database is away.
    fn may_be_of_one(error: &IngestError) -> bool {
        !matches!(error, IngestError::Store(error) if matches!(error.class(), Class::Unavailable))
    }
}
