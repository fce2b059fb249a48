//! Who is who: locks on persons, and which persons turned out to be others.
//!
//! Contract: an operation that makes, moves or removes what is known of a person holds that person's lock, and that of
//! whoever the person turned out to be. So an event about a person who is being merged at this moment is applied either
//! wholly before the merge or wholly after it.

use std::collections::{BTreeSet, HashMap};

use ::store::{OrgScope, ToSqlx as _, Tx};
use ids::ContactId;
use jiff::Timestamp;
use uuid::Uuid;

use crate::error::CrmError;

/// More steps than a chain of merges that grow at the same time can have in practice; then the event is tried again.
const MAX_STEPS: usize = 8;

/// A person who turned out to be another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Merged {
    /// Who it is.
    pub(super) into: ContactId,
    /// The newest `contact.identified` of the merged person that was applied.
    pub(super) revision: i64,
}

/// Locks the persons, and those they turned out to be, until the end of the transaction. Returns which were merged.
pub(super) async fn lock(
    tx: &mut Tx,
    scope: &OrgScope,
    people: &[ContactId],
) -> Result<HashMap<ContactId, Merged>, CrmError> {
    let mut wanted: BTreeSet<ContactId> = people.iter().copied().collect();
    let mut locked: BTreeSet<ContactId> = BTreeSet::new();
    for _ in 0..MAX_STEPS {
        let missing: Vec<ContactId> = wanted.difference(&locked).copied().collect();
        if !missing.is_empty() {
            take_locks(tx, scope, &missing).await?;
            locked.extend(missing);
        }
        // Read under the locks: from here on nobody can merge these persons away.
        let merged = merges_of(tx, scope, people).await?;
        wanted.extend(merged.values().map(|merged| merged.into));
        if wanted.is_subset(&locked) {
            return Ok(merged);
        }
    }
    Err(CrmError::Merge("a chain of merges keeps growing".to_owned()))
}

async fn take_locks(tx: &mut Tx, scope: &OrgScope, people: &[ContactId]) -> Result<(), CrmError> {
    // Sorted: two transactions that want the same persons take them in the same order.
    let keys: Vec<String> = people
        .iter()
        .map(|person| format!("crm.person {} {person}", scope.org()))
        .collect();
    sqlx::query(
        "SELECT pg_advisory_xact_lock(hashtextextended(k.key, 0)) \
         FROM unnest($1::text[]) WITH ORDINALITY k (key, place) ORDER BY k.place",
    )
    .bind(keys)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn merges_of(
    tx: &mut Tx,
    scope: &OrgScope,
    people: &[ContactId],
) -> Result<HashMap<ContactId, Merged>, CrmError> {
    let rows: Vec<(Uuid, Uuid, i64)> = sqlx::query_as(
        "SELECT from_id, into_id, revision FROM contact_merges WHERE org_id = $1 AND from_id = ANY($2)",
    )
    .bind(scope.uuid())
    .bind(people.iter().map(|person| person.uuid()).collect::<Vec<Uuid>>())
    .fetch_all(&mut **tx)
    .await?;
    let merged = |(from, into, revision)| {
        (
            ContactId(from),
            Merged {
                into: ContactId(into),
                revision,
            },
        )
    };
    Ok(rows.into_iter().map(merged).collect())
}

/// Notes that `from` is `into`, and with it everybody who was `from`.
pub(super) async fn note_merge(
    tx: &mut Tx,
    scope: &OrgScope,
    from: ContactId,
    into: Merged,
    now: Timestamp,
) -> Result<(), CrmError> {
    sqlx::query("UPDATE contact_merges SET into_id = $3 WHERE org_id = $1 AND into_id = $2")
        .bind(scope.uuid())
        .bind(from.uuid())
        .bind(into.into.uuid())
        .execute(&mut **tx)
        .await?;
    sqlx::query("INSERT INTO contact_merges (org_id, from_id, into_id, revision, merged_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(scope.uuid())
        .bind(from.uuid())
        .bind(into.into.uuid())
        .bind(into.revision)
        .bind(now.to_sqlx())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Notes the newest `contact.identified` that was applied of a person who is another.
pub(super) async fn note_revision(
    tx: &mut Tx,
    scope: &OrgScope,
    from: ContactId,
    revision: i64,
) -> Result<(), CrmError> {
    sqlx::query("UPDATE contact_merges SET revision = $3 WHERE org_id = $1 AND from_id = $2")
        .bind(scope.uuid())
        .bind(from.uuid())
        .bind(revision)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
