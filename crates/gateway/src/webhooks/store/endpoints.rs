//! Webhooks themselves.

use jiff::Timestamp;
use serde_json::{Map, Value};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use store::{OrgScope, StoreError, ToSqlx as _, Ts, Tx};
use uuid::Uuid;

/// The select list of [`Endpoint`] over `webhooks t`.
pub const COLUMNS: &str = "t.*, \
     (SELECT l.last_sequence FROM webhook_lanes l WHERE l.org_id = t.org_id AND l.webhook_id = t.id) AS last_sequence, \
     (SELECT l.failing_since FROM webhook_lanes l WHERE l.org_id = t.org_id AND l.webhook_id = t.id) AS failing_since, \
     (SELECT s.public_key FROM webhook_secrets s WHERE s.org_id = t.org_id AND s.webhook_id = t.id \
         ORDER BY s.id DESC LIMIT 1) AS public_key, \
     (SELECT max(s.expires_at) FROM webhook_secrets s WHERE s.org_id = t.org_id AND s.webhook_id = t.id) \
         AS previous_secret_until";

/// A webhook as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Its id.
    pub id: Uuid,
    /// Where to.
    pub url: String,
    /// What for.
    pub description: Option<String>,
    /// Types; none means all but `webhook.*`.
    pub events: Vec<String>,
    /// The filter, as given.
    pub filter: Option<Map<String, Value>>,
    /// `full` or `thin`.
    pub payload: String,
    /// Version of the events' schemas.
    pub schema_version: i32,
    /// The scheme's text.
    pub signature: String,
    /// Names of its own headers.
    pub header_names: Vec<String>,
    /// The headers, sealed.
    pub headers_sealed: Option<Vec<u8>>,
    /// Most deliveries per second.
    pub rate_per_second: Option<i32>,
    /// Most at the same time.
    pub max_in_flight: i32,
    /// Strict order per object.
    pub ordered: bool,
    /// Why and since when it is disabled.
    pub disabled: Option<(String, Timestamp)>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts changes.
    pub version: i64,
    /// Newest sequence.
    pub last_sequence: i64,
    /// Since when everything fails.
    pub failing_since: Option<Timestamp>,
    /// Public key of the newest secret.
    pub public_key: Option<String>,
    /// Until when an older secret signs.
    pub previous_secret_until: Option<Timestamp>,
}

fn time(row: &PgRow, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    Ok(row.try_get::<Option<Ts>, _>(column)?.map(Ts::to_jiff))
}

impl FromRow<'_, PgRow> for Endpoint {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let filter: Option<Value> = row.try_get("filter")?;
        let reason: Option<String> = row.try_get("disabled_reason")?;
        Ok(Self {
            id: row.try_get("id")?,
            url: row.try_get("url")?,
            description: row.try_get("description")?,
            events: row.try_get("events")?,
            filter: filter.and_then(|f| match f {
                Value::Object(fields) => Some(fields),
                _ => None,
            }),
            payload: row.try_get("payload")?,
            schema_version: row.try_get("schema_version")?,
            signature: row.try_get("signature")?,
            header_names: row.try_get("header_names")?,
            headers_sealed: row.try_get("headers_sealed")?,
            rate_per_second: row.try_get("rate_per_second")?,
            max_in_flight: row.try_get("max_in_flight")?,
            ordered: row.try_get("ordered")?,
            disabled: time(row, "disabled_at")?.map(|at| (reason.unwrap_or_default(), at)),
            created_at: row.try_get::<Ts, _>("created_at")?.to_jiff(),
            updated_at: row.try_get::<Ts, _>("updated_at")?.to_jiff(),
            version: row.try_get("version")?,
            last_sequence: row.try_get::<Option<i64>, _>("last_sequence")?.unwrap_or(0),
            failing_since: time(row, "failing_since")?,
            public_key: row.try_get("public_key")?,
            previous_secret_until: time(row, "previous_secret_until")?,
        })
    }
}

impl Endpoint {
    /// The names, as the API has them, of what differs.
    pub fn changed(&self, before: &Self) -> Vec<&'static str> {
        let differences = [
            ("url", self.url != before.url),
            ("description", self.description != before.description),
            ("events", self.events != before.events),
            ("filter", self.filter != before.filter),
            ("payload", self.payload != before.payload),
            ("schemaVersion", self.schema_version != before.schema_version),
            ("headers", self.headers_sealed != before.headers_sealed),
            ("ratePerSecond", self.rate_per_second != before.rate_per_second),
            ("maxInFlight", self.max_in_flight != before.max_in_flight),
            ("ordered", self.ordered != before.ordered),
        ];
        let changed = differences.into_iter().filter(|(_, differs)| *differs);
        changed.map(|(name, _)| name).collect()
    }
}

/// How many webhooks the organization has; nobody makes one in between.
pub async fn count_locked(tx: &mut Tx, scope: &OrgScope) -> Result<i64, StoreError> {
    sqlx::query("SELECT FROM organizations WHERE org_id = $1 FOR NO KEY UPDATE")
        .bind(scope.uuid())
        .execute(&mut **tx)
        .await?;
    let count = sqlx::query_scalar("SELECT count(*) FROM webhooks WHERE org_id = $1");
    Ok(count.bind(scope.uuid()).fetch_one(&mut **tx).await?)
}

/// Reads one; for a change, its row is locked.
pub async fn read(
    tx: &mut Tx,
    scope: &OrgScope,
    id: Uuid,
    for_change: bool,
) -> Result<Option<Endpoint>, StoreError> {
    if for_change {
        let lock = "SELECT FROM webhooks WHERE org_id = $1 AND id = $2 FOR UPDATE";
        sqlx::query(lock)
            .bind(scope.uuid())
            .bind(id)
            .execute(&mut **tx)
            .await?;
    }
    let sql = format!("SELECT {COLUMNS} FROM webhooks t WHERE t.org_id = $1 AND t.id = $2");
    let found = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(scope.uuid())
        .bind(id)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(found)
}

/// Stores a new one, with its lane.
pub async fn insert(tx: &mut Tx, scope: &OrgScope, new: &Endpoint) -> Result<(), StoreError> {
    let statement = sqlx::query(
        "INSERT INTO webhooks (org_id, id, url, description, events, filter, payload, schema_version, header_names, \
             headers_sealed, rate_per_second, max_in_flight, ordered, updated_at, version, signature, status, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 'enabled', $14)",
    );
    bind(statement, scope, new)
        .bind(&new.signature)
        .execute(&mut **tx)
        .await?;
    sqlx::query("INSERT INTO webhook_lanes (org_id, webhook_id) VALUES ($1, $2)")
        .bind(scope.uuid())
        .bind(new.id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Stores what can be changed of a locked one.
pub async fn update(tx: &mut Tx, scope: &OrgScope, changed: &Endpoint) -> Result<(), StoreError> {
    let statement = sqlx::query(
        "UPDATE webhooks SET url = $3, description = $4, events = $5, filter = $6, payload = $7, schema_version = $8, \
             header_names = $9, headers_sealed = $10, rate_per_second = $11, max_in_flight = $12, ordered = $13, \
             updated_at = $14, version = $15 WHERE org_id = $1 AND id = $2",
    );
    bind(statement, scope, changed).execute(&mut **tx).await?;
    Ok(())
}

type Statement<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bind<'q>(statement: Statement<'q>, scope: &OrgScope, of: &'q Endpoint) -> Statement<'q> {
    statement
        .bind(scope.uuid())
        .bind(of.id)
        .bind(&of.url)
        .bind(&of.description)
        .bind(&of.events)
        .bind(of.filter.clone().map(Value::Object))
        .bind(&of.payload)
        .bind(of.schema_version)
        .bind(&of.header_names)
        .bind(&of.headers_sealed)
        .bind(of.rate_per_second)
        .bind(of.max_in_flight)
        .bind(of.ordered)
        .bind(of.updated_at.to_sqlx())
        .bind(of.version)
}

/// Enables or disables a locked one. Enabled, it begins with a clean record.
pub async fn set_disabled(
    tx: &mut Tx,
    scope: &OrgScope,
    id: Uuid,
    disabled: Option<(&str, Timestamp)>,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE webhooks SET status = CASE WHEN $3::text IS NULL THEN 'enabled' ELSE 'disabled' END, \
             disabled_reason = $3, disabled_at = $4, updated_at = $5, version = version + 1 \
         WHERE org_id = $1 AND id = $2",
    )
    .bind(scope.uuid())
    .bind(id)
    .bind(disabled.map(|(reason, _)| reason))
    .bind(disabled.map(|(_, at)| at.to_sqlx()))
    .bind(now.to_sqlx())
    .execute(&mut **tx)
    .await?;
    if disabled.is_none() {
        sqlx::query("UPDATE webhook_lanes SET failing_since = NULL, failures = 0 WHERE org_id = $1 AND webhook_id = $2")
            .bind(scope.uuid())
            .bind(id)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Deletes a locked one, with its secrets and its lane; what was delivered is dropped by retention.
pub async fn delete(tx: &mut Tx, scope: &OrgScope, id: Uuid) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM webhooks WHERE org_id = $1 AND id = $2")
        .bind(scope.uuid())
        .bind(id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
