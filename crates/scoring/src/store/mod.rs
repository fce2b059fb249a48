//! Every statement of this service, one file per operation.
//!
//! Owns the tables of `migrations/scoring`. Must not: decide anything about scores (that is `domain`).
//!
//! Lock order, so that transactions never wait for each other in a circle: inbox, the organization's identity lock,
//! roll-ups, titles, firmographics, schedule; rows of one table in falling order of their keys. Where that cannot be kept, Postgres ends
//! one side, which starts again.

mod activity;
mod companies;
mod corrections;
pub mod facts;
pub mod models;
mod moves;
pub mod past;
mod people;
pub mod prune;
pub mod rollup;
pub mod schedule;
pub mod scores;

pub use companies::{Company, Source, learn_companies};
pub use moves::{Link, Merge, link, merge};
pub use people::{Person, learn_people};

use std::collections::{BTreeMap, HashSet};

use ::store::{PipelineDb, Tx, inbox};
use ids::{EventId, OrgId};
use jiff::Timestamp;
use uuid::Uuid;

use crate::error::ScoringError;

/// An event to be taken into effect once, however often it is delivered.
#[derive(Debug, Clone, Copy)]
pub struct Delivered {
    /// The organization it belongs to.
    pub org: OrgId,
    /// The consumer's name, for the inbox.
    pub consumer: &'static str,
    /// The event's id.
    pub event: EventId,
    /// When it happened.
    pub at: Timestamp,
}

/// Whether a delivery had its effect now or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Now.
    Applied,
    /// Before, or it has none; nothing was done.
    Repeated,
}

/// Opens the transaction of a delivery and claims it; `None` when it had its effect before.
async fn begin_once(pipeline: &PipelineDb, delivered: &Delivered) -> Result<Option<Tx>, ScoringError> {
    let mut tx = pipeline.begin().await?;
    if inbox::claim(&mut tx, delivered.consumer, delivered.event.uuid()).await? {
        return Ok(Some(tx));
    }
    tx.rollback().await;
    Ok(None)
}

/// Claims deliveries; tells of each whether its effect is to be now. One that is there twice has it once.
async fn claim_all(
    tx: &mut Tx,
    deliveries: impl Iterator<Item = &Delivered> + Clone,
) -> Result<Vec<Outcome>, ScoringError> {
    let mut claims: BTreeMap<&str, Vec<Uuid>> = BTreeMap::new();
    for delivered in deliveries.clone() {
        claims
            .entry(delivered.consumer)
            .or_default()
            .push(delivered.event.uuid());
    }
    let mut new = HashSet::new();
    for (consumer, events) in claims {
        let claimed = inbox::claim_all(tx, consumer, &events).await?;
        new.extend(claimed.into_iter().map(|event| (consumer, event)));
    }
    let outcome = |delivered: &Delivered| match new.remove(&(delivered.consumer, delivered.event.uuid())) {
        true => Outcome::Applied,
        false => Outcome::Repeated,
    };
    Ok(deliveries.map(outcome).collect())
}

/// Has the transaction's statements planned without sequential scans. Prepared statements keep their plan, and a plan
/// made while a table was small would scan it from end to end until the next ANALYZE, a minute in which a new
/// installation can take in millions of signals.
pub(crate) async fn by_index(tx: &mut Tx) -> Result<(), ScoringError> {
    sqlx::query("SET LOCAL enable_seqscan = off")
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Times in Postgres have microseconds; what is computed with must be what is stored.
#[must_use]
pub fn micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}
