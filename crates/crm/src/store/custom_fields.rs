//! `custom_fields`: the definitions of own fields.

use std::collections::BTreeMap;

use ::store::list::{Filter, Kind, ListRequest, ListSpec, Match, Sort, SortKind};
use ::store::paging::Page;
use ::store::{Class, OrgScope, ToSqlx as _, Ts, Tx};
use errors::{ApiError, ErrorCode, FieldError};
use serde_json::Value;
use sqlx::FromRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Records, Write, check_version, in_tx};
use crate::domain::custom::{Definition, Rule, Type};
use crate::domain::extras::Object;
use crate::error::CrmError;

/// Most fields of one kind of records: every write reads them all.
pub const MAX_FIELDS: i64 = 200;

macro_rules! columns {
    () => {
        "t.id, t.object, t.key, t.label, t.type, t.required, t.is_unique, t.pattern, t.options, t.reference_object, \
         t.default_value, t.created_at, t.updated_at, t.version"
    };
}

#[derive(Debug, FromRow)]
struct Row {
    id: Uuid,
    object: String,
    key: String,
    label: String,
    r#type: String,
    required: bool,
    is_unique: bool,
    pattern: Option<String>,
    options: Vec<String>,
    reference_object: Option<String>,
    default_value: Option<Json<Value>>,
    created_at: Ts,
    updated_at: Ts,
    version: i64,
}

impl TryFrom<Row> for Definition {
    type Error = CrmError;

    fn try_from(row: Row) -> Result<Self, CrmError> {
        let corrupt = |what: &str| CrmError::Corrupt(format!("custom field {}, {what}", row.id));
        Ok(Self {
            object: Object::parse(&row.object).ok_or_else(|| corrupt("object"))?,
            reference: row.reference_object.as_deref().and_then(Object::parse),
            rule: Rule {
                id: row.id,
                kind: Type::parse(&row.r#type).ok_or_else(|| corrupt("type"))?,
                key: row.key,
                label: row.label,
                required: row.required,
                unique: row.is_unique,
                pattern: row.pattern,
                options: row.options,
                default: row.default_value.map(|value| value.0),
            },
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            version: row.version,
        })
    }
}

const SPEC: ListSpec = ListSpec {
    table: "custom_fields",
    columns: columns!(),
    condition: None,
    filters: &[Filter {
        name: "object",
        kind: Kind::OneOf(&["account", "contact", "deal"]),
        matches: Match::Eq("object"),
    }],
    sorts: &[
        Sort {
            name: "key",
            column: "key",
            kind: SortKind::Text,
            nullable: false,
        },
        Sort {
            name: "createdAt",
            column: "created_at",
            kind: SortKind::Time,
            nullable: false,
        },
    ],
    default_sort: "key",
};

/// What a person changes of a definition; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct FieldEdit {
    /// Name for persons.
    pub label: Option<String>,
    /// Whether new records need a value.
    pub required: Option<bool>,
    /// Options to add.
    pub add_options: Vec<String>,
    /// The default; `Some(None)` removes.
    pub default: Option<Option<Value>>,
}

/// The definitions for a kind of records, by key.
pub(super) async fn definitions(
    tx: &mut Tx,
    scope: &OrgScope,
    object: Object,
) -> Result<BTreeMap<String, Definition>, CrmError> {
    let rows: Vec<Row> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM custom_fields t WHERE t.org_id = $1 AND t.object = $2"
    ))
    .bind(scope.uuid())
    .bind(object.name())
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter()
        .map(|row| Definition::try_from(row).map(|definition| (definition.key.clone(), definition)))
        .collect()
}

async fn find(tx: &mut Tx, scope: &OrgScope, id: Uuid, lock: bool) -> Result<Definition, CrmError> {
    let statement = if lock {
        concat!(
            "SELECT ",
            columns!(),
            " FROM custom_fields t WHERE t.org_id = $1 AND t.id = $2 FOR UPDATE"
        )
    } else {
        concat!(
            "SELECT ",
            columns!(),
            " FROM custom_fields t WHERE t.org_id = $1 AND t.id = $2"
        )
    };
    let row: Option<Row> = sqlx::query_as(statement)
        .bind(scope.uuid())
        .bind(id)
        .fetch_optional(&mut **tx)
        .await?;
    row.ok_or(CrmError::NotFound("custom field"))?.try_into()
}

async fn save(tx: &mut Tx, scope: &OrgScope, field: &Definition) -> Result<(), CrmError> {
    let done = sqlx::query(
        "INSERT INTO custom_fields (org_id, id, object, key, label, type, required, is_unique, pattern, options, \
         reference_object, default_value, created_at, updated_at, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
         ON CONFLICT (org_id, id) DO UPDATE SET label = excluded.label, required = excluded.required, \
         options = excluded.options, default_value = excluded.default_value, updated_at = excluded.updated_at, \
         version = excluded.version",
    )
    .bind(scope.uuid())
    .bind(field.id)
    .bind(field.object.name())
    .bind(&field.key)
    .bind(&field.label)
    .bind(field.kind.name())
    .bind(field.required)
    .bind(field.unique)
    .bind(&field.pattern)
    .bind(&field.options)
    .bind(field.reference.map(Object::name))
    .bind(field.default.clone().map(Json))
    .bind(field.created_at.to_sqlx())
    .bind(field.updated_at.to_sqlx())
    .bind(field.version)
    .execute(&mut **tx)
    .await;
    match done.map_err(::store::StoreError::from) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.class(), Class::Unique { .. }) => {
            Err(conflict("a field of this key exists already"))
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) fn conflict(detail: &str) -> CrmError {
    CrmError::Api(ApiError::new(ErrorCode::Conflict, detail))
}

impl Records {
    /// A page of definitions.
    ///
    /// # Errors
    /// A request that is not valid, or of the database.
    pub async fn list_fields(
        &self,
        scope: &OrgScope,
        request: &ListRequest<'_>,
    ) -> Result<Page<Definition>, CrmError> {
        self.page::<Row, Definition>(&SPEC, scope, "ListCustomFields", request)
            .await
    }

    /// One definition.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], or of the database.
    pub async fn field(&self, scope: &OrgScope, id: Uuid) -> Result<Definition, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let found = find(&mut tx, scope, id, false).await;
        tx.rollback().await;
        found
    }

    /// Makes a definition. `field` has an id and times of its own already.
    ///
    /// # Errors
    /// A conflict of keys, too many fields, or of the database.
    pub async fn create_field(&self, write: &Write, field: &Definition) -> Result<Definition, CrmError> {
        let now = self.now();
        let field = Definition {
            rule: Rule {
                id: self.ids.next(),
                ..field.rule.clone()
            },
            created_at: now,
            updated_at: now,
            version: 1,
            ..field.clone()
        };
        let field = &field;
        self.write(
            write,
            in_tx!(tx => {
                let count: i64 =
                    sqlx::query_scalar("SELECT count(*) FROM custom_fields WHERE org_id = $1 AND object = $2")
                        .bind(write.scope.uuid())
                        .bind(field.object.name())
                        .fetch_one(&mut **tx)
                        .await?;
                if count >= MAX_FIELDS {
                    return Err(conflict("a kind of records has at most 200 fields"));
                }
                save(tx, &write.scope, field).await?;
                Ok(field.clone())
            }),
        )
        .await
    }

    /// Changes a definition. What records hold stays valid: nothing is narrowed.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], [`CrmError::Invalid`], or of the database.
    pub async fn edit_field(
        &self,
        write: &Write,
        id: Uuid,
        edit: &FieldEdit,
        if_version: Option<i64>,
    ) -> Result<Definition, CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let before = find(tx, &write.scope, id, true).await?;
                check_version(before.version, if_version)?;
                let mut field = before.clone();
                if let Some(label) = &edit.label {
                    field.rule.label.clone_from(label);
                }
                if let Some(required) = edit.required {
                    field.rule.required = required;
                }
                for option in &edit.add_options {
                    if !field.options.contains(option) {
                        field.rule.options.push(option.clone());
                    }
                }
                if !edit.add_options.is_empty() && before.options.is_empty() {
                    let message = "a field without options takes no options afterwards";
                    return Err(CrmError::Invalid(vec![FieldError::new(
                        "/addOptions",
                        "not_allowed",
                        message,
                    )]));
                }
                if let Some(default) = &edit.default {
                    field.rule.default = default
                        .as_ref()
                        .map(|value| field.check(value))
                        .transpose()
                        .map_err(|problem| {
                            let pointer = format!("/defaultValue{}", problem.place);
                            CrmError::Invalid(vec![FieldError::new(pointer, problem.code, problem.message)])
                        })?;
                }
                if field == before {
                    return Ok(field);
                }
                field.updated_at = self.now();
                field.version += 1;
                save(tx, &write.scope, &field).await?;
                Ok(field)
            }),
        )
        .await
    }

    /// Deletes a definition that no record has a value of.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], a conflict when it is used, or of the database.
    pub async fn delete_field(
        &self,
        write: &Write,
        id: Uuid,
        if_version: Option<i64>,
    ) -> Result<(), CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let field = find(tx, &write.scope, id, true).await?;
                check_version(field.version, if_version)?;
                let used: bool = sqlx::query_scalar(
                    "SELECT EXISTS (SELECT FROM custom_values WHERE org_id = $1 AND field_id = $2)",
                )
                .bind(write.scope.uuid())
                .bind(id)
                .fetch_one(&mut **tx)
                .await?;
                if used {
                    return Err(conflict("records have values of this field; remove them first"));
                }
                sqlx::query("DELETE FROM custom_fields WHERE org_id = $1 AND id = $2")
                    .bind(write.scope.uuid())
                    .bind(id)
                    .execute(&mut **tx)
                    .await?;
                Ok(())
            }),
        )
        .await
    }
}
