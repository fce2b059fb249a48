//! `signals.resolved`: the batch is recorded.

use std::sync::Arc;

use ::store::PipelineDb;
use contracts::Envelope;
use contracts::signals::v1::SignalsResolved;
use eventbus::{Delivery as _, Handler, HandlerError};
use ids::{BatchId, Clock, IdGen};

use crate::domain::record::Resolved;
use crate::metrics::IngestMetrics;
use crate::store::record::record;

/// Records batches.
pub struct RecordHandler {
    /// The workers' role.
    pub db: PipelineDb,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New event ids.
    pub ids: Arc<dyn IdGen>,
    /// What is counted.
    pub metrics: IngestMetrics,
}

impl Handler for RecordHandler {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let event: SignalsResolved = envelope.read()?;
        envelope.check_org(&event.organization_id)?;
        let org = envelope.org();
        let batch: BatchId = event.batch_id.parse().map_err(HandlerError::poison)?;
        let read = |signal| Resolved::read(org, signal).map_err(HandlerError::poison);
        let signals = event
            .signals
            .into_iter()
            .map(read)
            .collect::<Result<Vec<_>, _>>()?;
        let count = signals.len();
        let accepted_at = signals.first().map(|signal| signal.received_at);
        let now = self.clock.now();
        if record(&self.db, &*self.ids, now, org, batch, signals).await? {
            self.metrics.recorded.inc_by(u64::try_from(count).unwrap_or(0));
            if let Some(accepted_at) = accepted_at {
                self.metrics
                    .record_lag_seconds
                    .observe(now.duration_since(accepted_at).as_secs_f64());
            }
        }
        Ok(())
    }
}
