//! Puts known traces and the accounts behind them into a world.

use std::collections::HashMap;
use std::sync::Arc;

use ::store::{StoreError, Ts, Tx};
use ids::OrgId;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::decode::{stated, stated_text, unknown};
use super::load::{kept_apart, nth};
use crate::domain::{Account, AccountKey, AccountKeyKind, Firmographics, KeyState, World};

pub(super) async fn load(
    tx: &mut Tx,
    org: OrgId,
    keys: &[AccountKey],
    world: &mut World,
) -> Result<(), StoreError> {
    if keys.is_empty() {
        return Ok(());
    }
    let found: Vec<(i64, Uuid)> = sqlx::query_as(
        "SELECT wanted.place, account_keys.account_id
         FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS wanted (type, value, place)
         JOIN account_keys
           ON account_keys.org_id = $1 AND account_keys.type = wanted.type AND account_keys.value = wanted.value",
    )
    .bind(org.uuid())
    .bind(keys.iter().map(|key| key.kind.name()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| &*key.value).collect::<Vec<_>>())
    .fetch_all(&mut **tx)
    .await?;
    let mut ids = Vec::with_capacity(found.len());
    for (place, account) in found {
        if let Some(key) = nth(keys, place) {
            world.know_key(key.clone(), account);
            ids.push(account);
        }
    }
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(());
    }
    load_accounts(tx, org, &ids, world).await
}

async fn load_accounts(tx: &mut Tx, org: OrgId, ids: &[Uuid], world: &mut World) -> Result<(), StoreError> {
    let rows = sqlx::query(
        "SELECT id, revision, name, name_at, employees, employees_at, industry, industry_at, country, country_at,
                funding_stage, funding_stage_at, first_seen_at
         FROM accounts WHERE org_id = $1 AND id = ANY ($2)",
    )
    .bind(org.uuid())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    let mut keys = keys_of(tx, org, ids).await?;
    let mut kept_apart = kept_apart(tx, org, ids).await?;
    for row in &rows {
        let mut account = decode(row)?;
        account.keys = keys.remove(&account.id).unwrap_or_default();
        account.kept_apart = kept_apart.remove(&account.id).unwrap_or_default();
        world.know_account(Arc::new(account));
    }
    Ok(())
}

async fn keys_of(tx: &mut Tx, org: OrgId, ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<KeyState>>, StoreError> {
    let rows: Vec<(Uuid, String, String, bool)> = sqlx::query_as(
        "SELECT account_id, type, value, ambiguous FROM account_keys
         WHERE org_id = $1 AND account_id = ANY ($2) ORDER BY account_id, position",
    )
    .bind(org.uuid())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    let mut keys: HashMap<Uuid, Vec<KeyState>> = HashMap::with_capacity(ids.len());
    for (account, kind, value, ambiguous) in rows {
        let kind = AccountKeyKind::parse(&kind).ok_or_else(|| unknown("account key type", &kind))?;
        keys.entry(account).or_default().push(KeyState {
            key: AccountKey::new(kind, value),
            ambiguous,
        });
    }
    Ok(keys)
}

fn decode(row: &PgRow) -> Result<Account, StoreError> {
    Ok(Account {
        id: row.try_get("id")?,
        revision: row.try_get("revision")?,
        name: stated_text(row, "name", "name_at")?,
        firmographics: Firmographics {
            employees: stated(row, "employees", "employees_at")?,
            industry: stated_text(row, "industry", "industry_at")?,
            country: stated_text(row, "country", "country_at")?,
            funding_stage: stated_text(row, "funding_stage", "funding_stage_at")?,
        },
        keys: Vec::new(),
        first_seen: row.try_get::<Ts, _>("first_seen_at")?.to_jiff(),
        kept_apart: Vec::new(),
    })
}
