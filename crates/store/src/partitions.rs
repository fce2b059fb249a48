//! Time partitions by UUIDv7: made ahead, dropped by retention.
//!
//! For any table `PARTITION BY RANGE (<uuidv7 column>)` without generated columns, declared with
//! `CALL partitioned_table('…')`, which gives it the default partition `<table>_default`. A partition `<table>_p20260131` holds the ids made from the start of that day
//! (UTC) on. Applications reach partitions through their parent only.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sqlx::AssertSqlSafe;
use sqlx::Executor as _;
use uuid::Uuid;

use crate::settings::is_plain_name;
use crate::{OwnerDb, StoreError, Tx};

/// How a table is partitioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionSpec {
    /// The table, in the service's schema.
    pub table: &'static str,
    /// The column by whose range it is partitioned.
    pub id_column: &'static str,
    /// Days per partition; partitions begin at multiples of it since 1970-01-01. Never to be changed for a table that
    /// exists: the new ranges would overlap the old ones.
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

/// One range: `[starts, ends)` in days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    starts: i64,
    ends: i64,
}

const DAY_SECS: i64 = 86_400;

impl PartitionSpec {
    fn every(&self) -> i64 {
        i64::from(self.every_days.max(1))
    }

    fn range_at(&self, day: i64) -> Range {
        let starts = day.div_euclid(self.every()) * self.every();
        Range {
            starts,
            ends: starts + self.every(),
        }
    }

    /// From yesterday (an id may be made before midnight and stored after) to far enough ahead.
    fn wanted(&self, today: i64) -> Vec<Range> {
        let mut range = self.range_at(today - 1);
        let mut wanted = vec![range];
        while range.ends <= today + i64::from(self.ahead_days) {
            range = self.range_at(range.ends);
            wanted.push(range);
        }
        wanted
    }

    fn name(&self, range: Range) -> String {
        let date = Timestamp::from_second(range.starts * DAY_SECS).unwrap_or(Timestamp::MAX);
        format!(
            "{}_p{}",
            self.table,
            date.to_zoned(TimeZone::UTC).strftime("%Y%m%d")
        )
    }

    /// The range of a partition of this name.
    fn parse(&self, name: &str) -> Option<Range> {
        let date = name.strip_prefix(self.table)?.strip_prefix("_p")?;
        let date = jiff::civil::Date::strptime("%Y%m%d", date).ok()?;
        let start = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
        Some(self.range_at(start.as_second().div_euclid(DAY_SECS)))
    }

    fn is_expired(&self, range: Range, today: i64) -> bool {
        self.retention_days
            .is_some_and(|days| range.ends + i64::from(days) <= today)
    }
}

/// Makes the partitions from yesterday to `ahead_days` after `now`, and drops those beyond retention. Idempotent, and
/// safe when run by several processes at once. Rows that had gone to the default partition move to theirs.
///
/// # Errors
/// The table does not exist or is not partitioned so; a lock could not be had (each partition is made or dropped
/// whole; run it again).
pub async fn ensure(owner: &OwnerDb, spec: &PartitionSpec, now: Timestamp) -> Result<Changes, StoreError> {
    if !is_plain_name(spec.table) || !is_plain_name(spec.id_column) {
        return Err(StoreError::Misuse(format!(
            "{:?} cannot be partitioned by {:?}",
            spec.table, spec.id_column
        )));
    }
    let today = now.as_second().div_euclid(DAY_SECS);
    let mut changes = Changes::default();
    let wanted = spec.wanted(today);
    let missing = |existing: &[String]| {
        wanted
            .iter()
            .copied()
            .filter(|r| !existing.contains(&spec.name(*r)))
            .collect()
    };
    let mut looking = owner.begin().await?;
    let mut existing = partition_names(&mut looking, spec).await?;
    looking.rollback().await;
    let to_create: Vec<Range> = missing(&existing);
    if !to_create.is_empty() {
        let mut tx = locked(owner, spec).await?;
        existing = partition_names(&mut tx, spec).await?;
        let to_create: Vec<Range> = missing(&existing);
        for range in to_create {
            create(&mut tx, owner.schema(), spec, range).await?;
            changes.created.push(spec.name(range));
        }
        tx.commit().await?;
    }
    for name in existing {
        let expired = spec
            .parse(&name)
            .is_some_and(|range| spec.is_expired(range, today));
        if expired {
            let dropped = drop_unless_kept(owner, spec, &name).await?;
            if dropped {
                changes.dropped.push(name)
            } else {
                changes.kept.push(name)
            }
        }
    }
    prune_default(owner, spec, now).await?;
    Ok(changes)
}

/// The names of the table's partitions in order; an error when it is not partitioned.
async fn partition_names(tx: &mut Tx, spec: &PartitionSpec) -> Result<Vec<String>, StoreError> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = $1::text::regclass ORDER BY 1",
    )
    .bind(spec.table)
    .fetch_all(&mut **tx)
    .await?;
    if names.contains(&format!("{}_default", spec.table)) {
        return Ok(names);
    }
    Err(StoreError::Misuse(format!(
        "table {} was not declared with CALL partitioned_table('…')",
        spec.table
    )))
}

/// A transaction that no other process's [`ensure`] of the table overlaps.
async fn locked(owner: &OwnerDb, spec: &PartitionSpec) -> Result<Tx, StoreError> {
    let mut tx = owner.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("{}/partitions/{}", owner.schema(), spec.table))
        .execute(&mut *tx)
        .await?;
    Ok(tx)
}

/// Attaching a table made apart locks the parent much less than `CREATE TABLE … PARTITION OF` would: reads and writes
/// go on. The default partition is locked for the moment, because rows of the new range leave it.
async fn create(tx: &mut Tx, schema: &str, spec: &PartitionSpec, range: Range) -> Result<(), StoreError> {
    let (table, column, name) = (spec.table, spec.id_column, spec.name(range));
    let bound = |day: i64| uuid_floor(Timestamp::from_second(day * DAY_SECS).unwrap_or(Timestamp::MAX));
    let (from, to) = (bound(range.starts), bound(range.ends));
    tx.execute(AssertSqlSafe(format!(
        "CREATE TABLE {schema}.{name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE
             INCLUDING COMPRESSION INCLUDING GENERATED);
         CALL partition_table('{schema}.{name}');
         LOCK TABLE {table}_default IN ACCESS EXCLUSIVE MODE;
         WITH moved AS (DELETE FROM {table}_default WHERE {column} >= '{from}' AND {column} < '{to}' RETURNING *)
             INSERT INTO {name} SELECT * FROM moved;
         ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}')"
    )))
    .await?;
    Ok(())
}

/// Looks first without a lock, then once more with it: between the two a row may have come.
async fn drop_unless_kept(owner: &OwnerDb, spec: &PartitionSpec, name: &str) -> Result<bool, StoreError> {
    let mut tx = owner.begin().await?;
    if has_kept_rows(&mut tx, spec, name).await? {
        tx.rollback().await;
        return Ok(false);
    }
    tx.rollback().await;
    let mut tx = locked(owner, spec).await?;
    // What DROP locks anyway, in the order in which everybody else does. Another process may have dropped it.
    let table = spec.table;
    tx.execute(AssertSqlSafe(format!(
        "LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE"
    )))
    .await?;
    if !partition_names(&mut tx, spec)
        .await?
        .iter()
        .any(|known| known == name)
    {
        tx.rollback().await;
        return Ok(true);
    }
    if has_kept_rows(&mut tx, spec, name).await? {
        tx.rollback().await;
        return Ok(false);
    }
    tx.execute(AssertSqlSafe(format!("DROP TABLE {name}"))).await?;
    tx.commit().await?;
    Ok(true)
}

async fn has_kept_rows(tx: &mut Tx, spec: &PartitionSpec, name: &str) -> Result<bool, StoreError> {
    let Some(condition) = spec.keep_while else {
        return Ok(false);
    };
    let sql = format!("SELECT EXISTS (SELECT FROM {name} WHERE {condition})");
    match sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut **tx).await {
        Ok(found) => Ok(found),
        // undefined_table: another process dropped it since the list was read.
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Deletes from the default partition what a partition of its range would have been dropped with.
async fn prune_default(owner: &OwnerDb, spec: &PartitionSpec, now: Timestamp) -> Result<(), StoreError> {
    let Some(days) = spec.retention_days else {
        return Ok(());
    };
    let age = SignedDuration::from_hours(24 * (i64::from(days) + spec.every()));
    let oldest = uuid_floor(now.saturating_sub(age).unwrap_or(Timestamp::UNIX_EPOCH));
    let kept = spec.keep_while.unwrap_or("false");
    let mut tx = owner.begin().await?;
    let sql = format!(
        "DELETE FROM {}_default WHERE {} < $1 AND NOT ({kept})",
        spec.table, spec.id_column
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(oldest)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// The smallest UUIDv7 of this millisecond: rows with ids at or above it are not older. Times before 1970 are 1970.
#[must_use]
pub fn uuid_floor(time: Timestamp) -> Uuid {
    let millis = u128::try_from(time.as_millisecond()).unwrap_or(0) & 0xFFFF_FFFF_FFFF;
    Uuid::from_u128((millis << 80) | (0x7 << 76) | (0b10 << 62))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spec(every_days: u32) -> PartitionSpec {
        PartitionSpec {
            table: "signals",
            id_column: "id",
            every_days,
            ahead_days: 7,
            retention_days: Some(2),
            keep_while: None,
        }
    }

    #[test]
    fn the_floor_is_a_uuidv7_at_or_below_all_of_its_millisecond() {
        let time = Timestamp::from_millisecond(1_700_000_000_123).unwrap();
        let floor = uuid_floor(time);
        assert_eq!(floor.get_version_num(), 7);
        assert_eq!(floor.to_string(), "018bcfe5-687b-7000-8000-000000000000");
        let lowest = uuid::Builder::from_unix_timestamp_millis(1_700_000_000_123, &[0; 10]).into_uuid();
        assert!(floor <= lowest);
        assert!(
            floor > uuid::Builder::from_unix_timestamp_millis(1_700_000_000_122, &[0xFF; 10]).into_uuid()
        );
    }

    proptest! {
        #[test]
        fn ranges_follow_each_other_and_cover_yesterday_to_the_horizon(today in 0_i64..40_000, every in 1_u32..40) {
            let spec = spec(every);
            let wanted = spec.wanted(today);
            prop_assert!(wanted[0].starts < today && today - 1 < wanted[0].ends);
            prop_assert!(wanted.last().unwrap().ends > today + 7);
            for pair in wanted.windows(2) {
                prop_assert_eq!(pair[0].ends, pair[1].starts);
            }
            for range in wanted {
                prop_assert_eq!(spec.parse(&spec.name(range)), Some(range));
                prop_assert!(!spec.is_expired(range, today));
            }
        }
    }

    #[test]
    fn a_partition_expires_when_its_last_row_is_older_than_retention() {
        let range = Range { starts: 70, ends: 77 };
        assert!(!spec(7).is_expired(range, 78));
        assert!(spec(7).is_expired(range, 79));
    }
}
