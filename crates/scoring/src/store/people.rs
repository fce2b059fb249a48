//! Job titles of actors.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use ::store::{PipelineDb, ToSqlx as _, Tx};
use ids::OrgId;
use jiff::Timestamp;
use uuid::Uuid;

use super::{by_index, schedule};
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

/// What is told of one person.
struct Told<'a> {
    /// The newest of it.
    newest: &'a Person,
    /// Whether any of it has a title.
    has_title: bool,
}

/// What is told, one for each organization and person, in locking order.
type People<'a> = BTreeMap<Reverse<(Uuid, Uuid)>, Told<'a>>;

/// Keeps titles that are newer than what is known, then marks the persons' accounts for scoring. Idempotent by the
/// revisions, so it needs no inbox.
///
/// Two transactions, and the marks second: the accounts are looked up by a statement that sees every roll-up committed
/// before the titles. A roll-up that commits later is scored later, with the titles.
///
/// # Errors
/// [`ScoringError::Store`]; the titles may be kept then, and the repetition marks.
pub async fn learn_people(
    pipeline: &PipelineDb,
    told: &[(OrgId, Person)],
    now: Timestamp,
) -> Result<(), ScoringError> {
    let titled = keep_titles(pipeline, &people(told)).await?;
    if titled.is_empty() {
        return Ok(());
    }
    let mut tx = pipeline.begin().await?;
    by_index(&mut tx).await?;
    let accounts = accounts_of(&mut tx, &titled).await?;
    schedule::mark(&mut tx, &accounts, now).await?;
    tx.commit().await?;
    Ok(())
}

/// What is told of each person: a statement cannot touch a row twice.
fn people(told: &[(OrgId, Person)]) -> People<'_> {
    let mut people = People::new();
    for (org, person) in told {
        let told = people
            .entry(Reverse((org.uuid(), person.contact)))
            .or_insert(Told {
                newest: person,
                has_title: false,
            });
        told.has_title |= person.title.is_some();
        // Of equal ones the first counts, as it does with what is kept already.
        if told.newest.revision < person.revision {
            told.newest = person;
        }
    }
    people
}

/// Keeps the titles in one transaction; returns the persons who have or had one.
async fn keep_titles(pipeline: &PipelineDb, people: &People<'_>) -> Result<Vec<(Uuid, Uuid)>, ScoringError> {
    let (orgs, contacts): (Vec<Uuid>, Vec<Uuid>) = people.keys().map(|Reverse(key)| *key).unzip();
    let newest = || people.values().map(|told| told.newest);
    let mut tx = pipeline.begin().await?;
    by_index(&mut tx).await?;
    let had_title = lock_titled(&mut tx, &orgs, &contacts).await?;
    sqlx::query(
        "INSERT INTO titles AS t (org_id, actor_id, told_title, told_revision)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[])
         ON CONFLICT (org_id, actor_id) DO UPDATE SET told_title = excluded.told_title,
                                                      told_revision = excluded.told_revision
         WHERE t.told_revision < excluded.told_revision",
    )
    .bind(&orgs)
    .bind(&contacts)
    .bind(newest().map(|person| person.title.as_deref()).collect::<Vec<_>>())
    .bind(newest().map(|person| person.revision).collect::<Vec<_>>())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    let titled = people
        .iter()
        .filter(|(Reverse(key), told)| told.has_title || had_title.contains(key));
    Ok(titled.map(|(Reverse(key), _)| *key).collect())
}

/// Locks what is known of these persons, who come in locking order; returns those who were told of with a title. A
/// subquery that locks is never joined otherwise than row by row: one look by index for each person, in the order given.
async fn lock_titled(
    tx: &mut Tx,
    orgs: &[Uuid],
    contacts: &[Uuid],
) -> Result<HashSet<(Uuid, Uuid)>, ScoringError> {
    let rows: Vec<(Uuid, Uuid, bool)> = sqlx::query_as(
        "SELECT n.org_id, n.actor_id, t.told_title IS NOT NULL
         FROM unnest($1::uuid[], $2::uuid[]) AS n(org_id, actor_id)
         CROSS JOIN LATERAL (
             SELECT told_title FROM titles k WHERE k.org_id = n.org_id AND k.actor_id = n.actor_id FOR UPDATE
         ) t",
    )
    .bind(orgs)
    .bind(contacts)
    .fetch_all(&mut **tx)
    .await?;
    let titled = rows.into_iter().filter(|(.., has_title)| *has_title);
    Ok(titled.map(|(org, contact, _)| (org, contact)).collect())
}

/// The accounts for which any of the actors was active, in locking order. The inner `DISTINCT` keeps the subquery from
/// being joined otherwise than actor by actor.
async fn accounts_of(tx: &mut Tx, actors: &[(Uuid, Uuid)]) -> Result<Vec<(Uuid, Uuid)>, ScoringError> {
    let (orgs, ids): (Vec<Uuid>, Vec<Uuid>) = actors.iter().copied().unzip();
    let accounts = sqlx::query_as(
        "SELECT DISTINCT n.org_id, a.account_id FROM unnest($1::uuid[], $2::uuid[]) AS n(org_id, actor_id)
         CROSS JOIN LATERAL (
             SELECT DISTINCT account_id FROM activity k
             WHERE k.org_id = n.org_id AND k.actor_id = n.actor_id AND k.account_id <> $3
         ) a
         ORDER BY n.org_id DESC, a.account_id DESC",
    )
    .bind(orgs)
    .bind(ids)
    .bind(Uuid::nil())
    .fetch_all(&mut **tx)
    .await?;
    Ok(accounts)
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
