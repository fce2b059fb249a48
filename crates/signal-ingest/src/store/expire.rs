//! Deletes what belongs to signals that retention has dropped, and raw deliveries past their time.
//!
//! In short transactions of a few thousand rows; killed anywhere, the next run goes on.

use jiff::{SignedDuration, Timestamp};
use store::partitions::{PartitionSpec, uuid_floor};
use store::{PipelineDb, ToSqlx as _};
use uuid::Uuid;

use crate::error::IngestError;

/// Rows per transaction.
const PIECE: i64 = 5_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// The start of the oldest partition that retention keeps at `now`: ids below it are gone.
#[must_use]
pub fn floor(spec: &PartitionSpec, now: Timestamp) -> Option<Uuid> {
    let kept_from = now
        .checked_sub(SignedDuration::from_hours(i64::from(spec.retention_days?) * 24))
        .ok()?;
    let width = i64::from(spec.every_days) * SECONDS_PER_DAY;
    let start = kept_from.as_second().div_euclid(width) * width;
    Timestamp::from_second(start).ok().map(uuid_floor)
}

/// Deletes the ledger's keys of signals below `floor`. Returns how many.
///
/// # Errors
/// The database failed; what is deleted stays deleted.
pub async fn ledger(db: &PipelineDb, floor: Uuid) -> Result<u64, IngestError> {
    in_pieces(db, |piece| {
        sqlx::query(
            "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM idempotency_keys WHERE signal_id < $1 LIMIT $2))",
        )
        .bind(floor)
        .bind(piece)
    })
    .await
}

/// Deletes raw deliveries received before `before`. Returns how many.
///
/// # Errors
/// As [`ledger`].
pub async fn raw_deliveries(db: &PipelineDb, before: Timestamp) -> Result<u64, IngestError> {
    in_pieces(db, |piece| {
        sqlx::query(
            "DELETE FROM github_deliveries_raw WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM github_deliveries_raw WHERE received_at < $1 LIMIT $2))",
        )
        .bind(before.to_sqlx())
        .bind(piece)
    })
    .await
}

type Query = sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>;

async fn in_pieces(db: &PipelineDb, delete: impl Fn(i64) -> Query) -> Result<u64, IngestError> {
    let mut deleted = 0;
    loop {
        let mut tx = db.begin().await?;
        let done = delete(PIECE).execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        if done == 0 {
            return Ok(deleted);
        }
        deleted += done;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_live_as_long_as_the_partition_of_their_signal() {
        let spec = crate::store::signal_partitions(400);
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let kept: Timestamp = "2025-10-17T12:00:00Z".parse().unwrap();
        let floor = floor(&spec, now).unwrap();
        assert!(floor <= uuid_floor(kept));
        assert!(floor > uuid_floor(kept - SignedDuration::from_hours(7 * 24)));
    }
}
