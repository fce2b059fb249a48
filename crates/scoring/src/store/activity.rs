//! Adding to the rows of `activity` and `usage_readings`: one statement each, however many signals.

use ::store::{ToSqlx as _, Ts, Tx};
use jiff::civil::{Date, date};
use uuid::Uuid;

use crate::domain::rollup::{Activity, ActivityKey, Usage, UsageKey};
use crate::error::ScoringError;

/// Days since 1970-01-01, as the statements take them.
pub(super) fn epoch_day(day: Date) -> i32 {
    day.since(date(1970, 1, 1)).map_or(0, |span| span.get_days())
}

/// Adds the rows, which come in locking order.
pub(super) async fn add(tx: &mut Tx, rows: &[(ActivityKey, Activity)]) -> Result<(), ScoringError> {
    let column =
        |of: fn(&ActivityKey) -> Uuid| -> Vec<Uuid> { rows.iter().map(|(key, _)| of(key)).collect() };
    let texts = |of: fn(&ActivityKey) -> &str| -> Vec<&str> { rows.iter().map(|(key, _)| of(key)).collect() };
    let times = |of: fn(&Activity) -> jiff::Timestamp| -> Vec<Ts> {
        rows.iter().map(|(_, row)| of(row).to_sqlx()).collect()
    };
    sqlx::query(
        "INSERT INTO activity AS a (org_id, account_id, day, actor_id, type, feature, competitor,
                                    signals, first_at, last_at, last_signal_id)
         SELECT n.org_id, n.account_id, DATE '1970-01-01' + n.day, n.actor_id, n.type, n.feature, n.competitor,
                n.signals, n.first_at, n.last_at, n.last_signal_id
         FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::uuid[], $5::text[], $6::text[], $7::text[],
                     $8::bigint[], $9::timestamptz[], $10::timestamptz[], $11::uuid[])
              AS n(org_id, account_id, day, actor_id, type, feature, competitor,
                   signals, first_at, last_at, last_signal_id)
         ON CONFLICT (org_id, account_id, day, actor_id, type, feature, competitor) DO UPDATE SET
             signals = a.signals + excluded.signals,
             first_at = LEAST(a.first_at, excluded.first_at),
             last_at = GREATEST(a.last_at, excluded.last_at),
             last_signal_id = CASE WHEN (excluded.last_at, excluded.last_signal_id) > (a.last_at, a.last_signal_id)
                                   THEN excluded.last_signal_id ELSE a.last_signal_id END",
    )
    .bind(column(|key| key.org))
    .bind(column(|key| key.account))
    .bind(rows.iter().map(|(key, _)| epoch_day(key.day)).collect::<Vec<_>>())
    .bind(column(|key| key.actor))
    .bind(texts(|key| &key.kind))
    .bind(texts(|key| &key.feature))
    .bind(texts(|key| &key.competitor))
    .bind(rows.iter().map(|(_, row)| row.signals).collect::<Vec<_>>())
    .bind(times(|row| row.first_at))
    .bind(times(|row| row.last_at))
    .bind(rows.iter().map(|(_, row)| row.last_signal).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Keeps the highest reading of each row; the rows come in locking order.
pub(super) async fn add_usage(tx: &mut Tx, rows: &[(UsageKey, Usage)]) -> Result<(), ScoringError> {
    if rows.is_empty() {
        return Ok(());
    }
    let column = |of: fn(&UsageKey) -> Uuid| -> Vec<Uuid> { rows.iter().map(|(key, _)| of(key)).collect() };
    sqlx::query(
        "INSERT INTO usage_readings AS u (org_id, account_id, day, actor_id, metric, used, limit_value, read_at, signal_id)
         SELECT n.org_id, n.account_id, DATE '1970-01-01' + n.day, n.actor_id, n.metric,
                n.used, n.limit_value, n.read_at, n.signal_id
         FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::uuid[], $5::text[],
                     $6::float8[], $7::float8[], $8::timestamptz[], $9::uuid[])
              AS n(org_id, account_id, day, actor_id, metric, used, limit_value, read_at, signal_id)
         ON CONFLICT (org_id, account_id, day, actor_id, metric) DO UPDATE SET
             used = excluded.used, limit_value = excluded.limit_value,
             read_at = excluded.read_at, signal_id = excluded.signal_id
         WHERE (excluded.used / excluded.limit_value, excluded.read_at, excluded.signal_id)
             > (u.used / u.limit_value, u.read_at, u.signal_id)",
    )
    .bind(column(|key| key.org))
    .bind(column(|key| key.account))
    .bind(rows.iter().map(|(key, _)| epoch_day(key.day)).collect::<Vec<_>>())
    .bind(column(|key| key.actor))
    .bind(rows.iter().map(|(key, _)| key.metric.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.reading.used).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.reading.limit).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.at.to_sqlx()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.signal).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_from_1970() {
        assert_eq!(epoch_day(date(1970, 1, 1)), 0);
        assert_eq!(epoch_day(date(1969, 12, 31)), -1);
        assert_eq!(epoch_day(date(2026, 3, 10)), 20_522);
    }
}
