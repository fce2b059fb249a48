//! Deliveries of events that are not mapped, kept as they came.

use ids::{OrgId, SourceId};
use jiff::Timestamp;
use store::{PipelineDb, ToSqlx as _};

use crate::error::IngestError;

/// A delivery to keep.
#[derive(Debug)]
pub struct RawDelivery<'a> {
    /// Whose it is.
    pub org: OrgId,
    /// The source it came to.
    pub source: SourceId,
    /// GitHub's id of the event, the same for every hook and every repeat.
    pub delivery: &'a str,
    /// GitHub's name of the event.
    pub event: &'a str,
    /// When it came.
    pub received_at: Timestamp,
    /// The body as received.
    pub body: &'a [u8],
}

/// Keeps a delivery; `false` when it was kept before.
///
/// # Errors
/// Nothing was stored.
pub async fn keep_raw(db: &PipelineDb, delivery: &RawDelivery<'_>) -> Result<bool, IngestError> {
    let packed = contracts::codec::compress(delivery.body).map_err(IngestError::Pack)?;
    let mut tx = db.begin().await?;
    let done = sqlx::query(
        "INSERT INTO github_deliveries_raw (org_id, delivery, source_id, event, received_at, body)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org_id, delivery) DO NOTHING",
    )
    .bind(delivery.org.uuid())
    .bind(delivery.delivery)
    .bind(delivery.source.uuid())
    .bind(delivery.event)
    .bind(delivery.received_at.to_sqlx())
    .bind(packed)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}
