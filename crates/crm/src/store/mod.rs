//! The records in Postgres: one file per table's rows and per operation.
//!
//! Owns every statement of this service. Every operation is one transaction of one organization: it locks what it
//! changes, lets the domain decide, writes the outcome and the events that tell of it.
//!
//! Lock order, so that operations never wait for each other in a circle: persons (advisory, by id), then contact rows,
//! then account rows by id. Chains of merges can break the order; Postgres then ends one side, which starts again.

mod account_rows;
mod batch;
mod contact_counts;
mod contact_rows;
mod edit_account;
mod edit_contact;
mod identity_rows;
mod learn_account;
mod learn_contact;
mod link_contact;
mod list_accounts;
mod list_contacts;
mod merge_contact;
mod people;
mod rate_account;
mod read;
mod telling;
mod timeline;

use std::sync::Arc;

use ::store::{Db, OrgScope, PipelineDb, Stores, Tx, inbox};
use ids::{Clock, EventId, IdGen};
use jiff::Timestamp;

use crate::domain;
use crate::error::CrmError;

pub use list_accounts::AccountList;
pub use list_contacts::ContactList;
pub use merge_contact::Merge;
pub use timeline::OwnTimeline;

/// The service's records.
#[derive(Clone)]
pub struct Records {
    /// What callers ask for: row-level security of their organization.
    db: Db,
    /// What events bring: the role that may claim them. Every statement names the organization.
    pipeline: PipelineDb,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
}

/// An event to be taken into effect once, however often it is delivered.
#[derive(Debug, Clone, Copy)]
pub struct Delivered {
    /// The organization it belongs to.
    pub scope: OrgScope,
    /// The consumer's name, for the inbox.
    pub consumer: &'static str,
    /// The event's id.
    pub event: EventId,
    /// When it happened, in whole microseconds.
    pub at: Timestamp,
}

/// Whether a delivery had its effect now or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Now.
    Applied,
    /// Before; nothing was done.
    Repeated,
}

impl Records {
    /// The records in `stores`.
    #[must_use]
    pub fn new(stores: &Stores, clock: Arc<dyn Clock>, ids: Arc<dyn IdGen>) -> Self {
        Self {
            db: stores.db.clone(),
            pipeline: stores.pipeline.clone(),
            clock,
            ids,
        }
    }

    /// Now, in whole microseconds.
    fn now(&self) -> Timestamp {
        domain::micros(self.clock.now())
    }

    /// Opens the transaction of a delivery and claims it; `None` when it had its effect before.
    async fn begin_once(&self, delivered: &Delivered) -> Result<Option<Tx>, CrmError> {
        let mut tx = self.pipeline.begin().await?;
        if inbox::claim(&mut tx, delivered.consumer, delivered.event.uuid()).await? {
            return Ok(Some(tx));
        }
        tx.rollback().await;
        Ok(None)
    }
}

/// `If-Match`: refuses when the record has another version than expected.
fn check_version(actual: i64, expected: Option<i64>) -> Result<(), CrmError> {
    match expected {
        Some(expected) if expected != actual => Err(CrmError::VersionMismatch { expected, actual }),
        _ => Ok(()),
    }
}
