//! The events that crm listens to: from the wire to an operation on the records.
//!
//! Owns the reading of payloads; one that cannot be read is a dead letter at once. Must not: decide what a fact means
//! (the domain does), or write (the records do).

mod account_discovered;
mod account_expansion_signal;
mod account_score_changed;
mod contact_identified;
mod identity_account_linked;
mod identity_account_merged;
mod identity_merged;
mod signals_recorded;
mod together;

use std::str::FromStr;
use std::sync::Arc;

use ::store::{Class, Stores};
use contracts::{Envelope, convert, events::v1 as events};
use eventbus::{
    Bus, BusError, ConsumerSpec, Delivery as _, GroupError, Handler, HandlerError, spawn_consumer,
};
use jiff::Timestamp;
use lifecycle::Lifecycle;
use telemetry::{IntCounterVec, Metrics};

use crate::config::{ConsumerSettings, GroupSettings};
use crate::domain;
use crate::error::CrmError;
use crate::store::{Delivered, Outcome, Records};
use crate::{SERVICE, metrics};

use together::{Frequent, Together};

pub use account_discovered::AccountDiscovered;
pub use account_expansion_signal::AccountExpansionSignal;
pub use account_score_changed::AccountScoreChanged;
pub use contact_identified::ContactIdentified;
pub use identity_account_linked::IdentityAccountLinked;
pub use identity_account_merged::IdentityAccountMerged;
pub use identity_merged::IdentityMerged;
pub use signals_recorded::SignalsRecorded;

/// What every handler has.
#[derive(Clone)]
pub struct Desk {
    records: Records,
    deliveries: IntCounterVec,
}

impl Desk {
    /// A desk over these records.
    ///
    /// # Errors
    /// A conflict of metrics.
    pub fn new(records: Records, metrics: &Metrics) -> Result<Self, telemetry::TelemetryError> {
        Ok(Self {
            records,
            deliveries: metrics::deliveries(metrics)?,
        })
    }

    /// The operation's outcome as the bus needs it.
    fn settle(&self, event: &'static str, outcome: Result<Outcome, CrmError>) -> Result<(), HandlerError> {
        match outcome {
            Ok(outcome) => {
                self.count(event, outcome);
                Ok(())
            }
            Err(error) if is_final(&error) => Err(HandlerError::poison(error)),
            Err(error) => Err(HandlerError::retry(error)),
        }
    }

    /// The same of an operation that others share.
    fn settle_group(
        &self,
        event: &'static str,
        outcome: Result<Outcome, GroupError<CrmError>>,
    ) -> Result<(), HandlerError> {
        let outcome = outcome.map_err(|error| error.to_handler(is_final))?;
        self.count(event, outcome);
        Ok(())
    }

    fn count(&self, event: &'static str, outcome: Outcome) {
        let label = match outcome {
            Outcome::Applied => "applied",
            Outcome::Repeated => "repeated",
        };
        self.deliveries.with_label_values(&[event, label]).inc();
    }
}

fn is_final(error: &CrmError) -> bool {
    match error {
        CrmError::Merge(_) => true,
        // What a constraint refuses now it will refuse again.
        CrmError::Store(error) => matches!(error.class(), Class::Check { .. }),
        _ => false,
    }
}

/// Whether a group's failure may be that of one delivery: not when the database is away.
fn may_be_of_one(error: &CrmError) -> bool {
    !matches!(error, CrmError::Store(error) if matches!(error.class(), Class::Unavailable))
}

/// Starts a consumer for each event.
///
/// # Errors
/// Limits that make no sense, or a conflict of metrics.
pub fn spawn(
    desk: &Desk,
    bus: &Bus,
    stores: &Stores,
    settings: &ConsumerSettings,
    lifecycle: &Lifecycle,
    metrics: &Metrics,
) -> Result<(), BusError> {
    let parts = Parts {
        bus,
        stores,
        lifecycle,
        metrics,
    };
    let groups = &settings.groups;
    parts.start_together::<events::ContactIdentified>(desk, groups)?;
    parts.start_together::<events::AccountDiscovered>(desk, groups)?;
    parts.start_together::<events::AccountScoreChanged>(desk, groups)?;
    let few = settings.concurrency;
    parts.start(identity_merged::EVENT, few, IdentityMerged(desk.clone()))?;
    let linked = IdentityAccountLinked(desk.clone());
    parts.start(identity_account_linked::EVENT, few, linked)?;
    let merged = IdentityAccountMerged(desk.clone());
    parts.start(identity_account_merged::EVENT, few, merged)?;
    let signals = SignalsRecorded::new(desk.clone());
    parts.start(signals_recorded::EVENT, few, signals)?;
    let expansion = AccountExpansionSignal(desk.clone());
    parts.start(account_expansion_signal::EVENT, few, expansion)
}

struct Parts<'a> {
    bus: &'a Bus,
    stores: &'a Stores,
    lifecycle: &'a Lifecycle,
    metrics: &'a Metrics,
}

impl Parts<'_> {
    fn start_together<E: Frequent>(&self, desk: &Desk, groups: &GroupSettings) -> Result<(), BusError> {
        let handler = Together::<E>::start(desk.clone(), groups, self.lifecycle);
        self.start(E::TYPE, groups.events, handler)
    }

    fn start<H: Handler>(&self, event: &'static str, at_once: usize, handler: H) -> Result<(), BusError> {
        let spec = ConsumerSpec::new(SERVICE, event).concurrency(at_once);
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
        scope: envelope.scope(),
        consumer,
        event: envelope.id,
        at: domain::micros(envelope.time),
    }
}

/// An id of the payload; what is none can never be handled.
fn id<T: FromStr>(field: &str, text: &str) -> Result<T, HandlerError> {
    text.parse().map_err(|_| unreadable(&format!("{field} is no id")))
}

/// A time of the payload, in whole microseconds; absent or unreadable, it is the event's own.
fn time(at: Option<&prost_types::Timestamp>, event: Timestamp) -> Timestamp {
    at.and_then(convert::from_timestamp).map_or(event, domain::micros)
}

fn unreadable(what: &str) -> HandlerError {
    HandlerError::Poison(anyhow::anyhow!("the payload cannot be used: {what}"))
}
