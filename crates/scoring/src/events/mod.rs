//! The events that scoring listens to: from the wire to an operation of the store.
//!
//! Owns the reading of payloads; one that cannot be read is a dead letter at once. Must not: decide what a fact means, or
//! write.

mod account_discovered;
mod account_recorded;
mod companies;
mod contact_identified;
mod identity_account_linked;
mod identity_merged;
mod reading;
mod signals_recorded;

use std::str::FromStr;
use std::sync::Arc;

use ::store::{PipelineDb, Stores};
use contracts::{Envelope, Event, events::v1 as events};
use eventbus::{Bus, BusError, ConsumerSpec, Handler, HandlerError, spawn_consumer};
use ids::Clock;
use jiff::Timestamp;
use lifecycle::Lifecycle;
use telemetry::Metrics;
use tokio::sync::Notify;

use crate::SERVICE;
use crate::config::Settings;
use crate::domain::facts::Firmographics;
use crate::error::ScoringError;
use crate::metrics::ScoringMetrics;
use crate::store::{Delivered, micros};

pub use account_discovered::AccountDiscovered;
pub use account_recorded::{AccountCreated, AccountUpdated};
pub use companies::Companies;
pub use contact_identified::ContactIdentified;
pub use identity_account_linked::IdentityAccountLinked;
pub use identity_merged::IdentityMerged;
pub use signals_recorded::SignalsRecorded;

/// What every handler has.
#[derive(Clone)]
pub struct Desk {
    /// Where roll-ups are.
    pub pipeline: PipelineDb,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Wakes the scorer of this process.
    pub poke: Arc<Notify>,
    /// What is counted.
    pub metrics: ScoringMetrics,
}

impl Desk {
    fn now(&self) -> Timestamp {
        micros(self.clock.now())
    }

    /// An operation's outcome as the bus needs it; the scorer is woken for what was marked.
    fn settle<T>(&self, outcome: Result<T, ScoringError>) -> Result<(), HandlerError> {
        match outcome {
            Ok(_) => {
                self.poke.notify_one();
                Ok(())
            }
            Err(error) if error.is_final() => Err(HandlerError::poison(error)),
            Err(error) => Err(HandlerError::retry(error)),
        }
    }
}

/// Starts a consumer for each event.
///
/// # Errors
/// Limits that make no sense, or a conflict of metrics.
pub fn spawn(
    desk: &Desk,
    bus: &Bus,
    stores: &Stores,
    settings: &Settings,
    lifecycle: &Lifecycle,
    metrics: &Metrics,
) -> Result<(), BusError> {
    let parts = Parts {
        bus,
        stores,
        lifecycle,
        metrics,
    };
    let signals = SignalsRecorded::start(desk.clone(), settings.rollup, lifecycle);
    parts.start::<events::SignalsRecorded, _>(settings.rollup.concurrency, signals)?;
    let few = settings.consumers.concurrency;
    parts.start::<events::IdentityMerged, _>(few, IdentityMerged(desk.clone()))?;
    parts.start::<events::IdentityAccountLinked, _>(few, IdentityAccountLinked(desk.clone()))?;
    let many = settings.consumers.group_events;
    let people = ContactIdentified::start(desk.clone(), settings.consumers, lifecycle);
    parts.start::<events::ContactIdentified, _>(many, people)?;
    let companies = Companies::start(desk.clone(), settings.consumers, lifecycle);
    parts.start::<events::AccountDiscovered, _>(many, AccountDiscovered(companies.clone()))?;
    parts.start::<events::AccountCreated, _>(many, AccountCreated(companies.clone()))?;
    parts.start::<events::AccountUpdated, _>(many, AccountUpdated(companies))
}

struct Parts<'a> {
    bus: &'a Bus,
    stores: &'a Stores,
    lifecycle: &'a Lifecycle,
    metrics: &'a Metrics,
}

impl Parts<'_> {
    fn start<E: Event, H: Handler>(&self, concurrency: usize, handler: H) -> Result<(), BusError> {
        let spec = ConsumerSpec::new(SERVICE, E::TYPE).concurrency(concurrency);
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

/// The delivery of `envelope` to `consumer`.
fn delivered(envelope: &Envelope, consumer: &'static str) -> Delivered {
    Delivered {
        org: envelope.org(),
        consumer,
        event: envelope.id,
        at: micros(envelope.time),
    }
}

/// An id of the payload; what is none can never be handled.
fn id<T: FromStr>(field: &str, text: &str) -> Result<T, HandlerError> {
    text.parse().map_err(|_| unreadable(&format!("{field} is no id")))
}

fn unreadable(what: &str) -> HandlerError {
    HandlerError::Poison(anyhow::anyhow!("the payload cannot be used: {what}"))
}

/// Text without what Postgres refuses; empty text is none.
fn plain(text: Option<String>) -> Option<String> {
    text.map(|text| text.replace('\0', ""))
        .filter(|text| !text.trim().is_empty())
}

/// Firmographics of an event.
fn firmographics(
    employees: Option<i64>,
    industry: Option<String>,
    country: Option<String>,
    funding_stage: Option<String>,
) -> Firmographics {
    Firmographics {
        employees,
        industry: plain(industry),
        country: plain(country).map(|code| code.to_uppercase()),
        funding_stage: plain(funding_stage),
    }
}
