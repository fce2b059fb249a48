//! Owners, tags and own fields of records: from what a person gave to what is stored.
//!
//! Contract: `record_tags` and `custom_values` say the same as the columns `tags` and `custom` of the record, because
//! both change in one transaction.

use std::collections::BTreeMap;

use ::store::{OrgScope, ToSqlx as _, Tx};
use errors::FieldError;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Records, custom_fields};
use crate::domain::custom::Definition;
use crate::domain::custom_values;
use crate::domain::extras::{Extras, ExtrasEdit, Object, tag_key};
use crate::error::CrmError;

/// What is to be stored.
#[derive(Debug)]
pub(super) struct Resolved {
    /// The record's new extras.
    pub(super) extras: Extras,
    definitions: BTreeMap<String, Definition>,
}

impl Records {
    /// What the record has after the change. Makes tags that are not there yet.
    pub(super) async fn resolve_extras(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        object: Object,
        held: Option<&Extras>,
        edit: &ExtrasEdit,
    ) -> Result<Resolved, CrmError> {
        let mut extras = held.cloned().unwrap_or_default();
        let mut definitions = BTreeMap::new();
        if held.is_none() || !edit.custom.is_empty() {
            definitions = custom_fields::definitions(tx, scope, object).await?;
            let after = custom_values::apply(&definitions, &extras.custom, &edit.custom, held.is_none())
                .map_err(CrmError::Invalid)?;
            check_references(tx, scope, &after.references).await?;
            extras.custom = after.values;
        }
        if let Some(owner) = edit.owner {
            extras.owner = owner;
        }
        if let Some(names) = &edit.tags {
            extras.tags = ensure_tags(tx, scope, names, self.now(), &*self.ids).await?;
        }
        Ok(Resolved { extras, definitions })
    }
}

/// Writes what filters, sorts and uniqueness go by. The record itself is written by the caller.
pub(super) async fn index(
    tx: &mut Tx,
    scope: &OrgScope,
    object: Object,
    record: Uuid,
    before: Option<&Extras>,
    resolved: &Resolved,
) -> Result<(), CrmError> {
    let after = &resolved.extras;
    let none = Extras::default();
    let before = before.unwrap_or(&none);
    if before.tags != after.tags {
        replace_tags(tx, scope, object, record, &after.tags).await?;
    }
    let changed: Vec<&Definition> = resolved
        .definitions
        .values()
        .filter(|definition| before.custom.get(&definition.key) != after.custom.get(&definition.key))
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let fields: Vec<Uuid> = changed.iter().map(|definition| definition.id).collect();
    sqlx::query("DELETE FROM custom_values WHERE org_id = $1 AND record_id = $2 AND field_id = ANY($3)")
        .bind(scope.uuid())
        .bind(record)
        .bind(fields)
        .execute(&mut **tx)
        .await?;
    for definition in changed {
        let Some(value) = after.custom.get(&definition.key) else {
            continue;
        };
        let done = sqlx::query(
            "INSERT INTO custom_values (org_id, field_id, record_id, key, is_unique) \
             SELECT $1, $2, $3, k, $5 FROM unnest($4::text[]) k ON CONFLICT DO NOTHING",
        )
        .bind(scope.uuid())
        .bind(definition.id)
        .bind(record)
        .bind(definition.keys(value))
        .bind(definition.unique)
        .execute(&mut **tx)
        .await?;
        if definition.unique && done.rows_affected() == 0 {
            let pointer = format!("/customFields/{}", definition.key);
            return Err(CrmError::Invalid(vec![FieldError::new(
                pointer,
                "not_unique",
                "another record has this value",
            )]));
        }
    }
    Ok(())
}

/// Removes what [`index`] wrote.
pub(super) async fn unindex(tx: &mut Tx, scope: &OrgScope, record: Uuid) -> Result<(), CrmError> {
    for statement in [
        "DELETE FROM record_tags WHERE org_id = $1 AND record_id = $2",
        "DELETE FROM custom_values WHERE org_id = $1 AND record_id = $2",
    ] {
        sqlx::query(statement)
            .bind(scope.uuid())
            .bind(record)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// The names as the tags bear them; tags that are not there are made.
pub(super) async fn ensure_tags(
    tx: &mut Tx,
    scope: &OrgScope,
    names: &[String],
    now: Timestamp,
    ids: &dyn ids::IdGen,
) -> Result<Vec<String>, CrmError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<String> = names.iter().map(|name| tag_key(name)).collect();
    let new_ids: Vec<Uuid> = names.iter().map(|_| ids.next()).collect();
    // Sorted, so that two that make the same tags wait for each other in one order.
    sqlx::query(
        "INSERT INTO tags (org_id, id, name, name_key, created_at, updated_at, version) \
         SELECT $1, n.id, n.name, n.key, $5, $5, 1 FROM unnest($2::uuid[], $3::text[], $4::text[]) n (id, name, key) \
         WHERE NOT EXISTS (SELECT FROM tags t WHERE t.org_id = $1 AND t.name_key = n.key) \
         ORDER BY n.key ON CONFLICT (org_id, name_key) DO NOTHING",
    )
    .bind(scope.uuid())
    .bind(new_ids)
    .bind(names)
    .bind(&keys)
    .bind(now.to_sqlx())
    .execute(&mut **tx)
    .await?;
    // Locked: a tag that is renamed or deleted at the same time waits until the record bears it.
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT name_key, name FROM tags WHERE org_id = $1 AND name_key = ANY($2) ORDER BY name_key FOR SHARE",
    )
    .bind(scope.uuid())
    .bind(&keys)
    .fetch_all(&mut **tx)
    .await?;
    let by_key: BTreeMap<String, String> = rows.into_iter().collect();
    Ok(keys.iter().filter_map(|key| by_key.get(key).cloned()).collect())
}

async fn replace_tags(
    tx: &mut Tx,
    scope: &OrgScope,
    object: Object,
    record: Uuid,
    names: &[String],
) -> Result<(), CrmError> {
    sqlx::query("DELETE FROM record_tags WHERE org_id = $1 AND record_id = $2")
        .bind(scope.uuid())
        .bind(record)
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "INSERT INTO record_tags (org_id, tag_id, object, record_id) \
         SELECT $1, t.id, $2, $3 FROM tags t WHERE t.org_id = $1 AND t.name_key = ANY($4)",
    )
    .bind(scope.uuid())
    .bind(object.name())
    .bind(record)
    .bind(names.iter().map(|name| tag_key(name)).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn check_references(
    tx: &mut Tx,
    scope: &OrgScope,
    references: &[(String, Object, Uuid)],
) -> Result<(), CrmError> {
    let mut problems = Vec::new();
    for (pointer, object, id) in references {
        if !exists(tx, scope, *object, *id).await? {
            let message = format!("there is no such {}", object.name());
            problems.push(FieldError::new(pointer, "not_found", message));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(CrmError::Invalid(problems))
    }
}

/// Whether the record is there for readers.
pub(super) async fn exists(
    tx: &mut Tx,
    scope: &OrgScope,
    object: Object,
    id: Uuid,
) -> Result<bool, CrmError> {
    let statement = match object {
        Object::Account => "SELECT EXISTS (SELECT FROM accounts WHERE org_id = $1 AND id = $2 AND recorded)",
        Object::Contact => "SELECT EXISTS (SELECT FROM contacts WHERE org_id = $1 AND id = $2 AND recorded)",
        Object::Deal => "SELECT EXISTS (SELECT FROM deals WHERE org_id = $1 AND id = $2)",
    };
    Ok(sqlx::query_scalar(statement)
        .bind(scope.uuid())
        .bind(id)
        .fetch_one(&mut **tx)
        .await?)
}

/// Writes anew what filters, sorts and uniqueness go by, after records became one. A unique value that another record
/// has meanwhile stays with that record's index.
pub(super) async fn reindex(
    tx: &mut Tx,
    scope: &OrgScope,
    object: Object,
    record: Uuid,
    extras: &Extras,
) -> Result<(), CrmError> {
    unindex(tx, scope, record).await?;
    replace_tags(tx, scope, object, record, &extras.tags).await?;
    if extras.custom.is_empty() {
        return Ok(());
    }
    for definition in custom_fields::definitions(tx, scope, object).await?.values() {
        let Some(value) = extras.custom.get(&definition.key) else {
            continue;
        };
        sqlx::query(
            "INSERT INTO custom_values (org_id, field_id, record_id, key, is_unique) \
             SELECT $1, $2, $3, k, $5 FROM unnest($4::text[]) k ON CONFLICT DO NOTHING",
        )
        .bind(scope.uuid())
        .bind(definition.id)
        .bind(record)
        .bind(definition.keys(value))
        .bind(definition.unique)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}
