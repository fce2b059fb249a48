//! Puts what is known into a world: the identities and traces that are asked for, and the actors and accounts behind
//! them.

use std::collections::HashMap;
use std::sync::Arc;

use ::store::{StoreError, Ts, Tx};
use ids::OrgId;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::decode::{rule, stated_text, unknown};
use super::load_accounts;
use crate::domain::{AccountKey, Actor, ActorKind, IdentityKey, IdentityKind, Link, Traits, World};

/// What a unit of work needs to know.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Identities; those not found are not known.
    pub identities: Vec<IdentityKey>,
    /// Traces; those not found are not known.
    pub keys: Vec<AccountKey>,
}

impl Wanted {
    /// Whether nothing is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty() && self.keys.is_empty()
    }
}

/// Loads what is wanted. The caller holds the organization's lock, so that what is found is what is known.
///
/// # Errors
/// The database failed.
pub async fn load(tx: &mut Tx, org: OrgId, wanted: &Wanted, world: &mut World) -> Result<(), StoreError> {
    let mut actors = identities(tx, org, &wanted.identities, world).await?;
    actors.sort_unstable();
    actors.dedup();
    // Identities never point to a merged actor, so that one round finds all.
    if !actors.is_empty() {
        load_actors(tx, org, &actors, world).await?;
    }
    load_accounts::load(tx, org, &wanted.keys, world).await
}

async fn identities(
    tx: &mut Tx,
    org: OrgId,
    keys: &[IdentityKey],
    world: &mut World,
) -> Result<Vec<Uuid>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<(i64, Uuid)> = sqlx::query_as(
        "SELECT wanted.place, identities.actor_id
         FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS wanted (type, value, place)
         JOIN identities ON identities.org_id = $1 AND identities.type = wanted.type AND identities.value = wanted.value",
    )
    .bind(org.uuid())
    .bind(keys.iter().map(|key| key.kind.name()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| &*key.value).collect::<Vec<_>>())
    .fetch_all(&mut **tx)
    .await?;
    let mut actors = Vec::with_capacity(rows.len());
    for (place, actor) in rows {
        if let Some(key) = nth(keys, place) {
            world.know_identity(key.clone(), actor);
            actors.push(actor);
        }
    }
    Ok(actors)
}

/// The key at a place that Postgres counted, from 1.
pub(super) fn nth<T>(keys: &[T], place: i64) -> Option<&T> {
    keys.get(usize::try_from(place).ok()?.checked_sub(1)?)
}

async fn load_actors(tx: &mut Tx, org: OrgId, ids: &[Uuid], world: &mut World) -> Result<(), StoreError> {
    let rows = sqlx::query(
        "SELECT id, kind, revision, merged_into, account_id, account_rule, account_evidence, name, name_at, title,
                title_at, company, company_at, avatar_url, avatar_url_at, first_seen_at, last_seen_at
         FROM actors WHERE org_id = $1 AND id = ANY ($2)",
    )
    .bind(org.uuid())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    let mut identities = identities_of(tx, org, ids).await?;
    let mut kept_apart = kept_apart(tx, org, ids).await?;
    for row in &rows {
        let mut actor = decode(row)?;
        actor.identities = identities.remove(&actor.id).unwrap_or_default();
        actor.kept_apart = kept_apart.remove(&actor.id).unwrap_or_default();
        world.know_actor(Arc::new(actor));
    }
    Ok(())
}

/// The strong identities of actors, and their first few anonymous ones.
async fn identities_of(
    tx: &mut Tx,
    org: OrgId,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<IdentityKey>>, StoreError> {
    let rows: Vec<(Uuid, String, String)> = sqlx::query_as(
        "SELECT actor_id, type, value FROM (
             SELECT actor_id, type, value, created_at,
                    row_number() OVER (PARTITION BY actor_id, type ORDER BY created_at, value) AS place
             FROM identities WHERE org_id = $1 AND actor_id = ANY ($2)) AS held
         WHERE type <> 'anonymous' OR place <= $3
         ORDER BY actor_id, created_at, type, value",
    )
    .bind(org.uuid())
    .bind(ids)
    .bind(i64::try_from(Actor::MAX_ANONYMOUS).unwrap_or(i64::MAX))
    .fetch_all(&mut **tx)
    .await?;
    let mut identities: HashMap<Uuid, Vec<IdentityKey>> = HashMap::with_capacity(ids.len());
    for (actor, kind, value) in rows {
        let kind = IdentityKind::parse(&kind).ok_or_else(|| unknown("identity type", &kind))?;
        identities
            .entry(actor)
            .or_default()
            .push(IdentityKey::new(kind, value));
    }
    Ok(identities)
}

/// Who is kept apart from each of these actors or accounts.
pub(super) async fn kept_apart(
    tx: &mut Tx,
    org: OrgId,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Uuid>>, StoreError> {
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "SELECT subject_id, other_id FROM decisions
         WHERE org_id = $1 AND kind = 'kept_apart' AND subject_id = ANY ($2) AND other_id IS NOT NULL",
    )
    .bind(org.uuid())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    let mut kept_apart: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for (subject, other) in rows {
        kept_apart.entry(subject).or_default().push(other);
    }
    Ok(kept_apart)
}

fn decode(row: &PgRow) -> Result<Actor, StoreError> {
    let kind: String = row.try_get("kind")?;
    let kind = match kind.as_str() {
        "person" => ActorKind::Person,
        "anonymous" => ActorKind::Anonymous,
        other => return Err(unknown("actor kind", other)),
    };
    let account: Option<Uuid> = row.try_get("account_id")?;
    let by: Option<String> = row.try_get("account_rule")?;
    let evidence: Option<String> = row.try_get("account_evidence")?;
    let link = match (account, by, evidence) {
        (Some(account), Some(by), Some(evidence)) => Some(Link {
            account,
            rule: rule(&by)?,
            evidence: evidence.into(),
        }),
        _ => None,
    };
    Ok(Actor {
        id: row.try_get("id")?,
        kind,
        revision: row.try_get("revision")?,
        merged_into: row.try_get("merged_into")?,
        identities: Vec::new(),
        link,
        traits: Traits {
            name: stated_text(row, "name", "name_at")?,
            title: stated_text(row, "title", "title_at")?,
            company: stated_text(row, "company", "company_at")?,
            avatar_url: stated_text(row, "avatar_url", "avatar_url_at")?,
        },
        first_seen: row.try_get::<Ts, _>("first_seen_at")?.to_jiff(),
        last_seen: row.try_get::<Ts, _>("last_seen_at")?.to_jiff(),
        kept_apart: Vec::new(),
    })
}
