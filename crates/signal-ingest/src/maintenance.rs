//! Deletes what retention leaves behind: keys of dropped signals, raw deliveries past their time.
//!
//! Runs at start and hourly, takes no input, can be killed anywhere.

use std::sync::Arc;
use std::time::Duration;

use ::store::PipelineDb;
use ids::Clock;
use jiff::SignedDuration;
use lifecycle::{Lifecycle, OnExit, Phase};

use crate::config::RetentionSettings;
use crate::error::IngestError;
use crate::metrics::IngestMetrics;
use crate::store::{expire, signal_partitions};

const EVERY: Duration = Duration::from_secs(3_600);

/// What the task works with.
#[derive(Clone)]
pub(crate) struct Upkeep {
    pub(crate) db: PipelineDb,
    pub(crate) retention: RetentionSettings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: IngestMetrics,
}

impl Upkeep {
    /// Starts the task.
    pub(crate) fn spawn(self, lifecycle: &Lifecycle) {
        lifecycle.spawn("expiry", Phase::Work, OnExit::restart(), move |shutdown| {
            let this = self.clone();
            async move {
                loop {
                    tokio::select! {
                        () = shutdown.requested() => return Ok(()),
                        outcome = this.run() => {
                            if let Err(error) = outcome {
                                tracing::warn!(error = %error, "what has expired could not be deleted");
                            }
                        }
                    }
                    tokio::select! {
                        () = shutdown.requested() => return Ok(()),
                        () = tokio::time::sleep(EVERY) => {}
                    }
                }
            }
        });
    }

    async fn run(&self) -> Result<(), IngestError> {
        let now = self.clock.now();
        if let Some(floor) = expire::floor(&signal_partitions(self.retention.signals_days), now) {
            let deleted = expire::ledger(&self.db, floor).await?;
            self.metrics
                .expired
                .with_label_values(&["idempotency_keys"])
                .inc_by(deleted);
        }
        let age = SignedDuration::from_hours(i64::from(self.retention.raw_deliveries_days) * 24);
        if let Ok(before) = now.checked_sub(age) {
            let deleted = expire::raw_deliveries(&self.db, before).await?;
            self.metrics
                .expired
                .with_label_values(&["github_deliveries_raw"])
                .inc_by(deleted);
        }
        Ok(())
    }
}
