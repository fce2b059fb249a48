//! Which messages a consumer has already taken into effect.
//!
//! Owns the table `inbox`. A claim commits with the effect, so that a redelivered message has none.

use jiff::Timestamp;
use uuid::Uuid;

use crate::{PipelineDb, StoreError, Tx};

/// Claims message `id` for `consumer` in the caller's transaction: `true` the first time, `false` when its effect is
/// stored already. While another transaction holds the same claim uncommitted, this waits for its end.
pub async fn claim(_tx: &mut Tx, _consumer: &str, _id: Uuid) -> Result<bool, StoreError> {
    todo!()
}

/// Claims many messages with one statement; returns those that are new, in the order given.
pub async fn claim_all(_tx: &mut Tx, _consumer: &str, _ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    todo!()
}

/// Deletes claims older than `before`, in pieces; returns how many.
pub async fn delete_before(_db: &PipelineDb, _before: Timestamp) -> Result<u64, StoreError> {
    todo!()
}
