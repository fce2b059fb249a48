//! Time partitions by UUIDv7: made ahead, dropped by retention.
//!
//! For any table `PARTITION BY RANGE (<uuidv7 column>)` with a default partition `<table>_default`. A partition
//! `<table>_p20260131` holds the ids made from the start of that day (UTC) on.

use jiff::Timestamp;
use uuid::Uuid;

use crate::{OwnerDb, StoreError};

/// How a table is partitioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionSpec {
    /// The table, in the service's schema.
    pub table: &'static str,
    /// Days per partition; partitions begin at multiples of it since 1970-01-01.
    pub every_days: u32,
    /// Partitions exist at least this far ahead.
    pub ahead_days: u32,
    /// Partitions that ended longer ago are dropped.
    pub retention_days: Option<u32>,
    /// A condition over the table's columns; a partition with any such row is not dropped.
    pub keep_while: Option<&'static str>,
}

/// What [`ensure`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Names of new partitions.
    pub created: Vec<String>,
    /// Names of dropped partitions.
    pub dropped: Vec<String>,
    /// Names of partitions beyond retention that `keep_while` holds.
    pub kept: Vec<String>,
}

/// Makes the partitions from yesterday to `ahead_days` after `now`, and drops those beyond retention. Idempotent, and
/// safe when run by several processes at once.
///
/// # Errors
/// The table does not exist or is not partitioned so; a lock could not be had (nothing is half done; run it again).
pub async fn ensure(_owner: &OwnerDb, _spec: &PartitionSpec, _now: Timestamp) -> Result<Changes, StoreError> {
    todo!()
}

/// The smallest UUIDv7 of this millisecond: rows with ids at or above it are not older.
#[must_use]
pub fn uuid_floor(_time: Timestamp) -> Uuid {
    todo!()
}
