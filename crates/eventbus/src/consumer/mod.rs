//! Durable consumers: from the stream to the handler, and what happens to messages that cannot be handled.
//!
//! One [`spawn_consumer`] is three tasks: `consume` pulls and handles, `sweep` collects messages that the broker gave up
//! on (a worker killed at every attempt), `redrive` runs dead letters again when an operator asks for it.

mod attempt;
mod dead;
mod outage;
mod process;
mod redrive;
mod run;
mod spec;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use contracts::StreamKind;
use lifecycle::{Backoff, Lifecycle, OnExit, Phase};
use store::Stores;
use telemetry::Metrics;

pub(crate) use sweep::sweep_of;

pub use spec::{ConsumerSpec, Delivery, Handler, HandlerError};

use crate::{Bus, BusError, bus::Registered, metrics::ConsumerMetrics};

/// A consumer at work: what its tasks share.
pub(crate) struct Worker<H> {
    pub(crate) bus: Bus,
    pub(crate) stores: Stores,
    pub(crate) spec: ConsumerSpec,
    pub(crate) stream: StreamKind,
    pub(crate) durable: String,
    pub(crate) handler: Arc<H>,
    pub(crate) metrics: ConsumerMetrics,
}

/// Starts a consumer. Its messages reach `handler` until shutdown, whatever happens to broker, streams or database in
/// between; a message that cannot be handled ends in `dead_letters` of `stores` and does not hold up its neighbours.
///
/// # Errors
/// An unknown event, limits that make no sense, or a conflict of metrics.
pub fn spawn_consumer<H: Handler>(
    bus: &Bus,
    stores: &Stores,
    spec: ConsumerSpec,
    handler: Arc<H>,
    lifecycle: &Lifecycle,
    metrics: &Metrics,
) -> Result<(), BusError> {
    spec.check()?;
    let (stream, durable) = (spec.stream()?, spec.durable());
    let metrics = ConsumerMetrics::new(metrics, &durable)?;
    bus.register(Registered {
        service: spec.service,
        event: spec.event,
        durable: durable.clone(),
        stream,
    });
    let life = lifecycle.child(&durable);
    let worker = Arc::new(Worker {
        bus: bus.clone(),
        stores: stores.clone(),
        spec,
        stream,
        durable,
        handler,
        metrics,
    });
    // A fault of one consumer must not take the process down; it starts again.
    let again = OnExit::Restart {
        backoff: Backoff {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(5),
        },
    };
    let this = Arc::clone(&worker);
    life.spawn("consume", Phase::Work, again, move |shutdown| {
        run::run(Arc::clone(&this), shutdown)
    });
    let this = Arc::clone(&worker);
    life.spawn("sweep", Phase::Work, again, move |shutdown| {
        sweep::run(Arc::clone(&this), shutdown)
    });
    life.spawn("redrive", Phase::Work, again, move |shutdown| {
        redrive::run(Arc::clone(&worker), shutdown)
    });
    Ok(())
}
