//! Loads what scores are computed from: aggregated in Postgres, one row per account.

use ::store::{ToSqlx as _, Ts, Tx};
use jiff::{SignedDuration, Timestamp};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::activity::epoch_day;
use crate::domain::facts::{AccountFacts, Counted, Firmographics, LimitReading, TitledActors};
use crate::domain::model::Model;
use crate::domain::rollup::day_of;
use crate::error::ScoringError;

/// One row per asked account, in the order asked.
///
/// `r` is the account's activity of the scanned days, read once along the primary key. `actors` and `features` hold the
/// newest row of each. The velocity's windows end with the day of the last activity. Titles beyond the 200 most recently
/// active ones are left out.
const LOAD: &str = "
SELECT f.*
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS k(org_id, account_id, n)
CROSS JOIN LATERAL (
    WITH r AS MATERIALIZED (
        SELECT x.day, x.actor_id, COALESCE(NULLIF(x.feature, ''), x.type) AS feature, x.competitor,
               x.signals, x.first_at, x.last_at, x.last_signal_id
        FROM activity x
        WHERE x.org_id = k.org_id AND x.account_id = k.account_id AND x.day >= DATE '1970-01-01' + $3
    ), total AS (
        SELECT count(*) AS rows, min(r.first_at) AS first_at, max(r.last_at) AS last_at, max(r.day) AS last_day FROM r
    ), older AS (
        SELECT x.last_at FROM activity x
        WHERE x.org_id = k.org_id AND x.account_id = k.account_id AND x.day < DATE '1970-01-01' + $3
        ORDER BY x.day DESC LIMIT 1
    ), newest AS (
        SELECT r.last_signal_id, r.last_at FROM r ORDER BY r.last_at DESC, r.last_signal_id DESC LIMIT 10
    ), actors AS MATERIALIZED (
        SELECT DISTINCT ON (r.actor_id) r.actor_id, r.last_at, r.last_signal_id
        FROM r WHERE r.actor_id <> $11 AND r.last_at >= LEAST($4, $6)
        ORDER BY r.actor_id, r.last_at DESC, r.last_signal_id DESC
    ), users AS MATERIALIZED (
        SELECT a.last_at, a.last_signal_id FROM actors a WHERE a.last_at >= $4
    ), features AS MATERIALIZED (
        SELECT DISTINCT ON (r.feature) r.last_at, r.last_signal_id
        FROM r WHERE r.competitor = '' AND r.last_at >= $5
        ORDER BY r.feature, r.last_at DESC, r.last_signal_id DESC
    ), rivals AS MATERIALIZED (
        SELECT r.competitor, r.signals, r.last_at, r.last_signal_id FROM r
        WHERE r.competitor <> '' AND r.last_at >= $7
    ), titled AS MATERIALIZED (
        SELECT COALESCE(t.told_title, t.stated_title) AS title, count(*) AS actors, max(a.last_at) AS last_at,
               (array_agg(a.last_signal_id ORDER BY a.last_at DESC, a.last_signal_id DESC))[1] AS last_signal_id
        FROM actors a JOIN titles t ON t.org_id = k.org_id AND t.actor_id = a.actor_id
        WHERE a.last_at >= $6 AND COALESCE(t.told_title, t.stated_title) IS NOT NULL
        GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT 200
    ), readings AS MATERIALIZED (
        SELECT u.metric, u.used, u.limit_value, u.read_at, u.signal_id FROM usage_readings u
        WHERE u.org_id = k.org_id AND u.account_id = k.account_id
          AND u.day >= ($8::timestamptz AT TIME ZONE 'UTC')::date AND u.read_at >= $8
        ORDER BY u.used / u.limit_value DESC, u.read_at DESC, u.signal_id DESC LIMIT 10
    )
    SELECT total.rows, total.first_at, COALESCE(total.last_at, (SELECT last_at FROM older)) AS last_at,
           EXISTS (SELECT FROM older) AS has_older,
           ARRAY(SELECT last_signal_id FROM newest ORDER BY last_at DESC, last_signal_id DESC) AS newest,
           (SELECT count(*) FROM users) AS users,
           ARRAY(SELECT last_signal_id FROM users ORDER BY last_at DESC, last_signal_id DESC LIMIT 10) AS user_signals,
           (SELECT COALESCE(sum(r.signals), 0)::bigint FROM r WHERE r.day > total.last_day - $9) AS recent,
           (SELECT COALESCE(sum(r.signals), 0)::bigint FROM r
            WHERE r.day <= total.last_day - $9 AND r.day > total.last_day - $9 - $10) AS baseline,
           (SELECT count(*) FROM features) AS features,
           ARRAY(SELECT last_signal_id FROM features ORDER BY last_at DESC, last_signal_id DESC LIMIT 10)
               AS feature_signals,
           (SELECT COALESCE(sum(signals), 0)::bigint FROM rivals) AS rival_signals,
           ARRAY(SELECT last_signal_id FROM rivals ORDER BY last_at DESC, last_signal_id DESC LIMIT 10)
               AS rival_newest,
           ARRAY(SELECT DISTINCT competitor FROM rivals ORDER BY competitor LIMIT 5) AS competitors,
           ARRAY(SELECT title FROM titled ORDER BY last_at DESC, title) AS titles,
           ARRAY(SELECT actors FROM titled ORDER BY last_at DESC, title) AS title_actors,
           ARRAY(SELECT last_at FROM titled ORDER BY last_at DESC, title) AS title_last_at,
           ARRAY(SELECT last_signal_id FROM titled ORDER BY last_at DESC, title) AS title_signals,
           ARRAY(SELECT metric FROM readings ORDER BY signal_id, metric) AS metrics,
           ARRAY(SELECT used FROM readings ORDER BY signal_id, metric) AS used,
           ARRAY(SELECT limit_value FROM readings ORDER BY signal_id, metric) AS limits,
           ARRAY(SELECT read_at FROM readings ORDER BY signal_id, metric) AS read_at,
           ARRAY(SELECT signal_id FROM readings ORDER BY signal_id, metric) AS reading_signals
    FROM total
) f
ORDER BY k.n";

/// Loads the facts of accounts that are scored by one model, firmographics aside, in the order asked.
///
/// # Errors
/// [`ScoringError::Store`].
pub async fn load(
    tx: &mut Tx,
    model: &Model,
    accounts: &[(Uuid, Uuid)],
    now: Timestamp,
) -> Result<Vec<AccountFacts>, ScoringError> {
    let before = |days: u32| {
        now.checked_sub(SignedDuration::from_hours(i64::from(days) * 24))
            .unwrap_or(Timestamp::MIN)
    };
    let days = |days: u32| i32::try_from(days).unwrap_or(i32::MAX);
    let rows = sqlx::query(LOAD)
        .bind(accounts.iter().map(|(org, _)| *org).collect::<Vec<_>>())
        .bind(accounts.iter().map(|(_, account)| *account).collect::<Vec<_>>())
        .bind(epoch_day(day_of(before(model.scan_days()))))
        .bind(before(model.user_count.window_days).to_sqlx())
        .bind(before(model.feature_breadth.window_days).to_sqlx())
        .bind(before(model.seniority.window_days).to_sqlx())
        .bind(before(model.competitor_signals.window_days).to_sqlx())
        .bind(before(model.limit_proximity.window_days).to_sqlx())
        .bind(days(model.usage_velocity.recent_days))
        .bind(days(model.usage_velocity.baseline_days))
        .bind(Uuid::nil())
        .fetch_all(&mut **tx)
        .await?;
    rows.iter()
        .map(|row| read(row).map_err(ScoringError::from))
        .collect()
}

fn read(row: &PgRow) -> Result<AccountFacts, sqlx::Error> {
    let time = |column| row.try_get::<Option<Ts>, _>(column).map(|at| at.map(Ts::to_jiff));
    let counted = |count, signals| -> Result<Counted, sqlx::Error> {
        Ok(Counted {
            count: row.try_get(count)?,
            signals: row.try_get(signals)?,
        })
    };
    Ok(AccountFacts {
        rows: row.try_get("rows")?,
        first_at: time("first_at")?,
        last_at: time("last_at")?,
        has_older: row.try_get("has_older")?,
        newest: row.try_get("newest")?,
        users: counted("users", "user_signals")?,
        recent_signals: row.try_get("recent")?,
        baseline_signals: row.try_get("baseline")?,
        features: counted("features", "feature_signals")?,
        titles: titles(row)?,
        limits: limits(row)?,
        competitor_signals: counted("rival_signals", "rival_newest")?,
        competitors: row.try_get("competitors")?,
        firmographics: Firmographics::default(),
    })
}

fn titles(row: &PgRow) -> Result<Vec<TitledActors>, sqlx::Error> {
    let titles: Vec<String> = row.try_get("titles")?;
    let actors: Vec<i64> = row.try_get("title_actors")?;
    let last_at: Vec<Ts> = row.try_get("title_last_at")?;
    let signals: Vec<Uuid> = row.try_get("title_signals")?;
    let all = titles
        .into_iter()
        .zip(actors)
        .zip(last_at.into_iter().zip(signals));
    Ok(all
        .map(|((title, actors), (last_at, last_signal))| TitledActors {
            title,
            actors,
            last_at: last_at.to_jiff(),
            last_signal,
        })
        .collect())
}

fn limits(row: &PgRow) -> Result<Vec<LimitReading>, sqlx::Error> {
    let metrics: Vec<String> = row.try_get("metrics")?;
    let used: Vec<f64> = row.try_get("used")?;
    let limits: Vec<f64> = row.try_get("limits")?;
    let read_at: Vec<Ts> = row.try_get("read_at")?;
    let signals: Vec<Uuid> = row.try_get("reading_signals")?;
    let all = metrics
        .into_iter()
        .zip(used.into_iter().zip(limits))
        .zip(read_at.into_iter().zip(signals));
    let mut readings: Vec<LimitReading> = all
        .map(|((metric, (used, limit)), (at, signal))| LimitReading {
            metric,
            used,
            limit,
            at: at.to_jiff(),
            signal,
        })
        .collect();
    readings.sort_by(|a, b| {
        b.ratio()
            .total_cmp(&a.ratio())
            .then(b.at.cmp(&a.at))
            .then(b.signal.cmp(&a.signal))
    });
    Ok(readings)
}
