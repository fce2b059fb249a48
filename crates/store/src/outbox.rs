//! Events written with the state that they tell of, until the relay has published them.
//!
//! Owns the tables `outbox` (daily partitions by event id) and `outbox_streams`. Must not: know the broker.

use bytes::Bytes;
use ids::OrgId;
use jiff::Timestamp;
use uuid::Uuid;

use crate::partitions::PartitionSpec;
use crate::{PipelineDb, StoreError, ToSqlx as _, Ts, Tx};

/// An event as it is stored: the envelope, field by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEvent {
    /// The event's id, a UUIDv7: also the broker's message id. Rows are published in its order.
    pub id: Uuid,
    /// The organization.
    pub org: OrgId,
    /// Subject without namespace.
    pub subject: String,
    /// The object it is about (`ce-subject`).
    pub about: String,
    /// The service that tells (`ce-source`).
    pub source: String,
    /// `identity` or `zstd`.
    pub encoding: String,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// The message.
    pub payload: Bytes,
    /// When it happened (`ce-time`), in microseconds.
    pub occurred_at: Timestamp,
}

/// What the broker acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The event.
    pub id: Uuid,
    /// Its sequence in the stream.
    pub seq: u64,
}

/// How much waits for the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpublished {
    /// Events not yet published, counted up to 10,000.
    pub count: u64,
    /// When the oldest of them was written.
    pub oldest: Option<Timestamp>,
}

/// What the relay knew of a stream when it last looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamMark {
    /// When the broker created the stream: another time is another stream.
    pub created: Timestamp,
    /// The last sequence that this service's events got in it; 0 when none.
    pub last_seq: u64,
}

/// Writes one event in the caller's transaction. The relay is woken by its commit.
///
/// # Errors
/// [`StoreError::Misuse`] for an id that is no UUIDv7; a unique violation for an id that is there already.
pub async fn enqueue(tx: &mut Tx, event: &OutboxEvent) -> Result<(), StoreError> {
    enqueue_all(tx, std::slice::from_ref(event)).await
}

/// Writes many events with one statement.
///
/// # Errors
/// As [`enqueue`]; nothing is written then.
pub async fn enqueue_all(_tx: &mut Tx, _events: &[OutboxEvent]) -> Result<(), StoreError> {
    todo!()
}

/// The oldest unpublished events in the order of their ids, at most `limit`. Takes no locks: the caller is the leader
/// ([`crate::Stores::lead`]).
pub async fn take_unpublished(_db: &PipelineDb, _limit: u32) -> Result<Vec<OutboxEvent>, StoreError> {
    todo!()
}

/// Notes that the broker has these events in `stream`. Repeating it is harmless.
pub async fn mark_published(_db: &PipelineDb, _stream: &str, _acks: &[Published]) -> Result<(), StoreError> {
    todo!()
}

/// Makes the events unpublished again that were published to `stream` with a sequence above `seq`: those that the
/// broker forgot when `seq` is the stream's last sequence now, or all that are kept when `seq` is 0 (the stream was
/// created anew). Returns how many; the relay then publishes them in the usual way, with the same ids.
pub async fn republish_after(_db: &PipelineDb, _stream: &str, _seq: u64) -> Result<u64, StoreError> {
    todo!()
}

/// What was noted of `stream` with [`mark_stream`], and the highest sequence noted since.
pub async fn stream_mark(_db: &PipelineDb, _stream: &str) -> Result<Option<StreamMark>, StoreError> {
    todo!()
}

/// Notes the identity of `stream`, after [`republish_after`] repaired what was lost with the one before.
pub async fn mark_stream(_db: &PipelineDb, _stream: &str, _created: Timestamp) -> Result<(), StoreError> {
    todo!()
}

/// How much waits, and for how long.
pub async fn unpublished_stats(_db: &PipelineDb) -> Result<Unpublished, StoreError> {
    todo!()
}

/// The outbox's partitions: a day each, a week ahead, dropped when all in them is published and older than retention.
#[must_use]
pub fn partitions(retention_days: u32) -> PartitionSpec {
    PartitionSpec {
        table: "outbox",
        every_days: 1,
        ahead_days: 7,
        retention_days: Some(retention_days),
        keep_while: Some("published_at IS NULL"),
    }
}
