//! Records of custom objects: making, changing, deleting, reading and listing them.

use std::collections::BTreeMap;

use ::store::list::{Field as ListField, Filter, Kind, ListRequest, ListSpec, Match, Sort, SortKind};
use ::store::paging::Page;
use ::store::{OrgScope, Tx};
use errors::{ApiError, ErrorCode, FieldError};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::custom_lists::{self, sorted_table};
use super::object_rows::{Hold, RecordRow, find, record, record_columns, save_record};
use super::object_values::{check_references, index};
use super::{Did, Records, Tree, Write, check_version, converted, in_tx, search_rows};
use crate::domain::custom::Rule;
use crate::domain::objects::{CustomObject, Record, apply};
use crate::domain::search::{Document, Kind as Searched};
use crate::error::CrmError;

/// The filter that keeps to one object.
const OF_OBJECT: &str = "object#";

const RECORDS: ListSpec = ListSpec {
    table: "object_records",
    columns: record_columns!(),
    condition: None,
    filters: &[
        Filter {
            name: OF_OBJECT,
            kind: Kind::Uuid,
            matches: Match::Eq("object_id"),
        },
        custom_lists::RECORD_1,
        custom_lists::RECORD_2,
        custom_lists::RECORD_3,
        custom_lists::RECORD_4,
        custom_lists::SORT_FIELD,
    ],
    sorts: &[
        Sort {
            name: "createdAt",
            column: "created_at",
            kind: SortKind::Time,
            nullable: false,
        },
        Sort {
            name: "updatedAt",
            column: "updated_at",
            kind: SortKind::Time,
            nullable: false,
        },
    ],
    default_sort: "-createdAt",
};
const BY_FIELD: ListSpec = ListSpec {
    table: sorted_table!("object_records", "object_values"),
    sorts: &[custom_lists::SORT],
    ..RECORDS
};

/// What full filters may name beside the object's fields.
const FIELDS: &[ListField] = &[
    ListField {
        name: "createdBy",
        column: "t.created_by",
        kind: Kind::Text,
    },
    ListField {
        name: "createdAt",
        column: "t.created_at",
        kind: Kind::Time,
    },
    ListField {
        name: "updatedAt",
        column: "t.updated_at",
        kind: Kind::Time,
    },
];

impl Records {
    /// A page of an object's records.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], a request that is not valid, or of the database.
    pub async fn list_records(
        &self,
        scope: &OrgScope,
        object: &str,
        request: &ListRequest<'_>,
        tree: Tree<'_>,
    ) -> Result<Page<Record>, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let found = list(&mut tx, scope, object, request, tree).await;
        tx.rollback().await;
        found
    }

    /// One record.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], or of the database.
    pub async fn record(&self, scope: &OrgScope, object: &str, id: Uuid) -> Result<Record, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let found = match find(&mut tx, scope, object, Hold::Free).await {
            Ok(object) => record(&mut tx, scope, object.id, id, false).await,
            Err(error) => Err(error),
        };
        tx.rollback().await;
        found
    }

    /// Makes a record. With `matching`, the key of a unique field, the one that has the same value is changed instead.
    ///
    /// # Errors
    /// [`CrmError::NotFound`] of the object, [`CrmError::Invalid`], or of the database; nothing is stored then.
    pub async fn put_record(
        &self,
        write: &Write,
        object: &str,
        values: &Map<String, Value>,
        matching: Option<&str>,
    ) -> Result<(Record, Did), CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let object = find(tx, &write.scope, object, Hold::Shared).await?;
                if let Some(matching) = matching
                    && let Some(known) = known_by(tx, &write.scope, &object, values, matching).await?
                {
                    let before = record(tx, &write.scope, object.id, known, true).await?;
                    return self.change_record(tx, write, &object, &before, values).await;
                }
                let record = self.make_record(tx, write, &object, values).await?;
                Ok((record, Did::Created))
            }),
        )
        .await
    }

    async fn make_record(
        &self,
        tx: &mut Tx,
        write: &Write,
        object: &CustomObject,
        values: &Map<String, Value>,
    ) -> Result<Record, CrmError> {
        let after = apply(object, None, values).map_err(CrmError::Invalid)?;
        check_references(tx, &write.scope, &after.references).await?;
        let now = self.now();
        let record = Record {
            id: self.ids.next(),
            object: object.id,
            values: after.values,
            by: write.by.clone(),
            created_at: now,
            updated_at: now,
            version: 1,
        };
        save_record(tx, &write.scope, &record).await?;
        index(
            tx,
            &write.scope,
            &object.fields,
            record.id,
            (None, &record.values),
        )
        .await?;
        search_rows::save(tx, &write.scope, &document(object, &record)).await?;
        Ok(record)
    }

    /// Changes values of a record, if it still has version `if_version` (when given).
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], [`CrmError::Invalid`], or of the database.
    pub async fn edit_record(
        &self,
        write: &Write,
        object: &str,
        id: Uuid,
        values: &Map<String, Value>,
        if_version: Option<i64>,
    ) -> Result<Record, CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let object = find(tx, &write.scope, object, Hold::Shared).await?;
                let before = record(tx, &write.scope, object.id, id, true).await?;
                check_version(before.version, if_version)?;
                let (record, _) = self.change_record(tx, write, &object, &before, values).await?;
                Ok(record)
            }),
        )
        .await
    }

    async fn change_record(
        &self,
        tx: &mut Tx,
        write: &Write,
        object: &CustomObject,
        before: &Record,
        values: &Map<String, Value>,
    ) -> Result<(Record, Did), CrmError> {
        let after = apply(object, Some(&before.values), values).map_err(CrmError::Invalid)?;
        check_references(tx, &write.scope, &after.references).await?;
        if after.values == before.values {
            return Ok((before.clone(), Did::Noop));
        }
        let record = Record {
            values: after.values,
            updated_at: self.now(),
            version: before.version + 1,
            ..before.clone()
        };
        save_record(tx, &write.scope, &record).await?;
        let values = (Some(&before.values), &record.values);
        index(tx, &write.scope, &object.fields, record.id, values).await?;
        search_rows::save(tx, &write.scope, &document(object, &record)).await?;
        Ok((record, Did::Updated))
    }

    /// Deletes a record. What refers to it goes on naming it.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], or of the database.
    pub async fn delete_record(
        &self,
        write: &Write,
        object: &str,
        id: Uuid,
        if_version: Option<i64>,
    ) -> Result<(), CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let object = find(tx, &write.scope, object, Hold::Shared).await?;
                let record = record(tx, &write.scope, object.id, id, true).await?;
                check_version(record.version, if_version)?;
                search_rows::remove(tx, &write.scope, &[id]).await?;
                sqlx::query("DELETE FROM object_records WHERE org_id = $1 AND id = $2")
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

/// What search looks through of a record.
pub(super) fn document(object: &CustomObject, record: &Record) -> Document {
    let mut document = Document::new(Searched::Record, record.id, &object.title(record));
    document.object = Some(object.key.clone());
    document.with_values("", &record.values)
}

async fn list(
    tx: &mut Tx,
    scope: &OrgScope,
    object: &str,
    request: &ListRequest<'_>,
    tree: Tree<'_>,
) -> Result<Page<Record>, CrmError> {
    let object = find(tx, scope, object, Hold::Free).await?;
    let rules: BTreeMap<&str, &Rule> = object
        .fields
        .iter()
        .map(|field| (field.rule.key.as_str(), &field.rule))
        .collect();
    let rewritten = custom_lists::rewrite_by(request, "", &rules)?;
    let spec = if rewritten.by_custom { &BY_FIELD } else { &RECORDS };
    let mut request = rewritten.request();
    request
        .filters
        .push((OF_OBJECT.to_owned(), object.id.to_string()));
    let values = custom_lists::value_fields("", "object_values", &rules);
    let query = spec.prepare_values(scope, "ListRecords", &request, FIELDS, &values, tree)?;
    let page: Page<RecordRow> = query.fetch(tx).await?;
    converted(page)
}

/// The record that has the same value of the field `matching`; nobody else can take the value until the end of the transaction.
async fn known_by(
    tx: &mut Tx,
    scope: &OrgScope,
    object: &CustomObject,
    values: &Map<String, Value>,
    matching: &str,
) -> Result<Option<Uuid>, CrmError> {
    let rule = object
        .field(matching)
        .map(|field| &field.rule)
        .filter(|rule| rule.unique)
        .ok_or_else(|| {
            let message = "match must be the key of a unique field";
            CrmError::Invalid(vec![FieldError::new("/match", "unknown", message)])
        })?;
    let at = format!("/values/{matching}");
    let Some(value) = values.get(matching).filter(|value| !value.is_null()) else {
        let message = "what tells the record must be given";
        return Err(CrmError::Invalid(vec![FieldError::new(at, "required", message)]));
    };
    let value = rule.check(value).map_err(|problem| {
        let pointer = format!("{at}{}", problem.place);
        CrmError::Invalid(vec![FieldError::new(pointer, problem.code, problem.message)])
    })?;
    let Some(key) = rule.keys(&value).pop() else {
        return Ok(None);
    };
    super::lock_keys(tx, &[format!("crm.record {} {} {key}", scope.org(), rule.id)]).await?;
    let found: Vec<Uuid> = sqlx::query_scalar(
        "SELECT record_id FROM object_values WHERE org_id = $1 AND field_id = $2 AND key = $3 LIMIT 2",
    )
    .bind(scope.uuid())
    .bind(rule.id)
    .bind(key)
    .fetch_all(&mut **tx)
    .await?;
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        _ => Err(CrmError::Api(ApiError::new(
            ErrorCode::AmbiguousMatch,
            "several records have this value",
        ))),
    }
}
