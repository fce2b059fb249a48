//! The tables of this service: one file per operation.
//!
//! Must not decide anything: what is new, what is corrected and what a row means is `domain`'s.

pub mod accept;
pub mod batch;
pub mod expire;
pub mod github;
pub mod query;
pub mod record;
pub mod rewrite;
mod row;
pub mod sources;

use store::partitions::PartitionSpec;

/// Days per partition of signals and batches.
const WEEK: u32 = 7;
/// Two weeks ahead: a maintenance that fails for days is noticed before rows land in the default partition.
const AHEAD_DAYS: u32 = 14;

/// How `signals` is partitioned.
#[must_use]
pub fn signal_partitions(retention_days: u32) -> PartitionSpec {
    partitions("signals", retention_days)
}

/// How `batches` is partitioned.
#[must_use]
pub fn batch_partitions(retention_days: u32) -> PartitionSpec {
    partitions("batches", retention_days)
}

fn partitions(table: &'static str, retention_days: u32) -> PartitionSpec {
    PartitionSpec {
        table,
        id_column: "id",
        every_days: WEEK,
        ahead_days: AHEAD_DAYS,
        retention_days: Some(retention_days),
        keep_while: None,
    }
}
