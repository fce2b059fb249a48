//! Custom objects: making, changing, deleting and reading them.
//!
//! Contract: whoever writes a record holds the object's row shared, whoever changes its fields holds it alone. So every record
//! fits the fields that stand in the object at the same time.

use ::store::list::{ListRequest, ListSpec, Sort, SortKind};
use ::store::paging::{Cursor, Fingerprint, Page, PageRequest, invalid_cursor};
use ::store::{OrgScope, Tx};
use errors::{ApiError, ErrorCode, FieldError};
use serde_json::json;

use super::custom_fields::conflict;
use super::object_change::Work;
use super::object_rows::{Hold, ObjectRow, SchemaRow, find, object_columns, save, save_schema};
use super::{Records, Write, check_version, in_tx};
use crate::domain::objects::{
    Change, CustomObject, Field, MAX_OBJECTS, Plan, Schema, Target, Verdict, compare, gravest,
};
use crate::error::CrmError;

const SPEC: ListSpec = ListSpec {
    table: "objects",
    columns: object_columns!(),
    condition: None,
    filters: &[],
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

/// What a person changes of an object; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct ObjectEdit {
    /// Name for persons.
    pub label: Option<String>,
    /// What it is for; `Some(None)` removes.
    pub description: Option<Option<String>>,
    /// All fields anew; their ids are given here.
    pub fields: Option<Vec<Field>>,
    /// What to do with records that do not fit.
    pub plan: Plan,
}

/// What became of a change of fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The changes; of an object without records all compatible.
    pub changes: Vec<Change>,
    /// How many records were changed.
    pub records: i64,
}

impl Records {
    /// A page of objects.
    ///
    /// # Errors
    /// A request that is not valid, or of the database.
    pub async fn list_objects(
        &self,
        scope: &OrgScope,
        request: &ListRequest<'_>,
    ) -> Result<Page<CustomObject>, CrmError> {
        self.page::<ObjectRow, CustomObject>(&SPEC, scope, "ListObjects", request)
            .await
    }

    /// One object.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], or of the database.
    pub async fn object(&self, scope: &OrgScope, key: &str) -> Result<CustomObject, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let found = find(&mut tx, scope, key, Hold::Free).await;
        tx.rollback().await;
        found
    }

    /// Makes an object; ids and times are given here.
    ///
    /// # Errors
    /// A conflict of keys, too many objects, a reference to an object that is not there, or of the database.
    pub async fn create_object(&self, write: &Write, draft: &CustomObject) -> Result<CustomObject, CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let now = self.now();
                let mut object = CustomObject {
                    id: self.ids.next(),
                    schema_version: 1,
                    created_at: now,
                    updated_at: now,
                    version: 1,
                    ..draft.clone()
                };
                for field in &mut object.fields {
                    field.rule.id = self.ids.next();
                }
                let count: i64 = sqlx::query_scalar("SELECT count(*) FROM objects WHERE org_id = $1")
                    .bind(write.scope.uuid())
                    .fetch_one(&mut **tx)
                    .await?;
                if count >= MAX_OBJECTS {
                    return Err(conflict("an organization has at most 100 custom objects"));
                }
                save(tx, &write.scope, &object).await?;
                check_targets(tx, &write.scope, &object.fields).await?;
                save_schema(tx, &write.scope, &object, Verdict::Compatible.name(), &write.by).await?;
                Ok(object)
            }),
        )
        .await
    }

    /// Changes an object, if it still has version `if_version` (when given). A change of fields is judged first.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], a conflict when the change breaks something that the plan does not
    /// name, or of the database; nothing is changed then.
    pub async fn edit_object(
        &self,
        write: &Write,
        key: &str,
        edit: &ObjectEdit,
        if_version: Option<i64>,
    ) -> Result<(CustomObject, Judged), CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let before = find(tx, &write.scope, key, Hold::Alone).await?;
                check_version(before.version, if_version)?;
                self.edit_object_in(tx, write, &before, edit).await
            }),
        )
        .await
    }

    async fn edit_object_in(
        &self,
        tx: &mut Tx,
        write: &Write,
        before: &CustomObject,
        edit: &ObjectEdit,
    ) -> Result<(CustomObject, Judged), CrmError> {
        let scope = &write.scope;
        let mut object = before.clone();
        if let Some(label) = &edit.label {
            object.label.clone_from(label);
        }
        if let Some(description) = &edit.description {
            object.description.clone_from(description);
        }
        let mut judged = Judged {
            changes: Vec::new(),
            records: 0,
        };
        if let Some(fields) = &edit.fields {
            object.fields = self.with_ids(before, fields);
            if object.fields != before.fields {
                check_targets(tx, scope, &object.fields).await?;
                judged.changes = compare(&before.fields, &object.fields);
                let work = Work::new(before, &object, &edit.plan);
                if work.has_records(tx, scope).await? {
                    check_plan(&judged.changes, &edit.plan)?;
                    judged.records = work.run(tx, scope, self.now()).await?;
                } else {
                    for change in &mut judged.changes {
                        change.verdict = Verdict::Compatible;
                    }
                }
                object.schema_version += 1;
            }
        }
        if object == *before {
            return Ok((object, judged));
        }
        object.version += 1;
        object.updated_at = self.now();
        save(tx, scope, &object).await?;
        if object.schema_version != before.schema_version {
            let verdict = gravest(&judged.changes).name();
            save_schema(tx, scope, &object, verdict, &write.by).await?;
        }
        Ok((object, judged))
    }

    /// The fields with the ids of those that they were before. A field whose values mean something else now gets another id, and
    /// with it another index.
    fn with_ids(&self, before: &CustomObject, fields: &[Field]) -> Vec<Field> {
        let same = |new: &Field, old: &Field| {
            old.rule.kind == new.rule.kind && old.rule.unique == new.rule.unique && old.target == new.target
        };
        let with_id = |field: &Field| {
            let mut field = field.clone();
            let old = before.field(&field.rule.key).filter(|old| same(&field, old));
            field.rule.id = old.map_or_else(|| self.ids.next(), |old| old.rule.id);
            field
        };
        fields.iter().map(with_id).collect()
    }

    /// Deletes an object that has no records.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], a conflict when there are records or others refer to it, or of the
    /// database.
    pub async fn delete_object(
        &self,
        write: &Write,
        key: &str,
        if_version: Option<i64>,
    ) -> Result<(), CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let scope = &write.scope;
                let object = find(tx, scope, key, Hold::Alone).await?;
                check_version(object.version, if_version)?;
                if Work::new(&object, &object, &Plan::default()).has_records(tx, scope).await? {
                    return Err(conflict("the object has records; delete them first"));
                }
                let referring: Option<String> = sqlx::query_scalar(
                    "SELECT key FROM objects WHERE org_id = $1 AND id <> $2 AND fields @> $3 LIMIT 1",
                )
                .bind(scope.uuid())
                .bind(object.id)
                .bind(json!([{"target": key}]))
                .fetch_optional(&mut **tx)
                .await?;
                if let Some(other) = referring {
                    return Err(conflict(&format!("fields of {other} refer to it")));
                }
                sqlx::query("DELETE FROM objects WHERE org_id = $1 AND id = $2")
                    .bind(scope.uuid())
                    .bind(object.id)
                    .execute(&mut **tx)
                    .await?;
                Ok(())
            }),
        )
        .await
    }

    /// A page of the versions of an object's fields, newest first.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], a request that is not valid, or of the database.
    pub async fn list_schemas(
        &self,
        scope: &OrgScope,
        key: &str,
        limit: Option<i32>,
        cursor: Option<&str>,
    ) -> Result<Page<Schema>, CrmError> {
        let filters = [("object".to_owned(), key.to_owned())];
        let fingerprint = Fingerprint::new(scope.org(), "ListObjectSchemas", "-schemaVersion", &filters);
        let request = PageRequest::parse(limit, cursor, fingerprint)?;
        let before = match &request.after {
            None => i64::MAX,
            Some(Cursor(place)) => place
                .first()
                .and_then(serde_json::Value::as_i64)
                .ok_or_else(|| CrmError::Api(invalid_cursor()))?,
        };
        let object = self.object(scope, key).await?;
        let mut tx = self.db.begin(scope).await?;
        let rows: Vec<SchemaRow> = sqlx::query_as(
            "SELECT schema_version, fields, verdict, changed_by, created_at FROM object_schemas \
             WHERE org_id = $1 AND object_id = $2 AND schema_version < $3 ORDER BY schema_version DESC LIMIT $4",
        )
        .bind(scope.uuid())
        .bind(object.id)
        .bind(before)
        .bind(request.fetch_limit())
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let schemas: Vec<Schema> = rows.into_iter().map(Schema::from).collect();
        Ok(Page::of(schemas, &request, fingerprint, |last| {
            Cursor(vec![json!(last.version)])
        }))
    }
}

/// Custom objects that fields refer to must be there.
async fn check_targets(tx: &mut Tx, scope: &OrgScope, fields: &[Field]) -> Result<(), CrmError> {
    let mut problems = Vec::new();
    for (n, field) in fields.iter().enumerate() {
        let Some(Target::Custom(key)) = &field.target else {
            continue;
        };
        let known: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM objects WHERE org_id = $1 AND key = $2)")
                .bind(scope.uuid())
                .bind(key)
                .fetch_one(&mut **tx)
                .await?;
        if !known {
            let pointer = format!("/fields/{n}/referenceObject");
            problems.push(FieldError::new(pointer, "not_found", "there is no such object"));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(CrmError::Invalid(problems))
    }
}

/// Everything that breaks must be named by the plan.
fn check_plan(changes: &[Change], plan: &Plan) -> Result<(), CrmError> {
    let unplanned = changes
        .iter()
        .filter(|change| change.verdict == Verdict::Breaking && !plan.drop.contains(&change.field));
    let fields: Vec<FieldError> = unplanned
        .map(|change| {
            let message = format!(
                "{}: {}; name the field in plan.drop to do it",
                change.field, change.detail
            );
            FieldError::new("/plan/drop", change.what, message)
        })
        .collect();
    if fields.is_empty() {
        return Ok(());
    }
    let mut error = ApiError::new(
        ErrorCode::Conflict,
        "the change breaks what records or programs rely on",
    );
    error.fields = fields;
    Err(CrmError::Api(error))
}
