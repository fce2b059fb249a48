//! What all transactions of an import have in common: the turn, what was done before, tags, references, unique values, the result.

use std::collections::{BTreeMap, HashMap, HashSet};

use ::store::{OrgScope, Tx};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::import_turns::Turn;
use super::{Records, extras};
use crate::domain::custom::{Definition, Type};
use crate::domain::custom_values;
use crate::domain::extras::{Extras, ExtrasEdit, MAX_TAGS, Object, tag_key};
use crate::domain::transfer::result::{Problem, RowResult, counts};
use crate::domain::transfer::rows::{AccountRef, RowReader};
use crate::error::CrmError;

/// One transaction's part of an import.
#[derive(Debug, Clone)]
pub struct Lane<'a> {
    /// The turn; absent in a preview, which stores nothing.
    pub turn: Option<&'a Turn>,
    /// The organization.
    pub scope: &'a OrgScope,
    /// The import.
    pub import: Uuid,
    /// The chunk.
    pub chunk: i32,
    /// Which of the chunk's transactions.
    pub lane: i16,
    /// How rows are read.
    pub reader: &'a RowReader,
    /// Accounts that rows name.
    pub accounts: &'a Accounts,
}

/// Accounts that rows name, with what they turned out to be.
pub type Accounts = HashMap<AccountRef, Result<Uuid, Problem>>;

/// Tags and references that rows of a lane name.
#[derive(Debug, Default)]
pub(super) struct Around {
    tags: HashMap<String, String>,
    pub(super) made_tags: Vec<Uuid>,
    references: HashSet<(Object, Uuid)>,
    unique: HashMap<(Uuid, String), Uuid>,
}

impl Lane<'_> {
    /// Who writes, for histories.
    pub(super) fn by(&self) -> String {
        format!("import:{}", self.import)
    }

    /// The account of a row.
    pub(super) fn account(
        &self,
        named: Option<&(AccountRef, &'static str)>,
    ) -> Result<Option<Uuid>, Problem> {
        let Some((account, field)) = named else {
            return Ok(None);
        };
        match self.accounts.get(account) {
            Some(Ok(id)) => Ok(Some(*id)),
            Some(Err(problem)) => Err(Problem {
                field: (*field).to_owned(),
                ..problem.clone()
            }),
            None => Err(Problem::new(field, "not_found", "there is no such account")),
        }
    }

    /// Takes the turn for this transaction. `None`: the turn is over; `Some(false)`: it was done before.
    pub(super) async fn begin(&self, tx: &mut Tx) -> Result<Option<bool>, CrmError> {
        let Some(turn) = self.turn else {
            return Ok(Some(true));
        };
        if !turn.hold(tx).await? {
            return Ok(None);
        }
        let done: Option<i32> = sqlx::query_scalar(
            "SELECT 1 FROM import_results WHERE org_id = $1 AND import_id = $2 AND chunk = $3 AND lane = $4",
        )
        .bind(self.scope.uuid())
        .bind(self.import)
        .bind(self.chunk)
        .bind(self.lane)
        .fetch_optional(&mut **tx)
        .await?;
        Ok(Some(done.is_none()))
    }

    /// Keeps what became of the rows: the transaction is done then.
    pub(super) async fn end(
        &self,
        tx: &mut Tx,
        results: &[RowResult],
        made_tags: &[Uuid],
    ) -> Result<(), CrmError> {
        let content = serde_json::to_vec(results).map_err(|error| CrmError::Corrupt(error.to_string()))?;
        let content =
            contracts::codec::compress(&content).map_err(|error| CrmError::Corrupt(error.to_string()))?;
        sqlx::query(
            "INSERT INTO import_results (org_id, import_id, chunk, lane, counts, content, made_tags) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(self.scope.uuid())
        .bind(self.import)
        .bind(self.chunk)
        .bind(self.lane)
        .bind(counts(results))
        .bind(content)
        .bind(made_tags)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

impl Records {
    /// Looks up, and makes, what the rows need around their records.
    pub(super) async fn around(
        &self,
        tx: &mut Tx,
        lane: &Lane<'_>,
        edits: &[&ExtrasEdit],
    ) -> Result<Around, CrmError> {
        let mut around = Around::default();
        let names: BTreeMap<String, String> = edits
            .iter()
            .flat_map(|edit| edit.tags.iter().flatten())
            .map(|name| (tag_key(name), name.clone()))
            .collect();
        if !names.is_empty() {
            self.tags_around(tx, lane.scope, names, &mut around).await?;
        }
        let own: Vec<&Definition> = lane.reader.own().values().collect();
        let value = |edit: &&ExtrasEdit, key: &str| edit.custom.get(key).cloned();
        for field in own.iter().filter(|field| field.kind == Type::Reference) {
            let Some(object) = field.reference else { continue };
            let ids = edits.iter().filter_map(|edit| value(edit, &field.key));
            let ids: Vec<Uuid> = ids.filter_map(|id| id.as_str()?.parse().ok()).collect();
            let known = existing(tx, lane.scope, object, &ids).await?;
            around.references.extend(known.into_iter().map(|id| (object, id)));
        }
        for field in own.iter().filter(|field| field.unique) {
            let values = edits.iter().filter_map(|edit| value(edit, &field.key));
            let keys = values.filter_map(|value| field.check(&value).ok());
            let keys: Vec<String> = keys.flat_map(|value| field.keys(&value)).collect();
            let rows: Vec<(String, Uuid)> = sqlx::query_as(
                "SELECT key, record_id FROM custom_values WHERE org_id = $1 AND field_id = $2 AND key = ANY($3)",
            )
            .bind(lane.scope.uuid())
            .bind(field.id)
            .bind(keys)
            .fetch_all(&mut **tx)
            .await?;
            around
                .unique
                .extend(rows.into_iter().map(|(key, record)| ((field.id, key), record)));
        }
        Ok(around)
    }

    async fn tags_around(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        names: BTreeMap<String, String>,
        around: &mut Around,
    ) -> Result<(), CrmError> {
        let keys: Vec<String> = names.keys().cloned().collect();
        let known: Vec<String> =
            sqlx::query_scalar("SELECT name_key FROM tags WHERE org_id = $1 AND name_key = ANY($2)")
                .bind(scope.uuid())
                .bind(&keys)
                .fetch_all(&mut **tx)
                .await?;
        let names: Vec<String> = names.into_values().collect();
        let shown = extras::ensure_tags(tx, scope, &names, self.now(), &*self.ids).await?;
        around.tags = shown.into_iter().map(|name| (tag_key(&name), name)).collect();
        let made: Vec<&String> = keys.iter().filter(|key| !known.contains(key)).collect();
        if !made.is_empty() {
            around.made_tags =
                sqlx::query_scalar("SELECT id FROM tags WHERE org_id = $1 AND name_key = ANY($2)")
                    .bind(scope.uuid())
                    .bind(made)
                    .fetch_all(&mut **tx)
                    .await?;
        }
        Ok(())
    }
}

impl Around {
    /// What a record has after the row: tags are added to those it has.
    pub(super) fn extras(
        &mut self,
        own: &BTreeMap<String, Definition>,
        record: Uuid,
        held: Option<&Extras>,
        edit: &ExtrasEdit,
    ) -> Result<Extras, Vec<Problem>> {
        let none = Map::new();
        let values = held.map_or(&none, |held| &held.custom);
        let after = custom_values::apply(own, values, &edit.custom, held.is_none());
        let after = after.map_err(|fields| fields.into_iter().map(Problem::from).collect::<Vec<_>>())?;
        let mut problems = Vec::new();
        for (pointer, object, id) in &after.references {
            if !self.references.contains(&(*object, *id)) {
                let field = pointer.replacen("/customFields/", "custom.", 1);
                let message = format!("there is no such {}", object.name());
                problems.push(Problem::new(&field, "not_found", message));
            }
        }
        self.check_unique(own, record, values, &after.values, &mut problems);
        let mut extras = held.cloned().unwrap_or_default();
        for name in edit.tags.iter().flatten() {
            let key = tag_key(name);
            let shown = self.tags.get(&key).unwrap_or(name);
            if extras.tags.iter().all(|known| tag_key(known) != key) {
                extras.tags.push(shown.clone());
            }
        }
        if extras.tags.len() > MAX_TAGS {
            let message = format!("a record has at most {MAX_TAGS} tags");
            problems.push(Problem::new("tags", "too_many", message));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        self.take_unique(own, record, &after.values);
        extras.custom = after.values;
        if let Some(owner) = edit.owner {
            extras.owner = owner;
        }
        Ok(extras)
    }

    fn check_unique(
        &self,
        own: &BTreeMap<String, Definition>,
        record: Uuid,
        before: &Map<String, Value>,
        after: &Map<String, Value>,
        problems: &mut Vec<Problem>,
    ) {
        for field in own.values().filter(|field| field.unique) {
            let Some(value) = after.get(&field.key) else {
                continue;
            };
            if before.get(&field.key) == Some(value) {
                continue;
            }
            let taken = field.keys(value).into_iter().any(|key| {
                self.unique
                    .get(&(field.id, key))
                    .is_some_and(|holder| *holder != record)
            });
            if taken {
                let name = format!("custom.{}", field.key);
                problems.push(Problem::new(&name, "not_unique", "another record has this value"));
            }
        }
    }

    fn take_unique(&mut self, own: &BTreeMap<String, Definition>, record: Uuid, after: &Map<String, Value>) {
        for field in own.values().filter(|field| field.unique) {
            for key in after
                .get(&field.key)
                .map(|value| field.keys(value))
                .unwrap_or_default()
            {
                self.unique.insert((field.id, key), record);
            }
        }
    }
}

/// Which of these records readers see.
pub(super) async fn existing(
    tx: &mut Tx,
    scope: &OrgScope,
    object: Object,
    ids: &[Uuid],
) -> Result<Vec<Uuid>, CrmError> {
    let statement = match object {
        Object::Account => "SELECT id FROM accounts WHERE org_id = $1 AND id = ANY($2) AND recorded",
        Object::Contact => "SELECT id FROM contacts WHERE org_id = $1 AND id = ANY($2) AND recorded",
        Object::Deal => "SELECT id FROM deals WHERE org_id = $1 AND id = ANY($2)",
    };
    Ok(sqlx::query_scalar(statement)
        .bind(scope.uuid())
        .bind(ids)
        .fetch_all(&mut **tx)
        .await?)
}

/// Rows of `record_tags` and `custom_values` of many records.
#[derive(Default)]
struct IndexRows {
    old_tags: Vec<Uuid>,
    tag_of: Vec<Uuid>,
    tag_keys: Vec<String>,
    old_values: Vec<Uuid>,
    fields: Vec<Uuid>,
    values_of: Vec<Uuid>,
    keys: Vec<String>,
    unique: Vec<bool>,
}

impl IndexRows {
    fn add(&mut self, own: &BTreeMap<String, Definition>, id: Uuid, before: &Extras, after: &Extras) {
        if before.tags != after.tags {
            if !before.tags.is_empty() {
                self.old_tags.push(id);
            }
            self.tag_of.extend(after.tags.iter().map(|_| id));
            self.tag_keys.extend(after.tags.iter().map(|name| tag_key(name)));
        }
        if before.custom == after.custom {
            return;
        }
        if !before.custom.is_empty() {
            self.old_values.push(id);
        }
        for field in own.values() {
            let keys = after.custom.get(&field.key).map(|value| field.keys(value));
            for key in keys.unwrap_or_default() {
                self.fields.push(field.id);
                self.values_of.push(id);
                self.keys.push(key);
                self.unique.push(field.unique);
            }
        }
    }
}

/// Writes what filters, sorts and uniqueness go by, of many records at once. `before` is what a record had, absent when it is new.
pub(super) async fn index_many(
    tx: &mut Tx,
    scope: &OrgScope,
    object: Object,
    own: &BTreeMap<String, Definition>,
    records: &[(Uuid, Option<&Extras>, &Extras)],
) -> Result<(), CrmError> {
    let none = Extras::default();
    let mut rows = IndexRows::default();
    for (id, before, after) in records {
        rows.add(own, *id, before.unwrap_or(&none), after);
    }
    for (statement, ids) in [
        (
            "DELETE FROM record_tags WHERE org_id = $1 AND record_id = ANY($2)",
            rows.old_tags,
        ),
        (
            "DELETE FROM custom_values WHERE org_id = $1 AND record_id = ANY($2)",
            rows.old_values,
        ),
    ] {
        if !ids.is_empty() {
            sqlx::query(statement)
                .bind(scope.uuid())
                .bind(ids)
                .execute(&mut **tx)
                .await?;
        }
    }
    if !rows.tag_of.is_empty() {
        sqlx::query(
            "INSERT INTO record_tags (org_id, tag_id, object, record_id) SELECT $1, t.id, $2, n.record \
             FROM unnest($3::uuid[], $4::text[]) n (record, key) JOIN tags t ON t.org_id = $1 AND t.name_key = n.key",
        )
        .bind(scope.uuid())
        .bind(object.name())
        .bind(rows.tag_of)
        .bind(rows.tag_keys)
        .execute(&mut **tx)
        .await?;
    }
    if !rows.fields.is_empty() {
        sqlx::query(
            "INSERT INTO custom_values (org_id, field_id, record_id, key, is_unique) SELECT $1, n.* \
             FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::boolean[]) n",
        )
        .bind(scope.uuid())
        .bind(rows.fields)
        .bind(rows.values_of)
        .bind(rows.keys)
        .bind(rows.unique)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}
