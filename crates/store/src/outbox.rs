//! Events written with the state that they tell of, until the relay has published them.
//!
//! Owns the tables `outbox` (daily partitions by event id) and `outbox_streams`. Must not: know the broker.

use bytes::Bytes;
use ids::OrgId;
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::partitions::PartitionSpec;
use crate::{PipelineDb, StoreError, ToSqlx as _, Ts, Tx};

/// Rows per statement when published events become unpublished again.
const PIECE: i64 = 2_000;
/// Unpublished events are counted up to this.
const COUNT_CAP: i64 = 10_000;

/// An event as it is stored: the envelope, field by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEvent {
    /// The event's id, a UUIDv7: also the broker's message id.
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
pub async fn enqueue_all(tx: &mut Tx, events: &[OutboxEvent]) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    if let Some(event) = events.iter().find(|event| event.id.get_version_num() != 7) {
        return Err(StoreError::Misuse(format!(
            "event {} has no UUIDv7, which retention needs",
            event.id
        )));
    }
    let column = |get: fn(&OutboxEvent) -> &str| events.iter().map(get).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO outbox (id, org_id, subject, about, source, encoding, traceparent, payload, occurred_at)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                              $8::bytea[], $9::timestamptz[])",
    )
    .bind(events.iter().map(|event| event.id).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.org.uuid()).collect::<Vec<_>>())
    .bind(column(|event| &event.subject))
    .bind(column(|event| &event.about))
    .bind(column(|event| &event.source))
    .bind(column(|event| &event.encoding))
    .bind(events.iter().map(|event| event.traceparent.as_deref()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.payload.as_ref()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.occurred_at.to_sqlx()).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    tx.tell();
    Ok(())
}

/// The oldest unpublished events in the order in which they were written, at most `limit`: of two events of one object
/// the one whose writer locked the object first comes first, whatever the clocks said. Takes no locks: the caller is
/// the leader ([`crate::Stores::lead`]).
///
/// # Errors
/// The database failed.
pub async fn take_unpublished(db: &PipelineDb, limit: u32) -> Result<Vec<OutboxEvent>, StoreError> {
    db.run(async |tx| {
        let rows = sqlx::query(
            "SELECT id, org_id, subject, about, source, encoding, traceparent, payload, occurred_at
             FROM outbox WHERE published_at IS NULL ORDER BY written LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&mut **tx)
        .await?;
        rows.iter().map(read).collect()
    })
    .await
}

/// Notes that the broker has these events in `stream`. Repeating it is harmless.
///
/// # Errors
/// The database failed; the events will be published again, with the same ids.
pub async fn mark_published(db: &PipelineDb, stream: &str, acks: &[Published]) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (acks.iter().map(|a| a.id).min(), acks.iter().map(|a| a.id).max()) else {
        return Ok(());
    };
    let ids: Vec<Uuid> = acks.iter().map(|ack| ack.id).collect();
    let seqs: Vec<i64> = acks.iter().map(|ack| signed(ack.seq)).collect();
    db.run(async |tx| {
        // The range, which the ids imply, leaves out all partitions but theirs.
        sqlx::query(
            "UPDATE outbox SET published_at = clock_timestamp(), stream = $1, stream_seq = acks.seq
             FROM unnest($2::uuid[], $3::bigint[]) AS acks (id, seq)
             WHERE outbox.id = acks.id AND outbox.id BETWEEN $4 AND $5",
        )
        .bind(stream)
        .bind(&ids)
        .bind(&seqs)
        .bind(first)
        .bind(last)
        .execute(&mut **tx)
        .await?;
        Ok(())
    })
    .await
}

/// Makes the events unpublished again that were published to `stream` with a sequence above `seq`: those that the
/// broker forgot when `seq` is the stream's last sequence now, or all that are kept when `seq` is 0 (the stream was
/// created anew). Returns how many; the relay then publishes them in the usual way, with the same ids.
///
/// # Errors
/// The database failed; a part may be done, and doing it again does the rest.
pub async fn republish_after(db: &PipelineDb, stream: &str, seq: u64) -> Result<u64, StoreError> {
    let mut forgotten = 0;
    loop {
        let piece = db
            .run(async |tx| {
                let done = sqlx::query(
                    "UPDATE outbox SET published_at = NULL, stream = NULL, stream_seq = NULL
                     WHERE id = ANY (ARRAY(
                         SELECT id FROM outbox
                         WHERE stream = $1 AND stream_seq > $2
                         ORDER BY stream_seq LIMIT $3))",
                )
                .bind(stream)
                .bind(signed(seq))
                .bind(PIECE)
                .execute(&mut **tx)
                .await?;
                Ok(done.rows_affected())
            })
            .await?;
        if piece == 0 {
            return Ok(forgotten);
        }
        forgotten += piece;
    }
}

/// What was noted of `stream` with [`mark_stream`], and the highest sequence that an event got in it since.
///
/// # Errors
/// The database failed.
pub async fn stream_mark(db: &PipelineDb, stream: &str) -> Result<Option<StreamMark>, StoreError> {
    db.run(async |tx| {
        let row: Option<(Ts, Option<i64>)> = sqlx::query_as(
            "SELECT stream_created, (SELECT stream_seq FROM outbox
                                     WHERE stream = $1 AND stream_seq IS NOT NULL
                                     ORDER BY stream_seq DESC LIMIT 1)
             FROM outbox_streams WHERE stream = $1",
        )
        .bind(stream)
        .fetch_optional(&mut **tx)
        .await?;
        Ok(row.map(|(created, last)| StreamMark {
            created: created.to_jiff(),
            last_seq: u64::try_from(last.unwrap_or(0)).unwrap_or(0),
        }))
    })
    .await
}

/// Notes the identity of `stream`: before anything is published to it, and after [`republish_after`] repaired what
/// was lost with the one before. Microseconds count; compare with a time cut to them.
///
/// # Errors
/// The database failed.
pub async fn mark_stream(db: &PipelineDb, stream: &str, created: Timestamp) -> Result<(), StoreError> {
    db.run(async |tx| {
        sqlx::query(
            "INSERT INTO outbox_streams (stream, stream_created) VALUES ($1, $2)
             ON CONFLICT (stream) DO UPDATE SET stream_created = excluded.stream_created",
        )
        .bind(stream)
        .bind(created.to_sqlx())
        .execute(&mut **tx)
        .await?;
        Ok(())
    })
    .await
}

/// How much waits, and for how long.
///
/// # Errors
/// The database failed.
pub async fn unpublished_stats(db: &PipelineDb) -> Result<Unpublished, StoreError> {
    db.run(async |tx| {
        let (count, oldest): (i64, Option<Ts>) = sqlx::query_as(
            "SELECT count(*), min(created_at)
             FROM (SELECT created_at FROM outbox WHERE published_at IS NULL ORDER BY written LIMIT $1) AS waiting",
        )
        .bind(COUNT_CAP)
        .fetch_one(&mut **tx)
        .await?;
        Ok(Unpublished {
            count: u64::try_from(count).unwrap_or(0),
            oldest: oldest.map(Ts::to_jiff),
        })
    })
    .await
}

/// The outbox's partitions: a day each, a week ahead, dropped when all in them is published and older than retention.
#[must_use]
pub fn partitions(retention_days: u32) -> PartitionSpec {
    PartitionSpec {
        table: "outbox",
        id_column: "id",
        every_days: 1,
        ahead_days: 7,
        retention_days: Some(retention_days),
        keep_while: Some("published_at IS NULL"),
    }
}

fn read(row: &PgRow) -> Result<OutboxEvent, StoreError> {
    Ok(OutboxEvent {
        id: row.try_get("id")?,
        org: OrgId(row.try_get("org_id")?),
        subject: row.try_get("subject")?,
        about: row.try_get("about")?,
        source: row.try_get("source")?,
        encoding: row.try_get("encoding")?,
        traceparent: row.try_get("traceparent")?,
        payload: row.try_get::<Vec<u8>, _>("payload")?.into(),
        occurred_at: row.try_get::<Ts, _>("occurred_at")?.to_jiff(),
    })
}

/// Sequences of a stream fit: at a million per second, 63 bits last for 290,000 years.
fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
