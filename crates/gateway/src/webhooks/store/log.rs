//! The delivery log: reading it.

use contracts::convert;
use contracts::webhooks::v1 as wire;
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use store::list::{Filter, Kind, ListSpec, Match, Sort, SortKind};
use store::{OrgScope, StoreError, ToSqlx as _, Ts, Tx};
use uuid::Uuid;

/// Attempts that are told with a delivery.
const MOST_ATTEMPTS: i64 = 100;

const fn text(name: &'static str, column: &'static str) -> Filter {
    Filter {
        name,
        kind: Kind::Text,
        matches: Match::Eq(column),
    }
}

/// Deliveries of one webhook; the filter `webhookId` is the path's.
pub const DELIVERIES: ListSpec = ListSpec {
    table: "webhook_deliveries",
    columns: "t.*",
    condition: None,
    filters: &[
        Filter {
            name: "webhookId",
            kind: Kind::Uuid,
            matches: Match::Eq("webhook_id"),
        },
        Filter {
            name: "status",
            kind: Kind::OneOf(&["pending", "delivered", "failed", "held"]),
            matches: Match::Eq("status"),
        },
        Filter {
            name: "eventId",
            kind: Kind::Uuid,
            matches: Match::Eq("event_id"),
        },
        text("type", "type"),
        Filter {
            name: "from",
            kind: Kind::Time,
            matches: Match::AtLeast("created_at"),
        },
        Filter {
            name: "to",
            kind: Kind::Time,
            matches: Match::Below("created_at"),
        },
    ],
    sorts: &[Sort {
        name: "sequence",
        column: "sequence",
        kind: SortKind::Int,
        nullable: false,
    }],
    default_sort: "-sequence",
};

/// A delivery as told.
pub struct Delivery(pub wire::WebhookDelivery);

fn time(row: &PgRow, column: &str) -> Result<Option<prost_types::Timestamp>, sqlx::Error> {
    let at = row.try_get::<Option<Ts>, _>(column)?;
    Ok(at.map(|at| convert::timestamp(at.to_jiff())))
}

impl FromRow<'_, PgRow> for Delivery {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self(wire::WebhookDelivery {
            id: row.try_get::<Uuid, _>("id")?.to_string(),
            webhook_id: row.try_get::<Uuid, _>("webhook_id")?.to_string(),
            event_id: row.try_get::<Uuid, _>("event_id")?.to_string(),
            r#type: row.try_get("type")?,
            sequence: row.try_get("sequence")?,
            status: row.try_get("status")?,
            attempts: row.try_get("attempts")?,
            next_attempt_at: time(row, "next_attempt_at")?,
            created_at: time(row, "created_at")?,
            completed_at: time(row, "completed_at")?,
            last_status: row.try_get("last_status")?,
            last_error: row.try_get("last_error")?,
            attempt_log: Vec::new(),
            body: None,
        }))
    }
}

struct Attempt(wire::WebhookAttempt);

impl FromRow<'_, PgRow> for Attempt {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let response: Option<Vec<u8>> = row.try_get("response")?;
        Ok(Self(wire::WebhookAttempt {
            id: row.try_get::<Uuid, _>("id")?.to_string(),
            number: row.try_get("number")?,
            started_at: time(row, "started_at")?,
            took_ms: i64::from(row.try_get::<i32, _>("took_ms")?),
            status: row.try_get("status")?,
            outcome: row.try_get("outcome")?,
            error: row.try_get("error")?,
            response: response.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        }))
    }
}

/// One delivery, without attempts and body.
pub async fn delivery(
    tx: &mut Tx,
    scope: &OrgScope,
    webhook: Uuid,
    id: Uuid,
) -> Result<Option<Delivery>, StoreError> {
    let found = sqlx::query_as(
        "SELECT t.* FROM webhook_deliveries t WHERE t.org_id = $1 AND t.webhook_id = $2 AND t.id = $3",
    )
    .bind(scope.uuid())
    .bind(webhook)
    .bind(id)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found)
}

/// The attempts of a delivery, oldest first, and its body while it is kept.
pub async fn details(tx: &mut Tx, scope: &OrgScope, delivery: &mut Delivery) -> Result<(), StoreError> {
    let id = Uuid::try_parse(&delivery.0.id).unwrap_or_default();
    let mut attempts: Vec<Attempt> = sqlx::query_as(
        "SELECT * FROM webhook_attempts WHERE org_id = $1 AND delivery_id = $2 ORDER BY id DESC LIMIT $3",
    )
    .bind(scope.uuid())
    .bind(id)
    .bind(MOST_ATTEMPTS)
    .fetch_all(&mut **tx)
    .await?;
    attempts.reverse();
    let body: Option<Vec<u8>> = sqlx::query_scalar(
        "SELECT b.body FROM webhook_deliveries d JOIN webhook_bodies b ON b.org_id = d.org_id AND b.id = d.body_id \
         WHERE d.org_id = $1 AND d.id = $2",
    )
    .bind(scope.uuid())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await?;
    delivery.0.attempt_log = attempts.into_iter().map(|attempt| attempt.0).collect();
    delivery.0.body = body.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(())
}

/// What the hours say.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Hour {
    /// When it begins.
    pub hour: Ts,
    /// Attempts that succeeded.
    pub succeeded: i64,
    /// Attempts that failed.
    pub failed: i64,
    /// Deliveries given up.
    pub exhausted: i64,
    /// Sum of durations.
    pub took_ms_sum: i64,
    /// Longest duration.
    pub took_ms_max: i32,
    /// Attempts by duration.
    pub buckets: Vec<i64>,
}

/// The hours of a webhook in a range.
pub async fn hours(
    tx: &mut Tx,
    scope: &OrgScope,
    webhook: Uuid,
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<Hour>, StoreError> {
    let hours = sqlx::query_as(
        "SELECT hour, succeeded, failed, exhausted, took_ms_sum, took_ms_max, buckets FROM webhook_stats \
         WHERE org_id = $1 AND webhook_id = $2 AND hour >= date_trunc('hour', $3::timestamptz, 'UTC') AND hour < $4 \
         ORDER BY hour",
    )
    .bind(scope.uuid())
    .bind(webhook)
    .bind(from.to_sqlx())
    .bind(to.to_sqlx())
    .fetch_all(&mut **tx)
    .await?;
    Ok(hours)
}

/// How much waits, how much is held, and since when the oldest is due.
pub async fn waiting(
    tx: &mut Tx,
    scope: &OrgScope,
    webhook: Uuid,
    now: Timestamp,
) -> Result<(i64, i64, Option<Timestamp>), StoreError> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM webhook_deliveries WHERE org_id = $1 AND webhook_id = $2 AND status = 'pending') AS pending, \
                (SELECT count(*) FROM webhook_deliveries WHERE org_id = $1 AND webhook_id = $2 AND status = 'held') AS held, \
                (SELECT min(next_attempt_at) FROM webhook_deliveries \
                 WHERE org_id = $1 AND webhook_id = $2 AND status = 'pending' AND next_attempt_at <= $3) AS oldest",
    )
    .bind(scope.uuid())
    .bind(webhook)
    .bind(now.to_sqlx())
    .fetch_one(&mut **tx)
    .await?;
    let oldest: Option<Ts> = row.try_get("oldest")?;
    Ok((
        row.try_get("pending")?,
        row.try_get("held")?,
        oldest.map(Ts::to_jiff),
    ))
}
