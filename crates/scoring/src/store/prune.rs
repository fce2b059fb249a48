//! Deletes old history.

use ::store::{PipelineDb, ToSqlx as _};
use jiff::Timestamp;

use crate::error::ScoringError;

/// Rows per transaction: short enough to hold nobody up.
const PIECE: i64 = 5_000;

/// Deletes history from before `before`, in pieces; returns how many rows.
///
/// # Errors
/// [`ScoringError::Store`]; earlier pieces stay deleted.
pub async fn history(pipeline: &PipelineDb, before: Timestamp) -> Result<u64, ScoringError> {
    let mut deleted = 0;
    loop {
        let mut tx = pipeline.begin().await?;
        let piece = sqlx::query(
            "DELETE FROM score_history WHERE ctid = ANY(ARRAY(
                 SELECT ctid FROM score_history WHERE computed_at < $1 LIMIT $2))",
        )
        .bind(before.to_sqlx())
        .bind(PIECE)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        tx.commit().await?;
        deleted += piece;
        if piece < u64::try_from(PIECE).unwrap_or(u64::MAX) {
            return Ok(deleted);
        }
    }
}
