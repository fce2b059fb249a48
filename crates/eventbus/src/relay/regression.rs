//! Noticing that the broker has lost what it had acknowledged, and making the outbox publish it again.
//!
//! A power cut takes the end of a stream, or the whole stream; a broker with an empty disk has none. Sequences alone do
//! not show it: other services may have filled them up again before we look. So the newest of our own messages is
//! looked up by its sequence and compared by its id, and if it is not there, the last one that is gets searched for.

use contracts::StreamKind;
use jiff::Timestamp;
use store::{StoreError, outbox};
use uuid::Uuid;

use async_nats::jetstream::stream::RawMessageErrorKind;

use super::Desk;
use crate::{BusError, StreamEdges, message};

/// The newest acknowledged row at or below a sequence, above another. Served by the index `outbox_published`.
const NEWEST_BETWEEN: &str = "SELECT id, stream_seq FROM outbox \
     WHERE published_at IS NOT NULL AND stream = $1 AND stream_seq > $2 AND stream_seq <= $3 ORDER BY stream_seq DESC LIMIT 1";

/// An acknowledged row.
#[derive(Debug, Clone, Copy)]
struct Acked {
    id: Uuid,
    seq: u64,
}

impl Desk {
    /// Compares both streams with what was acknowledged; rows that the broker lost become unpublished again.
    pub(super) async fn check_for_regression(&self) -> Result<(), BusError> {
        for kind in [StreamKind::Pipeline, StreamKind::Events] {
            let edges = self.bus.first_and_last(kind).await?;
            let stream = self.bus.names().stream(kind);
            let lost = self.repair(&stream, &edges).await?;
            if lost > 0 {
                self.metrics.republished.inc_by(lost);
                tracing::error!(
                    service = self.service,
                    stream,
                    rows = lost,
                    "the broker lost acknowledged events; publishing them again"
                );
            }
        }
        Ok(())
    }

    async fn repair(&self, stream: &str, edges: &StreamEdges) -> Result<u64, BusError> {
        let db = &self.stores.pipeline;
        let created = micros(edges.created);
        let lost = match outbox::stream_mark(db, stream).await? {
            Some(mark) if micros(mark.created) == created => match self.last_intact(stream, edges).await? {
                Some(intact) => return Ok(outbox::republish_after(db, stream, intact).await?),
                None => return Ok(0),
            },
            Some(_) => outbox::republish_after(db, stream, 0).await?,
            None => 0,
        };
        // After the repair: a crash in between repairs again.
        outbox::mark_stream(db, stream, created).await?;
        Ok(lost)
    }

    /// The highest sequence up to which all is well, or `None` if all is well to the end.
    async fn last_intact(&self, stream: &str, edges: &StreamEdges) -> Result<Option<u64>, BusError> {
        // What left the stream by age is not lost.
        let mut intact = edges.first_seq.saturating_sub(1);
        let Some(newest) = self.newest_between(stream, intact, u64::MAX).await? else {
            return Ok(None);
        };
        if self.is_there(stream, newest, edges).await? {
            return Ok(None);
        }
        // What is lost is an end of the stream, so "is there" holds up to some row and for none behind it.
        let mut lost = newest.seq;
        while lost - intact > 1 {
            let middle = intact + (lost - intact) / 2;
            match self.newest_between(stream, intact, middle).await? {
                None => intact = middle,
                Some(row) if self.is_there(stream, row, edges).await? => intact = middle.max(row.seq),
                Some(row) => lost = row.seq,
            }
        }
        Ok(Some(intact))
    }

    /// Whether the broker still has this very message at its sequence.
    async fn is_there(&self, stream: &str, row: Acked, edges: &StreamEdges) -> Result<bool, BusError> {
        if row.seq > edges.last_seq {
            return Ok(false);
        }
        let handle = self.bus.js().get_stream_no_info(stream).await;
        let handle = handle.map_err(|error| BusError::broker("get stream", error))?;
        match handle.get_raw_message(row.seq).await {
            Ok(found) => {
                let id = message::header(&found.headers, async_nats::header::NATS_MESSAGE_ID.as_ref());
                Ok(id.and_then(|id| id.parse().ok()) == Some(row.id))
            }
            Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => {
                // It may have aged out since we looked at the edges.
                Ok(row.seq < self.bus.first_and_last(kind_of(stream)).await?.first_seq)
            }
            Err(error) => Err(BusError::broker("get message", error)),
        }
    }

    async fn newest_between(&self, stream: &str, above: u64, up_to: u64) -> Result<Option<Acked>, BusError> {
        let mut tx = self.stores.pipeline.begin().await?;
        let row: Option<(Uuid, i64)> = sqlx::query_as(NEWEST_BETWEEN)
            .bind(stream)
            .bind(i64::try_from(above).unwrap_or(i64::MAX))
            .bind(i64::try_from(up_to).unwrap_or(i64::MAX))
            .fetch_optional(&mut *tx)
            .await
            .map_err(StoreError::from)?;
        tx.rollback().await;
        Ok(row.map(|(id, seq)| Acked {
            id,
            seq: u64::try_from(seq).unwrap_or(0),
        }))
    }
}

/// Our streams, by the end of their name.
fn kind_of(stream: &str) -> StreamKind {
    if stream.ends_with(StreamKind::Pipeline.name()) {
        StreamKind::Pipeline
    } else {
        StreamKind::Events
    }
}

/// Postgres keeps microseconds; the broker says nanoseconds.
fn micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}
