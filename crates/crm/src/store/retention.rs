//! What is kept for a bounded time only: moves of scores.

use ::store::{StoreError, ToSqlx as _};
use jiff::Timestamp;

use super::Records;
use crate::error::CrmError;

/// Rows deleted by one statement.
const PIECE: i64 = 5_000;

impl Records {
    /// Deletes moves of scores before `before`, in pieces; returns how many. The newest move of each account stays,
    /// because it says since when the score is what it is.
    ///
    /// # Errors
    /// Of the database; what was deleted so far stays deleted.
    pub async fn forget_score_changes(&self, before: Timestamp) -> Result<u64, CrmError> {
        let mut deleted = 0;
        loop {
            let mut tx = self.pipeline.begin().await?;
            let done = sqlx::query(
                "DELETE FROM score_changes WHERE ctid = ANY (ARRAY( \
                 SELECT s.ctid FROM score_changes s WHERE s.at < $1 AND EXISTS (SELECT FROM score_changes n \
                 WHERE n.org_id = s.org_id AND n.account_id = s.account_id AND (n.at, n.id) > (s.at, s.id)) LIMIT $2))",
            )
            .bind(before.to_sqlx())
            .bind(PIECE)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::from)?;
            tx.commit().await?;
            if done.rows_affected() == 0 {
                return Ok(deleted);
            }
            deleted += done.rows_affected();
        }
    }
}
