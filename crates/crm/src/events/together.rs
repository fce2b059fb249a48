//! The most frequent events: deliveries of one type share transactions.

use std::future::Future;
use std::marker::PhantomData;

use contracts::{Envelope, Event};
use eventbus::{Delivery as _, GroupWork, Grouped, Handler, HandlerError};
use lifecycle::Lifecycle;

use super::{Desk, delivered};
use crate::config::GroupSettings;
use crate::error::CrmError;
use crate::store::{Delivered, Outcome, Records};

/// An event that the records take in many at a time.
pub trait Frequent: Event + 'static {
    /// The consumer's name, for the inbox.
    const CONSUMER: &'static str;
    /// The name of the task that takes them in.
    const LANE: &'static str;
    /// What it says, read.
    type Fact: Send + Sync + 'static;

    /// Reads it.
    ///
    /// # Errors
    /// A payload that cannot be used.
    fn read(self, delivered: &Delivered) -> Result<Self::Fact, HandlerError>;

    /// Takes all facts in, or none.
    ///
    /// # Errors
    /// As the records say.
    fn learn(
        records: &Records,
        told: &[(Delivered, Self::Fact)],
    ) -> impl Future<Output = Result<Vec<Outcome>, CrmError>> + Send;
}

/// The handler of a frequent event.
pub struct Together<E: Frequent> {
    desk: Desk,
    lane: Grouped<Learn<E>>,
}

impl<E: Frequent> Together<E> {
    /// Starts the lane.
    #[must_use]
    pub fn start(desk: Desk, settings: &GroupSettings, lifecycle: &Lifecycle) -> Self {
        let learn = Learn(desk.records.clone(), PhantomData);
        let lane = Grouped::start(E::LANE, learn, settings.grouping(), lifecycle);
        Self { desk, lane }
    }
}

impl<E: Frequent> Handler for Together<E> {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let delivered = delivered(&envelope, E::CONSUMER);
        let fact = envelope.read::<E>()?.read(&delivered)?;
        let outcome = self.lane.one((delivered, fact), 1).await;
        self.desk.settle_group(E::TYPE, outcome)
    }
}

struct Learn<E>(Records, PhantomData<fn() -> E>);

impl<E> Clone for Learn<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<E: Frequent> GroupWork for Learn<E> {
    type Item = (Delivered, E::Fact);
    type Done = Outcome;
    type Error = CrmError;

    async fn together(&self, told: &[Self::Item]) -> Result<Vec<Outcome>, CrmError> {
        E::learn(&self.0, told).await
    }

    fn may_be_of_one(error: &CrmError) -> bool {
        super::may_be_of_one(error)
    }
}
