//! Identity changes reach the recorded signals.
//!
//! Two steps. First what is known is noted, under the organization's lock taken exclusively: every batch that is
//! recorded later is corrected by it ([`super::record`]). Then the rows that were recorded before are rewritten in
//! pieces, under the same lock shared. Both may be done again at any time: a redelivered event changes nothing, and one
//! that was cut in the middle is finished by its redelivery.

use contracts::signals::v1::Resolution;
use ids::{AccountId, ActorId, ContactId, EventId, OrgId};
use store::{PipelineDb, Tx};
use uuid::Uuid;

use super::record::lock_key;
use super::row;
use crate::error::IngestError;

/// Rows rewritten in one transaction: short enough not to hold up anyone.
const PIECE: i64 = 2_000;

/// An actor turned out to be a known person.
#[derive(Debug, Clone)]
pub struct Merge {
    /// The event that tells; newer events win over older ones about the same actor.
    pub event: EventId,
    /// The actor that is no more.
    pub from: ActorId,
    /// The person.
    pub contact: ContactId,
    /// The person's account, if known.
    pub account: Option<AccountId>,
    /// How it was decided.
    pub resolution: Resolution,
}

/// A known person was found to belong to a company.
#[derive(Debug, Clone)]
pub struct Link {
    /// The event that tells.
    pub event: EventId,
    /// The person.
    pub contact: ContactId,
    /// The company.
    pub account: AccountId,
    /// How it was decided.
    pub resolution: Resolution,
}

/// Moves the signals of an actor to the person, and gives those without an account the person's. Returns how many rows
/// changed.
///
/// # Errors
/// The database failed; a part may be done, and doing it again does the rest.
pub async fn merge(db: &PipelineDb, org: OrgId, merge: &Merge) -> Result<u64, IngestError> {
    let Some(person) = store::retry(|| note_merge(db, org, merge)).await? else {
        tracing::warn!(org_id = %org, from = %merge.from, contact = %merge.contact, "a merge into itself is ignored");
        return Ok(0);
    };
    let moved = in_pieces(
        db,
        org,
        Piece::Move {
            from: merge.from.uuid(),
        },
    )
    .await?;
    Ok(moved + in_pieces(db, org, Piece::Fill { person }).await?)
}

/// Gives the person's signals that have no account this one. Returns how many rows changed.
///
/// # Errors
/// As [`merge`].
pub async fn link(db: &PipelineDb, org: OrgId, link: &Link) -> Result<u64, IngestError> {
    let person = store::retry(|| note_link(db, org, link)).await?;
    in_pieces(db, org, Piece::Fill { person }).await
}

async fn lock(tx: &mut Tx, org: OrgId) -> Result<(), IngestError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(lock_key(org))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whom the person was merged into, or the person itself.
async fn last_of_chain(tx: &mut Tx, org: OrgId, person: Uuid) -> Result<Uuid, IngestError> {
    let merged: Option<Uuid> =
        sqlx::query_scalar("SELECT contact_id FROM actor_aliases WHERE org_id = $1 AND from_actor_id = $2")
            .bind(org.uuid())
            .bind(person)
            .fetch_optional(&mut **tx)
            .await?;
    Ok(merged.unwrap_or(person))
}

/// Notes the alias; returns the person at the end of the chain, or `None` for a merge into itself.
async fn note_merge(db: &PipelineDb, org: OrgId, merge: &Merge) -> Result<Option<Uuid>, IngestError> {
    let mut tx = db.begin().await?;
    lock(&mut tx, org).await?;
    let from = merge.from.uuid();
    let person = last_of_chain(&mut tx, org, merge.contact.uuid()).await?;
    if person == from {
        tx.rollback().await;
        return Ok(None);
    }
    let resolution = row::resolution_text(&merge.resolution);
    sqlx::query(
        "INSERT INTO actor_aliases (org_id, from_actor_id, contact_id, told_by, resolution)
         VALUES ($1, $2, $3, $4, $5::jsonb)
         ON CONFLICT (org_id, from_actor_id) DO UPDATE
         SET contact_id = excluded.contact_id, told_by = excluded.told_by, resolution = excluded.resolution
         WHERE actor_aliases.told_by < excluded.told_by",
    )
    .bind(org.uuid())
    .bind(from)
    .bind(person)
    .bind(merge.event.uuid())
    .bind(&resolution)
    .execute(&mut *tx)
    .await?;
    // An older event about the same actor must not move it away from where a newer one put it.
    let person = last_of_chain(&mut tx, org, from).await?;
    sqlx::query(
        "UPDATE actor_aliases SET contact_id = $3, resolution = $4::jsonb
         WHERE org_id = $1 AND contact_id = $2 AND from_actor_id <> $3",
    )
    .bind(org.uuid())
    .bind(from)
    .bind(person)
    .bind(&resolution)
    .execute(&mut *tx)
    .await?;
    // What the event says of the person's account, else what was known of the one that is no more; never over what is
    // known of the person.
    sqlx::query(
        "INSERT INTO contact_accounts (org_id, contact_id, account_id, told_by, resolution)
         SELECT $1, $3, known.account_id, $5, known.resolution
         FROM (SELECT $4::uuid AS account_id, $6::jsonb AS resolution, 1 AS preference WHERE $4 IS NOT NULL
               UNION ALL
               SELECT account_id, resolution, 2 FROM contact_accounts WHERE org_id = $1 AND contact_id = $2
               ORDER BY preference LIMIT 1) AS known
         ON CONFLICT (org_id, contact_id) DO NOTHING",
    )
    .bind(org.uuid())
    .bind(from)
    .bind(person)
    .bind(merge.account.map(AccountId::uuid))
    .bind(merge.event.uuid())
    .bind(&resolution)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Some(person))
}

/// Notes the account; returns the person at the end of the chain.
async fn note_link(db: &PipelineDb, org: OrgId, link: &Link) -> Result<Uuid, IngestError> {
    let mut tx = db.begin().await?;
    lock(&mut tx, org).await?;
    let person = last_of_chain(&mut tx, org, link.contact.uuid()).await?;
    // Told of somebody who was merged since, it only fills a gap.
    let wins = if person == link.contact.uuid() {
        link.event.uuid()
    } else {
        Uuid::nil()
    };
    sqlx::query(
        "INSERT INTO contact_accounts (org_id, contact_id, account_id, told_by, resolution)
         VALUES ($1, $2, $3, $4, $5::jsonb)
         ON CONFLICT (org_id, contact_id) DO UPDATE
         SET account_id = excluded.account_id, told_by = excluded.told_by, resolution = excluded.resolution
         WHERE contact_accounts.told_by < excluded.told_by",
    )
    .bind(org.uuid())
    .bind(person)
    .bind(link.account.uuid())
    .bind(wins)
    .bind(row::resolution_text(&link.resolution))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(person)
}

/// A piece of rewriting: at most [`PIECE`] rows.
#[derive(Clone, Copy)]
enum Piece {
    /// Rows of an actor become the person's whom it turned out to be.
    Move { from: Uuid },
    /// Rows of a person without an account get the person's.
    Fill { person: Uuid },
}

/// Repeats a piece, each time in its own transaction, until nothing is left to rewrite.
async fn in_pieces(db: &PipelineDb, org: OrgId, piece: Piece) -> Result<u64, IngestError> {
    let mut changed = 0;
    loop {
        let (found, done) = store::retry(|| run(db, org, piece)).await?;
        changed += done;
        if found == 0 {
            return Ok(changed);
        }
    }
}

/// One piece: how many rows were found, and how many of them changed (others were changed by somebody else meanwhile).
///
/// Whom the rows go to is read here, under the lock that whoever changes it takes exclusively: between two pieces the
/// person may be merged into another one, and who notes that moves only the rows that are the person's by then.
async fn run(db: &PipelineDb, org: OrgId, piece: Piece) -> Result<(u64, u64), IngestError> {
    let mut tx = db.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock_shared($1)")
        .bind(lock_key(org))
        .execute(&mut *tx)
        .await?;
    let (found, done) = match piece {
        Piece::Move { from } => move_piece(&mut tx, org, from).await?,
        Piece::Fill { person } => {
            let person = last_of_chain(&mut tx, org, person).await?;
            fill_piece(&mut tx, org, person).await?
        }
    };
    tx.commit().await?;
    Ok((
        u64::try_from(found).unwrap_or(0),
        u64::try_from(done).unwrap_or(0),
    ))
}

async fn move_piece(tx: &mut Tx, org: OrgId, from: Uuid) -> Result<(i64, i64), IngestError> {
    Ok(sqlx::query_as(
        "WITH found AS MATERIALIZED (
             SELECT id FROM signals WHERE org_id = $1 AND actor_id = $2 LIMIT $3
         ), done AS (
             UPDATE signals SET actor_id = known.contact_id, contact_id = known.contact_id,
                                actor_resolution = known.resolution
             FROM actor_aliases known
             WHERE known.org_id = $1 AND known.from_actor_id = $2
               AND signals.org_id = $1 AND signals.actor_id = $2 AND signals.id = ANY (ARRAY(SELECT id FROM found))
             RETURNING 1
         )
         SELECT (SELECT count(*) FROM found), (SELECT count(*) FROM done)",
    )
    .bind(org.uuid())
    .bind(from)
    .bind(PIECE)
    .fetch_one(&mut **tx)
    .await?)
}

async fn fill_piece(tx: &mut Tx, org: OrgId, person: Uuid) -> Result<(i64, i64), IngestError> {
    Ok(sqlx::query_as(
        "WITH known AS MATERIALIZED (
             SELECT account_id, resolution FROM contact_accounts WHERE org_id = $1 AND contact_id = $2
         ), found AS MATERIALIZED (
             SELECT id FROM signals
             WHERE org_id = $1 AND actor_id = $2 AND contact_id = $2 AND account_id IS NULL
               AND EXISTS (SELECT FROM known)
             LIMIT $3
         ), done AS (
             UPDATE signals SET account_id = known.account_id, account_resolution = known.resolution
             FROM known
             WHERE signals.org_id = $1 AND signals.actor_id = $2 AND signals.account_id IS NULL
               AND signals.id = ANY (ARRAY(SELECT id FROM found))
             RETURNING 1
         )
         SELECT (SELECT count(*) FROM found), (SELECT count(*) FROM done)",
    )
    .bind(org.uuid())
    .bind(person)
    .bind(PIECE)
    .fetch_one(&mut **tx)
    .await?)
}
