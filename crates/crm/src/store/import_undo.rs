//! Taking an import back: what it made goes, what it changed gets its earlier values, and what was changed since stays and is told.
//!
//! Contract: lanes are undone from the last to the first, and the rows of a lane backwards, so every row finds what it left, unless
//! somebody else changed it. A contact or account that goes keeps its id and its address, unseen, so that what identity-resolver knows
//! of it stays right.

use std::collections::{BTreeMap, HashMap, HashSet};

use ::store::{OrgScope, Tx, retry};
use serde_json::Value;
use uuid::Uuid;

use super::contact_bulk::reason_of;
use super::import_contacts::Held;
use super::import_files::unpacked;
use super::import_lane::Lane;
use super::import_turns::Turn;
use super::{Records, contact_rows};
use crate::domain::Change;
use crate::domain::contact::{Contact, ContactField};
use crate::domain::extras::Object;
use crate::domain::transfer::mapping::{Mapping, Options};
use crate::domain::transfer::result::{RowResult, UndoResult};
use crate::domain::transfer::rows::RowReader;
use crate::domain::transfer::snapshot::{self, Snapshot};
use crate::error::CrmError;

/// Stands for the whole record among the fields that were kept.
const ALL: &str = "*";

/// What the undo of a row does to its record.
pub(super) enum Reversal {
    /// Nothing: the row did nothing, or it is taken back already.
    Nothing,
    /// The record goes.
    Forget,
    /// Fields get these values; others stay.
    Back(Snapshot, Vec<String>),
    /// Everything stays.
    Keep,
}

/// What to do about a row's record. `pristine` tells whether nobody else uses it.
pub(super) fn reversal(result: &RowResult, now: &Snapshot, pristine: bool) -> Reversal {
    if let Some(mark) = result.mark {
        return if pristine && snapshot::mark(now) == mark {
            Reversal::Forget
        } else {
            Reversal::Keep
        };
    }
    if result.changes.is_empty() {
        return Reversal::Nothing;
    }
    let (back, kept) = snapshot::reversal(now, &result.changes);
    Reversal::Back(back, kept)
}

pub(super) fn kept_all(row: i64) -> UndoResult {
    UndoResult {
        row,
        kept: vec![ALL.to_owned()],
    }
}

impl Records {
    /// The transactions of a chunk, the last first.
    ///
    /// # Errors
    /// Of the database.
    pub async fn lanes_of(&self, scope: &OrgScope, import: Uuid, chunk: i32) -> Result<Vec<i16>, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let lanes = sqlx::query_scalar(
            "SELECT lane FROM import_results WHERE org_id = $1 AND import_id = $2 AND chunk = $3 ORDER BY lane DESC",
        )
        .bind(scope.uuid())
        .bind(import)
        .bind(chunk)
        .fetch_all(&mut *tx)
        .await?;
        tx.rollback().await;
        Ok(lanes)
    }

    /// Takes one transaction of the import back. `None` when the turn is over.
    ///
    /// # Errors
    /// Of the database; nothing is stored then.
    pub async fn undo_lane(
        &self,
        turn: &Turn,
        object: Object,
        chunk: i32,
        lane: i16,
    ) -> Result<Option<()>, CrmError> {
        retry(|| self.undo_lane_once(turn, object, chunk, lane)).await
    }

    async fn undo_lane_once(
        &self,
        turn: &Turn,
        object: Object,
        chunk: i32,
        lane: i16,
    ) -> Result<Option<()>, CrmError> {
        let mut tx = self.db.begin(&turn.scope).await?;
        let done = async {
            if !turn.hold(&mut tx).await? {
                return Ok(None);
            }
            let content: Option<Vec<u8>> = sqlx::query_scalar(
                "SELECT content FROM import_results WHERE org_id = $1 AND import_id = $2 AND chunk = $3 AND lane = $4 \
                 AND undo_content IS NULL",
            )
            .bind(turn.scope.uuid())
            .bind(turn.import)
            .bind(chunk)
            .bind(lane)
            .fetch_optional(&mut *tx)
            .await?;
            let Some(content) = content else { return Ok(Some(())) };
            let results = read_results(&content)?;
            let undone = match object {
                Object::Contact => self.undo_contacts(&mut tx, turn, &results).await?,
                object => self.undo_records(&mut tx, turn, object, &results).await?,
            };
            keep_undone(&mut tx, turn, (chunk, lane), &undone).await?;
            Ok(Some(()))
        }
        .await;
        match done {
            Ok(done) => {
                tx.commit().await?;
                Ok(done)
            }
            Err(error) => {
                tx.rollback().await;
                Err(error)
            }
        }
    }

    async fn undo_contacts(
        &self,
        tx: &mut Tx,
        turn: &Turn,
        results: &[RowResult],
    ) -> Result<Vec<UndoResult>, CrmError> {
        let scope = &turn.scope;
        let ids: Vec<Uuid> = results.iter().filter_map(|result| result.id).collect();
        let made: Vec<Uuid> = results
            .iter()
            .filter(|r| r.mark.is_some())
            .filter_map(|r| r.id)
            .collect();
        let contacts = contact_rows::lock_many(tx, scope, &ids).await?;
        let used = used_contacts(tx, scope, &made).await?;
        let mut held: HashMap<Uuid, Held> = contacts
            .into_iter()
            .map(|contact| (contact.id.uuid(), untouched(contact)))
            .collect();
        let mut order: Vec<Uuid> = Vec::new();
        let mut gone: Vec<Uuid> = Vec::new();
        let mut undone = Vec::new();
        for result in results.iter().rev() {
            let Some(id) = result.id else { continue };
            let did_something = result.mark.is_some() || !result.changes.is_empty();
            if !did_something {
                continue;
            }
            let Some(one) = held.get_mut(&id) else {
                undone.push(kept_all(result.row));
                continue;
            };
            let pristine = one.now.revision < 0 && !used.contains(&id);
            match self.take_back(one, result, pristine) {
                Reversal::Forget => gone.push(id),
                Reversal::Keep => {
                    undone.push(kept_all(result.row));
                    continue;
                }
                Reversal::Back(_, kept) => {
                    // Removed before the import brought it back: unseen again.
                    if !one.now.recorded && !gone.contains(&id) {
                        gone.push(id);
                    }
                    undone.push(UndoResult {
                        row: result.row,
                        kept,
                    });
                    if !order.contains(&id) {
                        order.push(id);
                    }
                    continue;
                }
                Reversal::Nothing => {}
            }
            undone.push(UndoResult {
                row: result.row,
                kept: Vec::new(),
            });
            order.push(id);
        }
        order.sort_unstable();
        order.dedup();
        let written: Vec<&Held> = order.iter().filter_map(|id| held.get(id)).collect();
        self.write_undone(tx, turn, &written, &gone).await?;
        Ok(undone)
    }

    /// Takes a row back in memory; tells what it did.
    fn take_back(&self, one: &mut Held, result: &RowResult, pristine: bool) -> Reversal {
        let now = self.now();
        if result.mark.is_some() && !one.now.recorded {
            // Removed by hand since: there is nothing to see any more.
            one.now.forget(now);
            return Reversal::Forget;
        }
        let done = reversal(result, &snapshot::of_contact(&one.now), pristine);
        match &done {
            Reversal::Forget => one.now.forget(now),
            Reversal::Back(back, _) => {
                one.states |= back.contains_key("identities");
                let change = one.now.take_back(back, now);
                one.change = std::mem::replace(&mut one.change, Change::None).and(change);
            }
            Reversal::Nothing | Reversal::Keep => {}
        }
        done
    }

    async fn write_undone(
        &self,
        tx: &mut Tx,
        turn: &Turn,
        written: &[&Held],
        gone: &[Uuid],
    ) -> Result<(), CrmError> {
        let own = super::custom_fields::definitions(tx, &turn.scope, Object::Contact).await?;
        let reader = RowReader::new(Mapping::new(&[], Options::default()), own);
        let accounts = super::Accounts::new();
        let lane = Lane {
            turn: Some(turn),
            scope: &turn.scope,
            import: turn.import,
            chunk: 0,
            lane: 0,
            reader: &reader,
            accounts: &accounts,
        };
        self.write_contacts(tx, &lane, written).await?;
        self.tell_contacts_removed(tx, &turn.scope, gone, self.now())
            .await?;
        // Nobody else ever heard of those without an identity.
        sqlx::query(
            "DELETE FROM contacts c WHERE c.org_id = $1 AND c.id = ANY($2) AND NOT EXISTS \
             (SELECT FROM contact_identities i WHERE i.org_id = $1 AND i.contact_id = c.id)",
        )
        .bind(turn.scope.uuid())
        .bind(gone)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Takes back what belongs to no row: what accounts reached, tags that nobody uses.
    ///
    /// # Errors
    /// Of the database; nothing is stored then.
    pub async fn end_undo(&self, turn: &Turn) -> Result<(), CrmError> {
        let mut tx = self.db.begin(&turn.scope).await?;
        sqlx::query("DELETE FROM account_milestones WHERE org_id = $1 AND reason = $2")
            .bind(turn.scope.uuid())
            .bind(reason_of(turn.import))
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "DELETE FROM tags t WHERE t.org_id = $1 AND t.id IN (SELECT unnest(r.made_tags) FROM import_results r \
             WHERE r.org_id = $1 AND r.import_id = $2) \
             AND NOT EXISTS (SELECT FROM record_tags u WHERE u.org_id = $1 AND u.tag_id = t.id)",
        )
        .bind(turn.scope.uuid())
        .bind(turn.import)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

fn untouched(contact: Contact) -> Held {
    Held {
        before: Some(contact.clone()),
        now: contact,
        change: Change::<ContactField>::None,
        states: false,
    }
}

/// Those of the contacts that something else refers to.
async fn used_contacts(tx: &mut Tx, scope: &OrgScope, ids: &[Uuid]) -> Result<HashSet<Uuid>, CrmError> {
    let used: Vec<Uuid> = sqlx::query_scalar(
        "SELECT contact_id FROM tasks WHERE org_id = $1 AND contact_id = ANY($2) \
         UNION SELECT contact_id FROM activities WHERE org_id = $1 AND contact_id = ANY($2) \
         UNION SELECT contact_id FROM notes WHERE org_id = $1 AND contact_id = ANY($2) \
         UNION SELECT contact_id FROM deal_contacts WHERE org_id = $1 AND contact_id = ANY($2)",
    )
    .bind(scope.uuid())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    Ok(used.into_iter().collect())
}

/// What became of rows, as it was kept.
pub(super) fn read_results(content: &[u8]) -> Result<Vec<RowResult>, CrmError> {
    serde_json::from_slice(&unpacked(content)?).map_err(|error| CrmError::Corrupt(error.to_string()))
}

async fn keep_undone(
    tx: &mut Tx,
    turn: &Turn,
    (chunk, lane): (i32, i16),
    undone: &[UndoResult],
) -> Result<(), CrmError> {
    let content = serde_json::to_vec(undone).map_err(|error| CrmError::Corrupt(error.to_string()))?;
    let content =
        contracts::codec::compress(&content).map_err(|error| CrmError::Corrupt(error.to_string()))?;
    // Accounts that were made for rows are no rows.
    let rows = || undone.iter().filter(|one| one.row > 0);
    let of = |whole: bool| {
        let count = rows().filter(|one| one.kept.is_empty() == whole).count();
        i32::try_from(count).unwrap_or(i32::MAX)
    };
    sqlx::query(
        "UPDATE import_results SET undo_counts = $5, undo_content = $6 \
         WHERE org_id = $1 AND import_id = $2 AND chunk = $3 AND lane = $4",
    )
    .bind(turn.scope.uuid())
    .bind(turn.import)
    .bind(chunk)
    .bind(lane)
    .bind(vec![of(true), of(false)])
    .bind(content)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The fields of a change, by name.
pub(super) fn named(back: &Snapshot) -> Vec<String> {
    let mut names: BTreeMap<String, &Value> = BTreeMap::new();
    for (field, value) in back {
        let name = if field.starts_with("custom.") {
            "customFields"
        } else {
            field.as_str()
        };
        names.insert(name.to_owned(), value);
    }
    names.into_keys().filter(|name| name != "edited").collect()
}
