//! Rows of `objects`, `object_schemas` and `object_records`.

use ::store::{Class, OrgScope, ToSqlx as _, Ts, Tx};
use serde_json::{Map, Value};
use sqlx::FromRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::custom_fields::conflict;
use crate::domain::objects::{CustomObject, Field, Record, Schema};
use crate::error::CrmError;

/// The columns of [`ObjectRow`].
macro_rules! object_columns {
    () => {
        "t.id, t.key, t.label, t.description, t.fields, t.schema_version, t.created_at, t.updated_at, t.version"
    };
}
pub(super) use object_columns;

/// A row of `objects`.
#[derive(Debug, FromRow)]
pub(super) struct ObjectRow {
    id: Uuid,
    key: String,
    label: String,
    description: Option<String>,
    fields: Json<Vec<Field>>,
    schema_version: i64,
    created_at: Ts,
    updated_at: Ts,
    version: i64,
}

impl TryFrom<ObjectRow> for CustomObject {
    type Error = CrmError;

    fn try_from(row: ObjectRow) -> Result<Self, CrmError> {
        Ok(Self {
            id: row.id,
            key: row.key,
            label: row.label,
            description: row.description,
            fields: row.fields.0,
            schema_version: row.schema_version,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            version: row.version,
        })
    }
}

/// How long others keep away from an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Not at all: it is only read.
    Free,
    /// Its fields stay as they are until the end of the transaction.
    Shared,
    /// It is changed.
    Alone,
}

/// The object of this key.
pub(super) async fn find(
    tx: &mut Tx,
    scope: &OrgScope,
    key: &str,
    hold: Hold,
) -> Result<CustomObject, CrmError> {
    let sql = format!(
        "SELECT {} FROM objects t WHERE t.org_id = $1 AND t.key = $2 {}",
        object_columns!(),
        match hold {
            Hold::Free => "",
            Hold::Shared => "FOR SHARE",
            Hold::Alone => "FOR UPDATE",
        }
    );
    // Postgres knows no U+0000; nothing is called so.
    let row: Option<ObjectRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(scope.uuid())
        .bind(key.replace('\0', ""))
        .fetch_optional(&mut **tx)
        .await?;
    row.ok_or(CrmError::NotFound("object"))?.try_into()
}

/// Writes an object.
pub(super) async fn save(tx: &mut Tx, scope: &OrgScope, object: &CustomObject) -> Result<(), CrmError> {
    let done = sqlx::query(
        "INSERT INTO objects (org_id, id, key, label, description, fields, schema_version, created_at, updated_at, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (org_id, id) DO UPDATE SET label = excluded.label, \
         description = excluded.description, fields = excluded.fields, schema_version = excluded.schema_version, \
         updated_at = excluded.updated_at, version = excluded.version",
    )
    .bind(scope.uuid())
    .bind(object.id)
    .bind(&object.key)
    .bind(&object.label)
    .bind(&object.description)
    .bind(Json(&object.fields))
    .bind(object.schema_version)
    .bind(object.created_at.to_sqlx())
    .bind(object.updated_at.to_sqlx())
    .bind(object.version)
    .execute(&mut **tx)
    .await;
    match done.map_err(::store::StoreError::from) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.class(), Class::Unique { .. }) => {
            Err(conflict("an object of this key exists already"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Keeps a version of the fields.
pub(super) async fn save_schema(
    tx: &mut Tx,
    scope: &OrgScope,
    object: &CustomObject,
    verdict: &str,
    by: &str,
) -> Result<(), CrmError> {
    sqlx::query(
        "INSERT INTO object_schemas (org_id, object_id, schema_version, fields, verdict, changed_by, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(scope.uuid())
    .bind(object.id)
    .bind(object.schema_version)
    .bind(Json(&object.fields))
    .bind(verdict)
    .bind(by)
    .bind(object.updated_at.to_sqlx())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A row of `object_schemas`.
#[derive(Debug, FromRow)]
pub(super) struct SchemaRow {
    schema_version: i64,
    fields: Json<Vec<Field>>,
    verdict: String,
    changed_by: String,
    created_at: Ts,
}

impl From<SchemaRow> for Schema {
    fn from(row: SchemaRow) -> Self {
        Self {
            version: row.schema_version,
            fields: row.fields.0,
            verdict: row.verdict,
            by: row.changed_by,
            at: row.created_at.to_jiff(),
        }
    }
}

/// The columns of [`RecordRow`].
macro_rules! record_columns {
    () => {
        "t.id, t.object_id, t.data, t.created_by, t.created_at, t.updated_at, t.version"
    };
}
pub(super) use record_columns;

/// A row of `object_records`.
#[derive(Debug, FromRow)]
pub(super) struct RecordRow {
    id: Uuid,
    object_id: Uuid,
    data: Json<Map<String, Value>>,
    created_by: String,
    created_at: Ts,
    updated_at: Ts,
    version: i64,
}

impl TryFrom<RecordRow> for Record {
    type Error = CrmError;

    fn try_from(row: RecordRow) -> Result<Self, CrmError> {
        Ok(Self {
            id: row.id,
            object: row.object_id,
            values: row.data.0,
            by: row.created_by,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            version: row.version,
        })
    }
}

/// The record of this id, if it is one of the object.
pub(super) async fn record(
    tx: &mut Tx,
    scope: &OrgScope,
    object: Uuid,
    id: Uuid,
    lock: bool,
) -> Result<Record, CrmError> {
    let sql = format!(
        "SELECT {} FROM object_records t WHERE t.org_id = $1 AND t.id = $2 AND t.object_id = $3 {}",
        record_columns!(),
        if lock { "FOR UPDATE" } else { "" }
    );
    let row: Option<RecordRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(scope.uuid())
        .bind(id)
        .bind(object)
        .fetch_optional(&mut **tx)
        .await?;
    row.ok_or(CrmError::NotFound("record"))?.try_into()
}

/// Writes a record without its index.
pub(super) async fn save_record(tx: &mut Tx, scope: &OrgScope, record: &Record) -> Result<(), CrmError> {
    sqlx::query(
        "INSERT INTO object_records (org_id, id, object_id, data, created_by, created_at, updated_at, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (org_id, id) DO UPDATE SET data = excluded.data, \
         updated_at = excluded.updated_at, version = excluded.version",
    )
    .bind(scope.uuid())
    .bind(record.id)
    .bind(record.object)
    .bind(Json(&record.values))
    .bind(&record.by)
    .bind(record.created_at.to_sqlx())
    .bind(record.updated_at.to_sqlx())
    .bind(record.version)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
