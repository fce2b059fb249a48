//! What this service does with events: one file per kind of consumer.

mod identity;
mod resolved;

use std::sync::Arc;
use std::time::Duration;

use ::store::Stores;
use contracts::Event;
use contracts::events::v1::{IdentityAccountLinked, IdentityMerged};
use contracts::signals::v1::SignalsResolved;
use eventbus::{Bus, BusError, ConsumerSpec, Handler, spawn_consumer};
use ids::{Clock, IdGen};
use lifecycle::Lifecycle;
use telemetry::Metrics;

use crate::SERVICE;
use crate::config::{Settings, StageSettings};
use crate::metrics::IngestMetrics;

pub use identity::{LinkHandler, MergeHandler};
pub use resolved::{RecordHandler, Recorder};

/// What the consumers work with.
pub(crate) struct Desk<'a> {
    pub(crate) bus: &'a Bus,
    pub(crate) stores: &'a Stores,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) ids: &'a Arc<dyn IdGen>,
    pub(crate) counts: &'a IngestMetrics,
    pub(crate) lifecycle: &'a Lifecycle,
    pub(crate) metrics: &'a Metrics,
}

impl Desk<'_> {
    /// Starts the consumers.
    pub(crate) fn spawn(&self, settings: &Settings) -> Result<(), BusError> {
        let db = &self.stores.pipeline;
        let recorder = Recorder {
            db: db.clone(),
            clock: Arc::clone(self.clock),
            ids: Arc::clone(self.ids),
            metrics: self.counts.clone(),
        };
        let record = RecordHandler::start(&recorder, &settings.record, self.lifecycle);
        self.consume(SignalsResolved::TYPE, settings.record.stage(), record)?;
        let merge = MergeHandler {
            db: db.clone(),
            metrics: self.counts.clone(),
        };
        self.consume(IdentityMerged::TYPE, settings.identity, merge)?;
        let link = LinkHandler {
            db: db.clone(),
            metrics: self.counts.clone(),
        };
        self.consume(IdentityAccountLinked::TYPE, settings.identity, link)
    }

    fn consume<H: Handler>(
        &self,
        event: &'static str,
        stage: StageSettings,
        handler: H,
    ) -> Result<(), BusError> {
        let spec = ConsumerSpec {
            handler_timeout: Duration::from_millis(stage.timeout_ms),
            ..ConsumerSpec::new(SERVICE, event).concurrency(stage.concurrency)
        };
        spawn_consumer(
            self.bus,
            self.stores,
            spec,
            Arc::new(handler),
            self.lifecycle,
            self.metrics,
        )
    }
}
