//! Messages that a consumer gave up on, kept with the reason until someone redrives them.
//!
//! Owns the table `dead_letters`. Must not: decide when to give up.

use bytes::Bytes;
use ids::OrgId;
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::{PipelineDb, StoreError, ToSqlx as _, Ts, Tx};

/// Longest reason that is kept, in bytes.
const REASON_BYTES: usize = 8 * 1024;
const COLUMNS: &str = "id, message_id, org_id, consumer, subject, headers, payload, reason, attempts, failed_at, \
                       redrive_requested_at, redriven_at";

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
    /// Why: the error chain. Cut at 8 KiB.
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
/// Returns its id as a dead letter. Characters that Postgres cannot hold (U+0000) become U+FFFD.
///
/// # Errors
/// The database failed: the message is not kept, and must not be acknowledged.
pub async fn insert(db: &PipelineDb, letter: &NewDeadLetter) -> Result<Uuid, StoreError> {
    let id = ids::derived(letter.message_id, &letter.consumer);
    let headers = storable(&letter.headers);
    db.run(async |tx| {
        sqlx::query(
            "INSERT INTO dead_letters AS kept
                 (id, message_id, org_id, consumer, subject, headers, payload, reason, attempts)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (id) DO UPDATE SET
                 org_id = excluded.org_id, subject = excluded.subject, headers = excluded.headers,
                 payload = excluded.payload, reason = excluded.reason, attempts = kept.attempts + excluded.attempts,
                 failed_at = excluded.failed_at, redrive_requested_at = NULL, redriven_at = NULL",
        )
        .bind(id)
        .bind(letter.message_id)
        .bind(letter.org.map(OrgId::uuid))
        .bind(&letter.consumer)
        .bind(storable_text(&letter.subject))
        .bind(&headers)
        .bind(letter.payload.as_ref())
        .bind(storable_text(cut(&letter.reason, REASON_BYTES)))
        .bind(i64::from(letter.attempts))
        .execute(&mut **tx)
        .await?;
        Ok(())
    })
    .await?;
    Ok(id)
}

/// Those that wait, oldest first, after the one with id `after`, at most `limit`; of one consumer if given.
///
/// # Errors
/// The database failed.
pub async fn list(
    db: &PipelineDb,
    consumer: Option<&str>,
    after: Option<Uuid>,
    limit: u32,
) -> Result<Vec<DeadLetter>, StoreError> {
    db.run(async |tx| {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM dead_letters
             WHERE redriven_at IS NULL AND ($1::text IS NULL OR consumer = $1)
               AND ($2::uuid IS NULL OR (failed_at, id) > (SELECT failed_at, id FROM dead_letters WHERE id = $2))
             ORDER BY failed_at, id LIMIT $3"
        )))
        .bind(consumer)
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&mut **tx)
        .await?;
        rows.iter().map(read).collect()
    })
    .await
}

/// Asks for another try; returns how many that concerns.
///
/// # Errors
/// The database failed.
pub async fn request_redrive(db: &PipelineDb, which: &Redrive) -> Result<u64, StoreError> {
    let (ids, consumer) = match which {
        Redrive::Ids(ids) => (Some(ids.as_slice()), None),
        Redrive::Consumer(consumer) => (None, Some(consumer.as_str())),
        Redrive::All => (None, None),
    };
    db.run(async |tx| {
        let done = sqlx::query(
            "UPDATE dead_letters SET redrive_requested_at = clock_timestamp()
             WHERE redriven_at IS NULL AND redrive_requested_at IS NULL
               AND ($1::uuid[] IS NULL OR id = ANY ($1)) AND ($2::text IS NULL OR consumer = $2)",
        )
        .bind(ids)
        .bind(consumer)
        .execute(&mut **tx)
        .await?;
        Ok(done.rows_affected())
    })
    .await
}

/// Takes those of `consumer` for which another try was asked, locked against other replicas until the end of `tx`;
/// [`mark_redriven`] in the same transaction once they are handled or handed back.
///
/// # Errors
/// The database failed.
pub async fn take_redrivable(tx: &mut Tx, consumer: &str, limit: u32) -> Result<Vec<DeadLetter>, StoreError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM dead_letters
         WHERE redriven_at IS NULL AND redrive_requested_at IS NOT NULL AND consumer = $1
         ORDER BY failed_at, id LIMIT $2 FOR UPDATE SKIP LOCKED"
    )))
    .bind(consumer)
    .bind(i64::from(limit))
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(read).collect()
}

/// Notes that they were handed back.
///
/// # Errors
/// The database failed.
pub async fn mark_redriven(tx: &mut Tx, ids: &[Uuid]) -> Result<(), StoreError> {
    sqlx::query("UPDATE dead_letters SET redriven_at = clock_timestamp() WHERE id = ANY ($1)")
        .bind(ids)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// How many wait, by consumer.
///
/// # Errors
/// The database failed.
pub async fn waiting(db: &PipelineDb) -> Result<Vec<Waiting>, StoreError> {
    db.run(async |tx| {
        let rows: Vec<(String, i64, Ts)> = sqlx::query_as(
            "SELECT consumer, count(*), min(failed_at) FROM dead_letters WHERE redriven_at IS NULL
             GROUP BY consumer ORDER BY consumer",
        )
        .fetch_all(&mut **tx)
        .await?;
        let count = |count: i64| u64::try_from(count).unwrap_or_default();
        Ok(rows
            .into_iter()
            .map(|(consumer, n, oldest)| Waiting {
                consumer,
                count: count(n),
                oldest: oldest.to_jiff(),
            })
            .collect())
    })
    .await
}

/// Deletes those that were handed back before `before`; returns how many.
pub(crate) async fn delete_redriven_before(db: &PipelineDb, before: Timestamp) -> Result<u64, StoreError> {
    db.run(async |tx| {
        let done = sqlx::query("DELETE FROM dead_letters WHERE redriven_at < $1")
            .bind(before.to_sqlx())
            .execute(&mut **tx)
            .await?;
        Ok(done.rows_affected())
    })
    .await
}

fn read(row: &PgRow) -> Result<DeadLetter, StoreError> {
    let time = |name| Ok::<_, sqlx::Error>(row.try_get::<Option<Ts>, _>(name)?.map(Ts::to_jiff));
    Ok(DeadLetter {
        id: row.try_get("id")?,
        letter: NewDeadLetter {
            message_id: row.try_get("message_id")?,
            org: row.try_get::<Option<Uuid>, _>("org_id")?.map(OrgId),
            consumer: row.try_get("consumer")?,
            subject: row.try_get("subject")?,
            headers: row.try_get("headers")?,
            payload: row.try_get::<Vec<u8>, _>("payload")?.into(),
            reason: row.try_get("reason")?,
            attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX),
        },
        failed_at: row.try_get::<Ts, _>("failed_at")?.to_jiff(),
        redrive_requested_at: time("redrive_requested_at")?,
        redriven_at: time("redriven_at")?,
    })
}

fn storable_text(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// `jsonb` refuses U+0000 in strings and keys.
fn storable(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(storable_text(text)),
        Value::Array(items) => Value::Array(items.iter().map(storable).collect()),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(k, v)| (storable_text(k), storable(v))).collect())
        }
        other => other.clone(),
    }
}

fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("", 3), "");
    }
}
