//! From the outbox to the streams.
//!
//! One process of a service relays, the others stand by. It publishes rows in the order in which they were written,
//! waits for the broker's acknowledgements, and only then marks them. After every connect it compares what the broker has with what
//! was acknowledged, and publishes again what the broker has lost.

mod lead;
mod publish;
mod regression;
mod work;

use std::time::Duration;

use lifecycle::{Backoff, Lifecycle, OnExit, Phase};
use store::Stores;
use telemetry::Metrics;
use tokio::sync::watch;

use crate::{Bus, BusError, metrics::RelayMetrics};

/// The relay of one service's outbox.
#[derive(Debug)]
pub struct Relay;

/// What the relay's parts share.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) bus: Bus,
    pub(crate) stores: Stores,
    pub(crate) service: &'static str,
    pub(crate) metrics: RelayMetrics,
    pub(crate) hold: watch::Receiver<bool>,
}

impl Relay {
    /// Starts relaying the outbox of `stores`, or standing by while another process of the service does.
    ///
    /// # Errors
    /// A conflict of metrics.
    pub fn spawn(
        bus: &Bus,
        stores: &Stores,
        service: &'static str,
        lifecycle: &Lifecycle,
        metrics: &Metrics,
    ) -> Result<(), BusError> {
        let (_, never) = watch::channel(false);
        Self::spawn_with(never, bus, stores, service, lifecycle, metrics)
    }

    /// The same; the relay rests while `hold` says so. Events wait in the outbox meanwhile, and a shutdown publishes
    /// what it can of them.
    ///
    /// # Errors
    /// A conflict of metrics.
    pub fn spawn_with(
        hold: watch::Receiver<bool>,
        bus: &Bus,
        stores: &Stores,
        service: &'static str,
        lifecycle: &Lifecycle,
        metrics: &Metrics,
    ) -> Result<(), BusError> {
        let metrics = RelayMetrics::new(metrics)?;
        let desk = Desk {
            bus: bus.clone(),
            stores: stores.clone(),
            service,
            metrics,
            hold,
        };
        let again = OnExit::Restart {
            backoff: Backoff {
                initial: Duration::from_millis(100),
                max: Duration::from_secs(5),
            },
        };
        lifecycle.spawn("relay", Phase::Work, again, move |shutdown| {
            lead::run(desk.clone(), shutdown)
        });
        Ok(())
    }
}

/// Consumer name of dead letters that the relay makes of rows which no broker will take.
pub(crate) fn dead_letter_consumer(service: &str) -> String {
    format!("{service}_outbox")
}
