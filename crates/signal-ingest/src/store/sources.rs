//! Sources: configured by their organization, looked up by the workers.

use contracts::convert;
use contracts::signals::v1::Source;
use ids::{OrgId, SourceId};
use jiff::Timestamp;
use prost_types::Struct;
use serde_json::{Map, Value};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use store::list::{Field, Filter, Kind, ListRequest, ListSpec, Match, Sort, SortKind};
use store::paging::Page;
use store::{Db, OrgScope, PipelineDb, ToSqlx as _, Ts, Tx};
use uuid::Uuid;

use super::row;
use crate::domain::source::TYPES;
use crate::error::IngestError;

pub(super) const COLUMNS: &str = "t.id, t.type, t.name, t.config::text AS config, t.status, t.status_reason, t.last_signal_at, \
                       t.created_at, t.updated_at";

const LIST: ListSpec = ListSpec {
    table: "sources",
    columns: COLUMNS,
    condition: None,
    filters: &[
        Filter {
            name: "type",
            kind: Kind::OneOf(TYPES),
            matches: Match::Eq("type"),
        },
        Filter {
            name: "status",
            kind: Kind::OneOf(&["active", "paused", "error"]),
            matches: Match::Eq("status"),
        },
    ],
    sorts: &[
        Sort {
            name: "createdAt",
            column: "created_at",
            kind: SortKind::Time,
            nullable: false,
        },
        Sort {
            name: "name",
            column: "name_key",
            kind: SortKind::Text,
            nullable: false,
        },
    ],
    default_sort: "-createdAt",
};

/// What full filters may name.
const FIELDS: &[Field] = &[
    Field {
        name: "type",
        column: "t.type",
        kind: Kind::OneOf(TYPES),
    },
    Field {
        name: "status",
        column: "t.status",
        kind: Kind::OneOf(&["active", "paused", "error"]),
    },
    Field {
        name: "name",
        column: "t.name",
        kind: Kind::Text,
    },
    Field {
        name: "createdAt",
        column: "t.created_at",
        kind: Kind::Time,
    },
    Field {
        name: "updatedAt",
        column: "t.updated_at",
        kind: Kind::Time,
    },
    Field {
        name: "lastSignalAt",
        column: "t.last_signal_at",
        kind: Kind::Time,
    },
];

/// Ends a write: for good, or as if it had not been.
async fn end(tx: Tx, dry_run: bool) -> Result<(), IngestError> {
    if dry_run {
        tx.rollback().await;
        return Ok(());
    }
    Ok(tx.commit().await?)
}

/// A source as it is read; never with its secret.
#[derive(Debug, Clone)]
pub struct SourceRow(Source);

impl SourceRow {
    /// The public message. Sources that receive webhooks say where.
    #[must_use]
    pub fn into_message(self) -> Source {
        let webhook_path = (self.0.r#type == "github").then(|| format!("/hooks/github/{}", self.0.id));
        Source {
            webhook_path,
            ..self.0
        }
    }
}

impl FromRow<'_, PgRow> for SourceRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let time = |name| {
            row.try_get::<Ts, _>(name)
                .map(|at| Some(convert::timestamp(at.to_jiff())))
        };
        let last = row.try_get::<Option<Ts>, _>("last_signal_at")?;
        Ok(Self(Source {
            id: row.try_get::<Uuid, _>("id")?.to_string(),
            r#type: row.try_get("type")?,
            name: row.try_get("name")?,
            config: row::json(row, "config")?.map(convert::to_struct),
            status: row.try_get("status")?,
            status_reason: row.try_get("status_reason")?,
            last_signal_at: last.map(|at| convert::timestamp(at.to_jiff())),
            created_at: time("created_at")?,
            updated_at: time("updated_at")?,
            ..Source::default()
        }))
    }
}

/// A source to be stored.
#[derive(Debug)]
pub struct NewSource<'a> {
    /// Its id.
    pub id: SourceId,
    /// One of [`TYPES`].
    pub kind: &'a str,
    /// Name for people.
    pub name: &'a str,
    /// Free-form settings.
    pub config: Option<&'a Struct>,
    /// The webhook's secret, sealed.
    pub sealed_secret: Option<&'a [u8]>,
    /// When it is created.
    pub at: Timestamp,
    /// Whether it is not to be kept.
    pub dry_run: bool,
}

/// Changes to a source; what is absent stays.
#[derive(Debug)]
pub struct Change<'a> {
    /// New name.
    pub name: Option<&'a str>,
    /// New settings.
    pub config: Option<&'a Struct>,
    /// New status.
    pub status: Option<&'a str>,
    /// When it is changed.
    pub at: Timestamp,
    /// Whether it is not to be kept.
    pub dry_run: bool,
}

/// Lists the organization's sources.
///
/// # Errors
/// The request names an unknown parameter, or the database failed.
pub async fn list(
    db: &Db,
    scope: &OrgScope,
    request: &ListRequest<'_>,
    filter: Option<&Map<String, Value>>,
) -> Result<Page<SourceRow>, IngestError> {
    let query = LIST.prepare_where(scope, "ListSources", request, FIELDS, filter)?;
    let mut tx = db.begin(scope).await?;
    let page = query.fetch::<SourceRow>(&mut tx).await?;
    tx.commit().await?;
    Ok(page)
}

/// Stores a source, unless the organization has `most` already: then `None`.
///
/// # Errors
/// The database failed.
pub async fn create(
    db: &Db,
    scope: &OrgScope,
    source: &NewSource<'_>,
    most: i64,
) -> Result<Option<SourceRow>, IngestError> {
    let mut tx = db.begin(scope).await?;
    // Two at once would both count what there is without the other.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('sources/' || $1::uuid, 0))")
        .bind(scope.uuid())
        .execute(&mut *tx)
        .await?;
    let stored = sqlx::query_as::<_, SourceRow>(
        "INSERT INTO sources AS t (org_id, id, type, name, config, secret, created_at, updated_at)
         SELECT $1, $2, $3, $4, $5::jsonb, $6, $7, $7
         WHERE (SELECT count(*) FROM sources WHERE org_id = $1) < $8
         RETURNING t.id, t.type, t.name, t.config::text AS config, t.status, t.status_reason, t.last_signal_at,
                   t.created_at, t.updated_at",
    )
    .bind(scope.uuid())
    .bind(source.id.uuid())
    .bind(source.kind)
    .bind(source.name)
    .bind(source.config.and_then(row::metadata_text))
    .bind(source.sealed_secret)
    .bind(source.at.to_sqlx())
    .bind(most)
    .fetch_optional(&mut *tx)
    .await?;
    end(tx, source.dry_run).await?;
    Ok(stored)
}

/// Reads one source of the organization.
///
/// # Errors
/// The database failed.
pub async fn get(db: &Db, scope: &OrgScope, id: SourceId) -> Result<Option<SourceRow>, IngestError> {
    let mut tx = db.begin(scope).await?;
    let found = sqlx::query_as::<_, SourceRow>(
        "SELECT t.id, t.type, t.name, t.config::text AS config, t.status, t.status_reason, t.last_signal_at,
                t.created_at, t.updated_at
         FROM sources t WHERE t.org_id = $1 AND t.id = $2",
    )
    .bind(scope.uuid())
    .bind(id.uuid())
    .fetch_optional(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(found)
}

/// Changes a source. A new status takes away the reason of the old one.
///
/// # Errors
/// The database failed.
pub async fn update(
    db: &Db,
    scope: &OrgScope,
    id: SourceId,
    change: &Change<'_>,
) -> Result<Option<SourceRow>, IngestError> {
    let mut tx = db.begin(scope).await?;
    let stored = sqlx::query_as::<_, SourceRow>(
        "UPDATE sources AS t
         SET name = coalesce($3, t.name), config = coalesce($4::jsonb, t.config), status = coalesce($5, t.status),
             status_reason = CASE WHEN $5 IS NULL THEN t.status_reason END, updated_at = $6
         WHERE t.org_id = $1 AND t.id = $2
         RETURNING t.id, t.type, t.name, t.config::text AS config, t.status, t.status_reason, t.last_signal_at,
                   t.created_at, t.updated_at",
    )
    .bind(scope.uuid())
    .bind(id.uuid())
    .bind(change.name)
    .bind(change.config.and_then(row::metadata_text))
    .bind(change.status)
    .bind(change.at.to_sqlx())
    .fetch_optional(&mut *tx)
    .await?;
    end(tx, change.dry_run).await?;
    Ok(stored)
}

/// Deletes a source; `false` when there is none.
///
/// # Errors
/// The database failed.
pub async fn delete(db: &Db, scope: &OrgScope, id: SourceId, dry_run: bool) -> Result<bool, IngestError> {
    let mut tx = db.begin(scope).await?;
    let done = sqlx::query("DELETE FROM sources WHERE org_id = $1 AND id = $2")
        .bind(scope.uuid())
        .bind(id.uuid())
        .execute(&mut *tx)
        .await?;
    end(tx, dry_run).await?;
    Ok(done.rows_affected() == 1)
}

/// Whether sources exist, and whether they are paused. For all organizations at once, each pair for its own.
///
/// # Errors
/// The database failed.
pub async fn states(
    db: &PipelineDb,
    keys: &[(OrgId, SourceId)],
) -> Result<Vec<(OrgId, SourceId, bool)>, IngestError> {
    let mut tx = db.begin().await?;
    let rows: Vec<(Uuid, Uuid, bool)> = sqlx::query_as(
        "SELECT s.org_id, s.id, s.status = 'paused'
         FROM unnest($1::uuid[], $2::uuid[]) AS k (org_id, id)
         JOIN sources s ON s.org_id = k.org_id AND s.id = k.id",
    )
    .bind(keys.iter().map(|(org, _)| org.uuid()).collect::<Vec<_>>())
    .bind(keys.iter().map(|(_, id)| id.uuid()).collect::<Vec<_>>())
    .fetch_all(&mut *tx)
    .await?;
    tx.rollback().await;
    Ok(rows
        .into_iter()
        .map(|(org, id, paused)| (OrgId(org), SourceId(id), paused))
        .collect())
}

/// A source as its webhook's receiver needs it.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// Whose it is.
    pub org: OrgId,
    /// Its id.
    pub id: SourceId,
    /// Whether it refuses deliveries.
    pub paused: bool,
    /// The shared secret, sealed.
    pub sealed_secret: Vec<u8>,
}

/// The source of type `github` with this id, of whatever organization: a delivery names only the source.
///
/// # Errors
/// The database failed.
pub async fn github_receiver(db: &PipelineDb, id: SourceId) -> Result<Option<Receiver>, IngestError> {
    let mut tx = db.begin().await?;
    let found: Option<(Uuid, bool, Vec<u8>)> = sqlx::query_as(
        "SELECT org_id, status = 'paused', secret FROM sources
         WHERE id = $1 AND type = 'github' AND secret IS NOT NULL",
    )
    .bind(id.uuid())
    .fetch_optional(&mut *tx)
    .await?;
    tx.rollback().await;
    Ok(found.map(|(org, paused, sealed_secret)| Receiver {
        org: OrgId(org),
        id,
        paused,
        sealed_secret,
    }))
}

/// Notes when signals last came through sources; never moves a time back.
///
/// # Errors
/// The database failed.
pub async fn touch(db: &PipelineDb, seen: &[(OrgId, SourceId, Timestamp)]) -> Result<(), IngestError> {
    let mut seen = seen.to_vec();
    // Always in the same order, so that two replicas never wait for each other in a circle.
    seen.sort_unstable();
    let mut tx = db.begin().await?;
    sqlx::query(
        "UPDATE sources SET last_signal_at = k.at
         FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS k (org_id, id, at)
         WHERE sources.org_id = k.org_id AND sources.id = k.id
           AND (sources.last_signal_at IS NULL OR sources.last_signal_at < k.at)",
    )
    .bind(seen.iter().map(|(org, ..)| org.uuid()).collect::<Vec<_>>())
    .bind(seen.iter().map(|(_, id, _)| id.uuid()).collect::<Vec<_>>())
    .bind(seen.iter().map(|(.., at)| at.to_sqlx()).collect::<Vec<_>>())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}
