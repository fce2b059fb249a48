//! Durable subscriptions in the gateway's schema: a name, a filter, a position that only moves forward.

use contracts::convert;
use contracts::events::v1 as wire;
use errors::{ApiError, ErrorCode, ErrorDomain as _};
use eventbus::Position;
use ids::{Clock, IdGen, OrgId};
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use store::list::{Filter, Kind, ListRequest, ListSpec, Match, Sort, SortKind};
use store::paging::Page;
use store::{Db, OrgScope, StoreError, ToSqlx as _, Ts, Tx};
use uuid::Uuid;

use super::cursor::{Cursors, Place};

/// Most of them in an organization.
const MOST: i64 = 100;

const COLUMNS: &str = "t.id, t.name, t.types, t.objects, t.stream_created, t.seq, t.passed, t.position_time, \
                       t.created_at, t.acknowledged_at";

const LIST: ListSpec = ListSpec {
    table: "event_subscriptions",
    columns: COLUMNS,
    condition: None,
    filters: &[Filter {
        name: "name",
        kind: Kind::Text,
        matches: Match::Eq("name"),
    }],
    sorts: &[
        Sort {
            name: "createdAt",
            column: "created_at",
            kind: SortKind::Time,
            nullable: false,
        },
        Sort {
            name: "name",
            column: "name",
            kind: SortKind::Text,
            nullable: false,
        },
    ],
    default_sort: "-createdAt",
};

/// One subscription.
#[derive(Debug, Clone)]
pub struct Subscription {
    id: Uuid,
    name: String,
    /// The filter as it was asked for.
    pub types: Vec<String>,
    /// The same for objects.
    pub objects: Vec<String>,
    /// Everything up to here was acknowledged.
    pub place: Place,
    created_at: Timestamp,
    acknowledged_at: Option<Timestamp>,
}

/// A subscription to be made.
pub struct New {
    /// Its name, checked.
    pub name: String,
    /// Its filter, checked.
    pub types: Vec<String>,
    /// The same for objects.
    pub objects: Vec<String>,
    /// Where it begins.
    pub place: Place,
}

impl FromRow<'_, PgRow> for Subscription {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let time = |name: &str| row.try_get::<i64, _>(name).map(from_nanos);
        let number = |name: &str| row.try_get::<i64, _>(name);
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            types: row.try_get("types")?,
            objects: row.try_get("objects")?,
            place: Place {
                position: Position {
                    stream_created: time("stream_created")?,
                    seq: number("seq")?.cast_unsigned(),
                    time: time("position_time")?,
                },
                passed: u32::try_from(number("passed")?).unwrap_or(Place::WHOLE),
            },
            created_at: row.try_get::<Ts, _>("created_at")?.to_jiff(),
            acknowledged_at: row.try_get::<Option<Ts>, _>("acknowledged_at")?.map(Ts::to_jiff),
        })
    }
}

impl Subscription {
    /// As clients see it.
    pub fn told(self, cursors: &Cursors, org: OrgId) -> wire::EventSubscription {
        wire::EventSubscription {
            id: self.id.to_string(),
            name: self.name,
            types: self.types,
            objects: self.objects,
            cursor: cursors.write(org, &self.place),
            created_at: Some(convert::timestamp(self.created_at)),
            acknowledged_at: self.acknowledged_at.map(convert::timestamp),
        }
    }
}

/// Why a call fails.
#[derive(Debug)]
pub enum Fault {
    /// The database.
    Store(StoreError),
    /// The request.
    Api(ApiError),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Api(error) => error,
            Fault::Store(error) => {
                let told = error.to_api();
                if told.code != ErrorCode::Conflict {
                    tracing::error!(%error, source = ?std::error::Error::source(&error), "a call failed");
                }
                told
            }
        }
    }
}

/// Makes one. With `dry`, only tells what would be.
pub async fn create(
    db: &Db,
    scope: &OrgScope,
    (clock, ids): (&dyn Clock, &dyn IdGen),
    new: New,
    dry: bool,
) -> Result<Subscription, Fault> {
    let mut tx = db.begin(scope).await?;
    // One at a time per organization, so that the count holds.
    sqlx::query("SELECT 1 FROM organizations WHERE org_id = $1 FOR NO KEY UPDATE")
        .bind(scope.uuid())
        .execute(&mut *tx)
        .await?;
    let many: i64 = sqlx::query_scalar("SELECT count(*) FROM event_subscriptions WHERE org_id = $1")
        .bind(scope.uuid())
        .fetch_one(&mut *tx)
        .await?;
    if many >= MOST {
        let detail = format!("an organization has at most {MOST} event subscriptions; delete one first");
        return Err(ApiError::new(ErrorCode::Conflict, detail).into());
    }
    let position = new.place.position;
    let made = sqlx::query_as::<_, Subscription>(
        "INSERT INTO event_subscriptions AS t (org_id, id, name, types, objects, stream_created, seq, passed, \
         position_time, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (org_id, name) DO NOTHING \
         RETURNING t.id, t.name, t.types, t.objects, t.stream_created, t.seq, t.passed, t.position_time, \
         t.created_at, t.acknowledged_at",
    )
    .bind(scope.uuid())
    .bind(ids.next())
    .bind(new.name)
    .bind(new.types)
    .bind(new.objects)
    .bind(nanos(position.stream_created))
    .bind(position.seq.cast_signed())
    .bind(i64::from(new.place.passed))
    .bind(nanos(position.time))
    .bind(clock.now().to_sqlx())
    .fetch_optional(&mut *tx)
    .await?;
    let taken = || ApiError::new(ErrorCode::Conflict, "there is an event subscription of this name");
    let made = made.ok_or_else(taken)?;
    end(tx, dry).await?;
    Ok(made)
}

/// A page of them.
pub async fn list(db: &Db, scope: &OrgScope, asked: &ListRequest<'_>) -> Result<Page<Subscription>, Fault> {
    let query = LIST.prepare(scope, LIST.table, asked)?;
    let mut tx = db.begin(scope).await?;
    let page = query.fetch::<Subscription>(&mut tx).await?;
    tx.commit().await?;
    Ok(page)
}

/// One of them.
pub async fn get(db: &Db, scope: &OrgScope, id: Uuid) -> Result<Subscription, Fault> {
    let mut tx = db.begin(scope).await?;
    let found = find(&mut tx, scope, id).await?;
    tx.commit().await?;
    Ok(found)
}

/// Deletes one. With `dry`, only tells whether it could be.
pub async fn delete(db: &Db, scope: &OrgScope, id: Uuid, dry: bool) -> Result<(), Fault> {
    let mut tx = db.begin(scope).await?;
    let done = sqlx::query("DELETE FROM event_subscriptions WHERE org_id = $1 AND id = $2")
        .bind(scope.uuid())
        .bind(id)
        .execute(&mut *tx)
        .await?;
    if done.rows_affected() == 0 {
        return Err(missing().into());
    }
    end(tx, dry).await?;
    Ok(())
}

/// Moves the position on, never back: of acknowledgements in any order and any number, the farthest holds.
pub async fn acknowledge(
    db: &Db,
    scope: &OrgScope,
    clock: &dyn Clock,
    (id, place): (Uuid, Place),
    dry: bool,
) -> Result<Subscription, Fault> {
    let mut tx = db.begin(scope).await?;
    sqlx::query(
        "UPDATE event_subscriptions SET stream_created = $3, seq = $4, passed = $5, position_time = $6, \
         acknowledged_at = $7 WHERE org_id = $1 AND id = $2 AND (stream_created, seq, passed) < ($3, $4, $5)",
    )
    .bind(scope.uuid())
    .bind(id)
    .bind(nanos(place.position.stream_created))
    .bind(place.position.seq.cast_signed())
    .bind(i64::from(place.passed))
    .bind(nanos(place.position.time))
    .bind(clock.now().to_sqlx())
    .execute(&mut *tx)
    .await?;
    let found = find(&mut tx, scope, id).await?;
    end(tx, dry).await?;
    Ok(found)
}

async fn find(tx: &mut Tx, scope: &OrgScope, id: Uuid) -> Result<Subscription, Fault> {
    let found = sqlx::query_as::<_, Subscription>(
        "SELECT t.id, t.name, t.types, t.objects, t.stream_created, t.seq, t.passed, t.position_time, \
         t.created_at, t.acknowledged_at FROM event_subscriptions t WHERE t.org_id = $1 AND t.id = $2",
    )
    .bind(scope.uuid())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.ok_or_else(missing)?)
}

fn missing() -> ApiError {
    ApiError::not_found("event subscription")
}

async fn end(tx: Tx, dry: bool) -> Result<(), StoreError> {
    if dry {
        tx.rollback().await;
        return Ok(());
    }
    tx.commit().await
}

fn nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}

fn from_nanos(nanos: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default()
}
