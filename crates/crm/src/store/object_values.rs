//! `object_values`: what records of custom objects are filtered, sorted and unique by.
//!
//! Contract: it says the same as the values in the records, because both change in one transaction. A unique value has one
//! owner by a unique index, whoever writes at the same time.

use ::store::{OrgScope, Tx};
use errors::FieldError;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::extras;
use crate::domain::objects::{Field, Target};
use crate::error::CrmError;

/// Rows to write.
#[derive(Debug, Default)]
struct Rows {
    fields: Vec<Uuid>,
    records: Vec<Uuid>,
    keys: Vec<String>,
    unique: Vec<bool>,
}

impl Rows {
    fn add(&mut self, field: &Field, record: Uuid, value: &Value) {
        for key in field.rule.keys(value) {
            self.fields.push(field.rule.id);
            self.records.push(record);
            self.keys.push(key);
            self.unique.push(field.rule.unique);
        }
    }

    /// Writes them; answers which of the unique ones were taken: field and record.
    async fn write(self, tx: &mut Tx, scope: &OrgScope) -> Result<Vec<(Uuid, Uuid)>, CrmError> {
        if self.fields.is_empty() {
            return Ok(Vec::new());
        }
        // Sorted, so that two that want the same values wait for each other in one order.
        let written: Vec<(Uuid, Uuid)> = sqlx::query_as(
            "INSERT INTO object_values (org_id, field_id, record_id, key, is_unique) \
             SELECT $1, v.* FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::boolean[]) v (f, r, k, u) \
             ORDER BY v.f, v.k COLLATE \"C\" ON CONFLICT DO NOTHING RETURNING field_id, record_id",
        )
        .bind(scope.uuid())
        .bind(&self.fields)
        .bind(&self.records)
        .bind(&self.keys)
        .bind(&self.unique)
        .fetch_all(&mut **tx)
        .await?;
        let written: std::collections::HashSet<(Uuid, Uuid)> = written.into_iter().collect();
        let wanted = self.fields.into_iter().zip(self.records).zip(self.unique);
        Ok(wanted
            .filter(|(row, unique)| *unique && !written.contains(row))
            .map(|(row, _)| row)
            .collect())
    }
}

/// Writes what changed between the values before and after.
pub(super) async fn index(
    tx: &mut Tx,
    scope: &OrgScope,
    fields: &[Field],
    record: Uuid,
    (before, after): (Option<&Map<String, Value>>, &Map<String, Value>),
) -> Result<(), CrmError> {
    let old = |key: &str| before.and_then(|values| values.get(key));
    let changed: Vec<&Field> = fields
        .iter()
        .filter(|field| old(&field.rule.key) != after.get(&field.rule.key))
        .collect();
    if changed.iter().any(|field| old(&field.rule.key).is_some()) {
        let ids: Vec<Uuid> = changed.iter().map(|field| field.rule.id).collect();
        sqlx::query("DELETE FROM object_values WHERE org_id = $1 AND record_id = $2 AND field_id = ANY($3)")
            .bind(scope.uuid())
            .bind(record)
            .bind(ids)
            .execute(&mut **tx)
            .await?;
    }
    let mut rows = Rows::default();
    for field in &changed {
        if let Some(value) = after.get(&field.rule.key) {
            rows.add(field, record, value);
        }
    }
    let taken = rows.write(tx, scope).await?;
    let problems: Vec<FieldError> = changed
        .iter()
        .filter(|field| taken.contains(&(field.rule.id, record)))
        .map(|field| {
            let pointer = format!("/values/{}", field.rule.key);
            FieldError::new(pointer, "not_unique", "another record has this value")
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(CrmError::Invalid(problems))
    }
}

/// Writes all values of one field anew, for the records given; answers those whose unique value is taken.
pub(super) async fn rewrite(
    tx: &mut Tx,
    scope: &OrgScope,
    field: &Field,
    records: &[(Uuid, Map<String, Value>)],
) -> Result<Vec<Uuid>, CrmError> {
    let mut rows = Rows::default();
    for (record, values) in records {
        if let Some(value) = values.get(&field.rule.key) {
            rows.add(field, *record, value);
        }
    }
    let taken = rows.write(tx, scope).await?;
    Ok(taken.into_iter().map(|(_, record)| record).collect())
}

/// Refuses references to what is not there.
pub(super) async fn check_references(
    tx: &mut Tx,
    scope: &OrgScope,
    references: &[(String, Target, Uuid)],
) -> Result<(), CrmError> {
    let mut problems = Vec::new();
    for (pointer, target, id) in references {
        let (known, name) = match target {
            Target::Known(object) => (extras::exists(tx, scope, *object, *id).await?, object.name()),
            Target::Custom(key) => {
                let known: bool = sqlx::query_scalar(
                    "SELECT EXISTS (SELECT FROM object_records r JOIN objects o ON o.org_id = r.org_id AND o.id = r.object_id \
                     WHERE r.org_id = $1 AND r.id = $2 AND o.key = $3)",
                )
                .bind(scope.uuid())
                .bind(id)
                .bind(key)
                .fetch_one(&mut **tx)
                .await?;
                (known, key.as_str())
            }
        };
        if !known {
            let message = format!("there is no such {name}");
            problems.push(FieldError::new(pointer, "not_found", message));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(CrmError::Invalid(problems))
    }
}
