//! The records in Postgres: one file per table's rows and per operation.
//!
//! Owns every statement of this service. Every operation is one transaction of one organization: it locks what it
//! changes, lets the domain decide, writes the outcome and the events that tell of it.
//!
//! Lock order, so that operations never wait for each other in a circle: identities and domains that are recorded by hand
//! (advisory), persons (advisory, by id), contact rows, account rows by id, deals by id. Chains of merges can break the order; Postgres then ends one side, which starts again.

mod account_rows;
mod activity_rows;
mod arrays;
mod as_of;
mod batch;
mod contact_bulk;
mod contact_counts;
mod contact_rows;
mod custom_fields;
mod custom_lists;
mod deal_rows;
mod deals;
mod entries;
mod extras;
mod group;
mod hand_account;
mod hand_contact;
pub(crate) mod history;
mod identity_rows;
mod import_contacts;
mod import_deals;
mod import_files;
mod import_lane;
mod import_records;
mod import_relations;
mod import_report;
mod import_turns;
mod import_undo;
mod import_undo_records;
mod imports;
mod index_later;
mod learn_account;
mod learn_contact;
mod link_contact;
mod list_accounts;
mod list_contacts;
mod list_deals;
mod merge_account;
mod merge_contact;
mod milestones;
mod note_rows;
mod object_change;
mod object_records;
mod object_rows;
mod object_values;
mod objects;
mod people;
mod pipeline_rows;
mod pipelines;
mod progress;
mod rate_accounts;
mod read;
mod retention;
mod search;
mod search_backfill;
mod search_rows;
mod tags;
mod task_rows;
mod telling;
mod timeline;
mod told;
mod views;
mod work;
mod writing;

use std::sync::Arc;

use ::store::list::{ListRequest, ListSpec};
use ::store::paging::Page;
use ::store::{Db, OrgScope, PipelineDb, Stores, Tx, inbox};
use ids::{Clock, EventId, IdGen};
use jiff::Timestamp;
use sqlx::FromRow;
use sqlx::postgres::PgRow;

use crate::domain;
use crate::error::CrmError;

pub use custom_fields::FieldEdit;
pub use deals::MAX_CONTACTS as MAX_DEAL_CONTACTS;
pub use entries::About;
pub use hand_account::AccountDraft;
pub use hand_contact::ContactDraft;
pub(crate) use hand_contact::stripe_of;
pub use import_contacts::Row as ImportRow;
pub(crate) use import_contacts::keys_of;
pub use import_files::Found;
pub use import_lane::{Accounts, Lane};
pub use import_records::RecordRows;
pub use import_report::{Reported, RowFilter};
pub use import_turns::Turn;
pub use imports::{Import, ImportEdit};
pub use index_later::Place;
pub use learn_account::ToldCompany;
pub use list_accounts::AccountList;
pub use list_contacts::ContactList;
pub use merge_contact::Merge;
pub use objects::{Judged, ObjectEdit};
pub use pipelines::StageDraft;
pub use search::SearchRequest;
pub use tags::{Tag, TagEdit};
pub use timeline::OwnTimeline;
pub use views::{View, ViewEdit, ViewQuery};
pub use work::Stored;
pub use writing::{Did, Write};

use writing::in_tx;

/// A full filter, if one is given.
pub type Tree<'a> = Option<&'a serde_json::Map<String, serde_json::Value>>;

/// The service's records.
#[derive(Clone)]
pub struct Records {
    /// What callers ask for: row-level security of their organization.
    db: Db,
    /// What events bring: the role that may claim them. Every statement names the organization.
    pipeline: PipelineDb,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
    /// Whether this is the work of an import: identity-resolver is told without being asked to tell of it.
    importing: bool,
    /// Whether nobody else is told.
    quiet: bool,
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
            importing: false,
            quiet: false,
        }
    }

    /// The same for an import; `tell` says whether public events are told of what it changes.
    #[must_use]
    pub fn importing(&self, tell: bool) -> Self {
        Self {
            importing: true,
            quiet: !tell,
            ..self.clone()
        }
    }

    /// Now, in whole microseconds.
    pub(crate) fn now(&self) -> Timestamp {
        domain::micros(self.clock.now())
    }

    /// A page of records that stand in rows of their own.
    async fn page<R, T>(
        &self,
        spec: &ListSpec,
        scope: &OrgScope,
        method: &str,
        request: &ListRequest<'_>,
    ) -> Result<Page<T>, CrmError>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
        T: TryFrom<R, Error = CrmError>,
    {
        let query = spec.prepare(scope, method, request)?;
        let mut tx = self.db.begin(scope).await?;
        let page: Page<R> = query.fetch(&mut tx).await?;
        tx.commit().await?;
        converted(page)
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

/// The page with its rows read.
fn converted<R, T: TryFrom<R, Error = CrmError>>(page: Page<R>) -> Result<Page<T>, CrmError> {
    let items = page
        .items
        .into_iter()
        .map(T::try_from)
        .collect::<Result<_, _>>()?;
    Ok(Page {
        items,
        next_cursor: page.next_cursor,
        has_more: page.has_more,
        total_count: page.total_count,
    })
}

/// Takes advisory locks, which are given in order, until the end of the transaction.
async fn lock_keys(tx: &mut Tx, keys: &[String]) -> Result<(), CrmError> {
    sqlx::query(
        "SELECT pg_advisory_xact_lock(hashtextextended(k.key, 0)) \
         FROM unnest($1::text[]) WITH ORDINALITY k (key, place) ORDER BY k.place",
    )
    .bind(keys)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
