//! Writes what a unit of work decided: one statement per table and kind of change.

use std::sync::Arc;

use ::store::{StoreError, ToSqlx as _, Ts, Tx};
use ids::{IdGen, OrgId};
use jiff::Timestamp;
use uuid::Uuid;

use super::write_accounts;
use crate::domain::{Actor, Changes, Decision, NewIdentity, Stated};

/// Writes everything but the announcements. The caller holds the organization's lock; `epoch` is the one that these
/// changes begin. Rows that others refer to come first.
///
/// # Errors
/// The database failed; nothing of it is stored once the transaction is given up.
pub async fn write(
    tx: &mut Tx,
    org: OrgId,
    changes: &Changes,
    epoch: i64,
    now: Timestamp,
    ids: &dyn IdGen,
) -> Result<(), StoreError> {
    write_accounts::insert(tx, org, &changes.new_accounts).await?;
    write_accounts::update(tx, org, &changes.changed_accounts, epoch).await?;
    write_accounts::insert_keys(tx, org, &changes.new_keys).await?;
    write_accounts::make_ambiguous(tx, org, &changes.ambiguous).await?;
    insert_actors(tx, org, &changes.new_actors).await?;
    update_actors(tx, org, &changes.changed_actors, epoch).await?;
    move_identities(tx, org, &changes.moved).await?;
    insert_identities(tx, org, &changes.new_identities).await?;
    insert_decisions(tx, org, &changes.decisions, now, ids).await
}

type Shared<T> = Option<Stated<T>>;

/// One column of many rows.
pub(super) fn column<'a, T, V>(rows: &'a [T], get: impl Fn(&'a T) -> V) -> Vec<V> {
    rows.iter().map(get).collect()
}

/// The texts and the times of one stated value of many rows.
pub(super) fn stated<'a, T, V: 'a, C>(
    rows: &'a [Arc<T>],
    get: impl Fn(&'a T) -> &'a Shared<V>,
    text: impl Fn(&'a V) -> C,
) -> (Vec<Option<C>>, Vec<Option<Ts>>) {
    rows.iter()
        .map(|row| {
            let held = get(row).as_ref();
            (
                held.map(|held| text(&held.value)),
                held.map(|held| held.at.to_sqlx()),
            )
        })
        .unzip()
}

macro_rules! bind_actors {
    ($query:expr, $actors:expr) => {{
        let actors: &[Arc<Actor>] = $actors;
        let (names, names_at) = stated(actors, |a| &a.traits.name, |v| &**v);
        let (titles, titles_at) = stated(actors, |a| &a.traits.title, |v| &**v);
        let (companies, companies_at) = stated(actors, |a| &a.traits.company, |v| &**v);
        let (avatars, avatars_at) = stated(actors, |a| &a.traits.avatar_url, |v| &**v);
        $query
            .bind(column(actors, |a| a.id))
            .bind(column(actors, |a| a.kind.name()))
            .bind(column(actors, |a| a.revision))
            .bind(column(actors, |a| a.merged_into))
            .bind(column(actors, |a| a.link.as_ref().map(|link| link.account)))
            .bind(column(actors, |a| a.link.as_ref().map(|link| link.rule.name())))
            .bind(column(actors, |a| a.link.as_ref().map(|link| &*link.evidence)))
            .bind(names)
            .bind(names_at)
            .bind(titles)
            .bind(titles_at)
            .bind(companies)
            .bind(companies_at)
            .bind(avatars)
            .bind(avatars_at)
            .bind(column(actors, |a| a.first_seen.to_sqlx()))
            .bind(column(actors, |a| a.last_seen.to_sqlx()))
    }};
}

async fn insert_actors(tx: &mut Tx, org: OrgId, actors: &[Arc<Actor>]) -> Result<(), StoreError> {
    if actors.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(
        "INSERT INTO actors (org_id, id, kind, revision, merged_into, account_id, account_rule, account_evidence, name,
                             name_at, title, title_at, company, company_at, avatar_url, avatar_url_at, first_seen_at,
                             last_seen_at)
         SELECT $1, * FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::uuid[], $6::uuid[], $7::text[], $8::text[],
             $9::text[], $10::timestamptz[], $11::text[], $12::timestamptz[], $13::text[], $14::timestamptz[],
             $15::text[], $16::timestamptz[], $17::timestamptz[], $18::timestamptz[])",
    );
    bind_actors!(query.bind(org.uuid()), actors)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn update_actors(tx: &mut Tx, org: OrgId, actors: &[Arc<Actor>], epoch: i64) -> Result<(), StoreError> {
    if actors.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(
        "UPDATE actors SET revision = new.revision, merged_into = new.merged_into, account_id = new.account_id,
             account_rule = new.account_rule, account_evidence = new.account_evidence, name = new.name,
             name_at = new.name_at, title = new.title, title_at = new.title_at, company = new.company,
             company_at = new.company_at, avatar_url = new.avatar_url, avatar_url_at = new.avatar_url_at,
             first_seen_at = new.first_seen_at, last_seen_at = new.last_seen_at, epoch = $19
         FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::uuid[], $6::uuid[], $7::text[], $8::text[], $9::text[],
             $10::timestamptz[], $11::text[], $12::timestamptz[], $13::text[], $14::timestamptz[], $15::text[],
             $16::timestamptz[], $17::timestamptz[], $18::timestamptz[])
             AS new (id, kind, revision, merged_into, account_id, account_rule, account_evidence, name, name_at, title,
                     title_at, company, company_at, avatar_url, avatar_url_at, first_seen_at, last_seen_at)
         WHERE actors.org_id = $1 AND actors.id = new.id",
    );
    let done = bind_actors!(query.bind(org.uuid()), actors)
        .bind(epoch)
        .execute(&mut **tx)
        .await?;
    all_there(done.rows_affected(), actors.len(), "actors")
}

/// A row that is changed was read under the lock: it cannot be gone.
pub(super) fn all_there(changed: u64, expected: usize, table: &str) -> Result<(), StoreError> {
    if usize::try_from(changed) == Ok(expected) {
        return Ok(());
    }
    Err(StoreError::Misuse(format!(
        "{changed} of {expected} changed {table} are in the database"
    )))
}

async fn move_identities(tx: &mut Tx, org: OrgId, moved: &[(Uuid, Uuid)]) -> Result<(), StoreError> {
    if moved.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE identities SET actor_id = moved.into_actor
         FROM unnest($2::uuid[], $3::uuid[]) AS moved (from_actor, into_actor)
         WHERE identities.org_id = $1 AND identities.actor_id = moved.from_actor",
    )
    .bind(org.uuid())
    .bind(column(moved, |(from, _)| *from))
    .bind(column(moved, |(_, into)| *into))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn insert_identities(tx: &mut Tx, org: OrgId, identities: &[NewIdentity]) -> Result<(), StoreError> {
    if identities.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO identities (org_id, type, value, actor_id, confidence, rule, evidence, signal_id)
         SELECT $1, * FROM unnest($2::text[], $3::text[], $4::uuid[], $5::real[], $6::text[], $7::text[], $8::uuid[])",
    )
    .bind(org.uuid())
    .bind(column(identities, |new| new.key.kind.name()))
    .bind(column(identities, |new| &*new.key.value))
    .bind(column(identities, |new| new.actor))
    .bind(column(identities, |new| real(new.key.kind.rule().confidence())))
    .bind(column(identities, |new| new.told.rule.name()))
    .bind(column(identities, |new| &*new.told.evidence))
    .bind(column(identities, |new| new.told.signal))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn insert_decisions(
    tx: &mut Tx,
    org: OrgId,
    decisions: &[Decision],
    now: Timestamp,
    ids: &dyn IdGen,
) -> Result<(), StoreError> {
    if decisions.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO decisions (org_id, id, kind, subject_id, other_id, rule, evidence, confidence, signal_id, decided_at)
         SELECT $1, *, $10 FROM unnest($2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::real[],
             $9::uuid[])",
    )
    .bind(org.uuid())
    .bind(column(decisions, |_| ids.next()))
    .bind(column(decisions, |decision| decision.kind.name()))
    .bind(column(decisions, |decision| decision.subject))
    .bind(column(decisions, |decision| decision.other))
    .bind(column(decisions, |decision| decision.told.rule.name()))
    .bind(column(decisions, |decision| &*decision.told.evidence))
    .bind(column(decisions, |decision| real(decision.told.rule.confidence())))
    .bind(column(decisions, |decision| decision.told.signal))
    .bind(now.to_sqlx())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Confidences have two digits: single precision holds them.
pub(super) fn real(confidence: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "between 0 and 1")]
    let real = confidence as f32;
    real
}
