//! Job titles of actors.

use ::store::{PipelineDb, ToSqlx as _, Tx};
use ids::OrgId;
use jiff::Timestamp;
use sqlx::Row as _;
use uuid::Uuid;

use super::schedule;
use crate::domain::rollup::StatedTitle;
use crate::error::ScoringError;

/// What `contact.identified` tells of a person that scoring keeps.
#[derive(Debug, Clone)]
pub struct Person {
    /// The person.
    pub contact: Uuid,
    /// Counts up with each event about the person.
    pub revision: i64,
    /// The job title.
    pub title: Option<String>,
}

/// Keeps the title if it is newer than what is known, then marks the person's accounts for scoring. Idempotent by the
/// revision, so it needs no inbox.
///
/// Two transactions, and the mark second: the accounts are looked up by a statement that sees every roll-up committed
/// before the title. A roll-up that commits later is scored later, with the title.
///
/// # Errors
/// [`ScoringError::Store`]; the title may be kept then, and the repetition marks.
pub async fn learn_person(
    pipeline: &PipelineDb,
    org: OrgId,
    person: &Person,
    now: Timestamp,
) -> Result<(), ScoringError> {
    let org = org.uuid();
    let mut tx = pipeline.begin().await?;
    let before: Option<Option<String>> =
        sqlx::query_scalar("SELECT told_title FROM titles WHERE org_id = $1 AND actor_id = $2 FOR UPDATE")
            .bind(org)
            .bind(person.contact)
            .fetch_optional(&mut *tx)
            .await?;
    sqlx::query(
        "INSERT INTO titles AS t (org_id, actor_id, told_title, told_revision) VALUES ($1, $2, $3, $4)
         ON CONFLICT (org_id, actor_id) DO UPDATE SET told_title = excluded.told_title,
                                                      told_revision = excluded.told_revision
         WHERE t.told_revision < excluded.told_revision",
    )
    .bind(org)
    .bind(person.contact)
    .bind(&person.title)
    .bind(person.revision)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    if person.title.is_none() && before.flatten().is_none() {
        return Ok(());
    }
    let mut tx = pipeline.begin().await?;
    let accounts = accounts_of(&mut tx, org, person.contact).await?;
    schedule::mark(&mut tx, &accounts, now).await?;
    tx.commit().await?;
    Ok(())
}

/// The accounts for which an actor was active, in locking order.
async fn accounts_of(tx: &mut Tx, org: Uuid, actor: Uuid) -> Result<Vec<(Uuid, Uuid)>, ScoringError> {
    let rows = sqlx::query(
        "SELECT DISTINCT account_id FROM activity WHERE org_id = $1 AND actor_id = $2 AND account_id <> $3
         ORDER BY account_id DESC",
    )
    .bind(org)
    .bind(actor)
    .bind(Uuid::nil())
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| row.try_get(0).map(|account| (org, account)))
        .collect::<Result<_, _>>()?)
}

/// Keeps the newest title that signals stated; the rows come in locking order.
pub(super) async fn state_titles(
    tx: &mut Tx,
    rows: &[((Uuid, Uuid), StatedTitle)],
) -> Result<(), ScoringError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO titles AS t (org_id, actor_id, stated_title, stated_at, stated_signal_id)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::uuid[])
         ON CONFLICT (org_id, actor_id) DO UPDATE SET stated_title = excluded.stated_title,
             stated_at = excluded.stated_at, stated_signal_id = excluded.stated_signal_id
         WHERE t.stated_at IS NULL
            OR (excluded.stated_at, excluded.stated_signal_id) > (t.stated_at, t.stated_signal_id)",
    )
    .bind(rows.iter().map(|((org, _), _)| *org).collect::<Vec<_>>())
    .bind(rows.iter().map(|((_, actor), _)| *actor).collect::<Vec<_>>())
    .bind(
        rows.iter()
            .map(|(_, stated)| stated.title.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(
        rows.iter()
            .map(|(_, stated)| stated.at.to_sqlx())
            .collect::<Vec<_>>(),
    )
    .bind(rows.iter().map(|(_, stated)| stated.signal).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What signals stated of `from` is what they stated of `into`. What was told of `from` goes: the person's own
/// `contact.identified` carries everything that is known.
pub(super) async fn move_title(tx: &mut Tx, org: Uuid, from: Uuid, into: Uuid) -> Result<(), ScoringError> {
    sqlx::query(
        "WITH moved AS (DELETE FROM titles WHERE org_id = $1 AND actor_id = $2 RETURNING *)
         INSERT INTO titles AS t (org_id, actor_id, stated_title, stated_at, stated_signal_id)
         SELECT org_id, $3, stated_title, stated_at, stated_signal_id FROM moved WHERE stated_title IS NOT NULL
         ON CONFLICT (org_id, actor_id) DO UPDATE SET stated_title = excluded.stated_title,
             stated_at = excluded.stated_at, stated_signal_id = excluded.stated_signal_id
         WHERE t.stated_at IS NULL
            OR (excluded.stated_at, excluded.stated_signal_id) > (t.stated_at, t.stated_signal_id)",
    )
    .bind(org)
    .bind(from)
    .bind(into)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
