//! Messages that a consumer gave up on, kept with the reason until someone redrives them.
//!
//! Owns the table `dead_letters`. Must not: decide when to give up.

use bytes::Bytes;
use ids::OrgId;
use jiff::Timestamp;
use uuid::Uuid;

use crate::{PipelineDb, StoreError, Tx};

/// A message to be given up on.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDeadLetter {
    /// The message's own id. A message has one dead letter per consumer, however often it fails.
    pub message_id: Uuid,
    /// The organization, if the message could be read so far.
    pub org: Option<OrgId>,
    /// Durable name of the consumer.
    pub consumer: String,
    /// Subject without namespace.
    pub subject: String,
    /// Headers of the message, as a JSON object of strings.
    pub headers: serde_json::Value,
    /// The message as it came.
    pub payload: Bytes,
    /// Why: the error chain.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// A message that was given up on.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// Its id as a dead letter; the same for the same message and consumer.
    pub id: Uuid,
    /// What it was.
    pub letter: NewDeadLetter,
    /// When it was given up on last.
    pub failed_at: Timestamp,
    /// When someone asked to try again.
    pub redrive_requested_at: Option<Timestamp>,
    /// When it was handed back to the consumer.
    pub redriven_at: Option<Timestamp>,
}

/// How many messages wait, by consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Durable name of the consumer.
    pub consumer: String,
    /// Dead letters not yet redriven.
    pub count: u64,
    /// The oldest of them.
    pub oldest: Timestamp,
}

/// Which dead letters to redrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redrive {
    /// These.
    Ids(Vec<Uuid>),
    /// All of this consumer.
    Consumer(String),
    /// All.
    All,
}

/// Keeps the message; a second time for the same message and consumer updates it and makes it wait again.
/// Returns its id as a dead letter.
pub async fn insert(_db: &PipelineDb, _letter: &NewDeadLetter) -> Result<Uuid, StoreError> {
    todo!()
}

/// Those that wait, oldest first, after the one with id `after`, at most `limit`; of one consumer if given.
pub async fn list(
    _db: &PipelineDb,
    _consumer: Option<&str>,
    _after: Option<Uuid>,
    _limit: u32,
) -> Result<Vec<DeadLetter>, StoreError> {
    todo!()
}

/// Asks for another try; returns how many that concerns.
pub async fn request_redrive(_db: &PipelineDb, _which: &Redrive) -> Result<u64, StoreError> {
    todo!()
}

/// Takes those of `consumer` for which another try was asked, locked against other replicas until the end of `tx`;
/// [`mark_redriven`] in the same transaction once they are handled or handed back.
pub async fn take_redrivable(_tx: &mut Tx, _consumer: &str, _limit: u32) -> Result<Vec<DeadLetter>, StoreError> {
    todo!()
}

/// Notes that they were handed back.
pub async fn mark_redriven(_tx: &mut Tx, _ids: &[Uuid]) -> Result<(), StoreError> {
    todo!()
}

/// How many wait, by consumer.
pub async fn waiting(_db: &PipelineDb) -> Result<Vec<Waiting>, StoreError> {
    todo!()
}
