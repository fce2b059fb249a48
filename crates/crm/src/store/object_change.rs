//! What a change of fields does to the records that are there.

use ::store::{OrgScope, ToSqlx as _, Tx};
use errors::{ApiError, ErrorCode, FieldError};
use jiff::Timestamp;
use serde_json::{Map, Value};
use sqlx::types::Json;
use uuid::Uuid;

use super::object_records::document;
use super::object_rows::{RecordRow, record_columns};
use super::{object_values, search_rows};
use crate::domain::objects::{CustomObject, Field, Plan, Record, fit};
use crate::error::CrmError;

/// Records of one round.
const PIECE: i64 = 1_000;
/// Most records that are looked at by one change: it is one transaction, within the time of a call.
const MAX_RECORDS: i64 = 100_000;
/// Most misfits told.
const MAX_TOLD: usize = 20;

/// A change and the records it is for.
pub(super) struct Work<'a> {
    before: &'a CustomObject,
    after: &'a CustomObject,
    plan: &'a Plan,
}

impl<'a> Work<'a> {
    pub(super) fn new(before: &'a CustomObject, after: &'a CustomObject, plan: &'a Plan) -> Self {
        Self { before, after, plan }
    }

    /// Whether there are records at all.
    pub(super) async fn has_records(&self, tx: &mut Tx, scope: &OrgScope) -> Result<bool, CrmError> {
        let sql = "SELECT EXISTS (SELECT FROM object_records WHERE org_id = $1 AND object_id = $2)";
        Ok(sqlx::query_scalar(sql)
            .bind(scope.uuid())
            .bind(self.before.id)
            .fetch_one(&mut **tx)
            .await?)
    }

    /// Makes every record fit; answers how many changed. The object's row is locked: nobody writes records.
    pub(super) async fn run(&self, tx: &mut Tx, scope: &OrgScope, now: Timestamp) -> Result<i64, CrmError> {
        self.check_backfill()?;
        if !self.touches_values() {
            return Ok(0);
        }
        self.check_size(tx, scope).await?;
        let anew = self.indexed_anew();
        self.drop_index(tx, scope).await?;
        let (mut after, mut changed, mut misfits) = (Uuid::nil(), 0, Vec::new());
        loop {
            let rows = self.piece(tx, scope, after).await?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            let mut held = Vec::with_capacity(rows.len());
            let mut written = Vec::new();
            for record in rows {
                match fit(
                    &self.after.fields,
                    &record.values,
                    &self.plan.drop,
                    &self.plan.backfill,
                ) {
                    Ok(values) => {
                        if values != record.values {
                            written.push((record.clone(), values.clone()));
                        }
                        held.push((record.id, values));
                    }
                    Err(problems) => {
                        misfits.extend(problems.into_iter().map(|(key, code)| (record.id, key, code)))
                    }
                }
            }
            if misfits.len() >= MAX_TOLD {
                break;
            }
            changed += i64::try_from(written.len()).unwrap_or_default();
            self.save(tx, scope, written, now).await?;
            for field in &anew {
                let taken = object_values::rewrite(tx, scope, field, &held).await?;
                misfits.extend(
                    taken
                        .into_iter()
                        .map(|id| (id, field.rule.key.clone(), "not_unique")),
                );
            }
        }
        if misfits.is_empty() {
            Ok(changed)
        } else {
            Err(refused(&misfits))
        }
    }

    /// Values of the backfill must fit the new fields.
    fn check_backfill(&self) -> Result<(), CrmError> {
        let mut problems = Vec::new();
        for (key, value) in &self.plan.backfill {
            let at = format!("/plan/backfill/{}", key.replace('~', "~0").replace('/', "~1"));
            match self.after.field(key) {
                None => problems.push(FieldError::new(at, "unknown_field", "there is no such field")),
                Some(field) => {
                    if let Err(problem) = field.rule.check(value) {
                        problems.push(FieldError::new(
                            format!("{at}{}", problem.place),
                            problem.code,
                            problem.message,
                        ));
                    }
                }
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(CrmError::Invalid(problems))
        }
    }

    /// Whether records can have other values, or another index, under the new fields: not when only names and defaults differ, or
    /// fields that nobody needs were added.
    fn touches_values(&self) -> bool {
        let plain = |fields: &[Field]| -> Vec<Field> {
            let mut fields = fields.to_vec();
            for field in &mut fields {
                field.rule.label.clear();
                if !field.rule.required {
                    field.rule.default = None;
                }
            }
            fields.sort_by(|a, b| a.rule.key.cmp(&b.rule.key));
            fields
        };
        let before = plain(&self.before.fields);
        let added = |field: &Field| self.before.field(&field.rule.key).is_none() && !field.rule.required;
        let mut after = plain(&self.after.fields);
        after.retain(|field| !added(field));
        before != after
    }

    async fn check_size(&self, tx: &mut Tx, scope: &OrgScope) -> Result<(), CrmError> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (SELECT FROM object_records WHERE org_id = $1 AND object_id = $2 LIMIT $3) counted",
        )
        .bind(scope.uuid())
        .bind(self.before.id)
        .bind(MAX_RECORDS + 1)
        .fetch_one(&mut **tx)
        .await?;
        if count <= MAX_RECORDS {
            return Ok(());
        }
        let message = "a change that has to look at records is possible for up to 100,000 of them; add another field instead";
        Err(CrmError::Api(ApiError::new(ErrorCode::TooLarge, message)))
    }

    /// Fields whose index is written anew: those with another id than before, those that can be filled in, and those that can lose
    /// values.
    fn indexed_anew(&self) -> Vec<&'a Field> {
        let stays = |field: &Field| {
            let old = self.before.field(&field.rule.key);
            old.is_some_and(|old| old.rule.id == field.rule.id)
                && !self.plan.drop.contains(&field.rule.key)
                && !(field.rule.required && old.is_some_and(|old| !old.rule.required))
        };
        self.after.fields.iter().filter(|field| !stays(field)).collect()
    }

    /// Removes the rows of fields that are no more, and of those that are written anew.
    async fn drop_index(&self, tx: &mut Tx, scope: &OrgScope) -> Result<(), CrmError> {
        let anew = self.indexed_anew();
        let kept = |id: Uuid| {
            let stays = self.after.fields.iter().any(|field| field.rule.id == id);
            stays && !anew.iter().any(|field| field.rule.id == id)
        };
        let gone: Vec<Uuid> = self
            .before
            .fields
            .iter()
            .map(|field| field.rule.id)
            .filter(|id| !kept(*id))
            .collect();
        sqlx::query("DELETE FROM object_values WHERE org_id = $1 AND field_id = ANY($2)")
            .bind(scope.uuid())
            .bind(gone)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    async fn piece(&self, tx: &mut Tx, scope: &OrgScope, after: Uuid) -> Result<Vec<Record>, CrmError> {
        let sql = concat!(
            "SELECT ",
            record_columns!(),
            " FROM object_records t WHERE t.org_id = $1 AND t.object_id = $2 AND t.id > $3 ORDER BY t.id LIMIT $4"
        );
        let rows: Vec<RecordRow> = sqlx::query_as(sql)
            .bind(scope.uuid())
            .bind(self.before.id)
            .bind(after)
            .bind(PIECE)
            .fetch_all(&mut **tx)
            .await?;
        rows.into_iter().map(Record::try_from).collect()
    }

    async fn save(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        changed: Vec<(Record, Map<String, Value>)>,
        now: Timestamp,
    ) -> Result<(), CrmError> {
        let (mut ids, mut data, mut documents) = (Vec::new(), Vec::new(), Vec::new());
        for (record, values) in changed {
            let record = Record { values, ..record };
            documents.push(document(self.after, &record));
            ids.push(record.id);
            data.push(Json(record.values));
        }
        sqlx::query(
            "UPDATE object_records t SET data = c.data, updated_at = $4, version = t.version + 1 \
             FROM unnest($2::uuid[], $3::jsonb[]) c (id, data) WHERE t.org_id = $1 AND t.id = c.id",
        )
        .bind(scope.uuid())
        .bind(ids)
        .bind(data)
        .bind(now.to_sqlx())
        .execute(&mut **tx)
        .await?;
        search_rows::save_many(tx, scope, &documents, false).await
    }
}

/// The first records that do not fit.
fn refused(misfits: &[(Uuid, String, &'static str)]) -> CrmError {
    let mut error = ApiError::new(ErrorCode::Conflict, "records do not fit the new fields");
    error.fields = misfits
        .iter()
        .take(MAX_TOLD)
        .map(|(record, key, code)| {
            let (pointer, hint) = match *code {
                "required" => (
                    format!("/plan/backfill/{key}"),
                    "give a value for it in plan.backfill",
                ),
                "not_unique" => ("/fields".to_owned(), "another record has the same value"),
                _ => (
                    "/plan/drop".to_owned(),
                    "name the field in plan.drop to remove such values",
                ),
            };
            FieldError::new(pointer, *code, format!("{key} of record {record}: {hint}"))
        })
        .collect();
    CrmError::Api(error)
}
