//! Writes accounts and the traces that lead to them.

use std::sync::Arc;

use ::store::{StoreError, ToSqlx as _, Tx};
use ids::OrgId;

use super::write::{all_there, column, real, stated};
use crate::domain::{Account, AccountKey, NewKey};

macro_rules! bind_accounts {
    ($query:expr, $accounts:expr) => {{
        let accounts: &[Arc<Account>] = $accounts;
        let (names, names_at) = stated(accounts, |a| &a.name, |v| &**v);
        let (employees, employees_at) = stated(accounts, |a| &a.firmographics.employees, |n| *n);
        let (industries, industries_at) = stated(accounts, |a| &a.firmographics.industry, |v| &**v);
        let (countries, countries_at) = stated(accounts, |a| &a.firmographics.country, |v| &**v);
        let (stages, stages_at) = stated(accounts, |a| &a.firmographics.funding_stage, |v| &**v);
        $query
            .bind(column(accounts, |a| a.id))
            .bind(column(accounts, |a| a.revision))
            .bind(names)
            .bind(names_at)
            .bind(employees)
            .bind(employees_at)
            .bind(industries)
            .bind(industries_at)
            .bind(countries)
            .bind(countries_at)
            .bind(stages)
            .bind(stages_at)
            .bind(column(accounts, |a| a.first_seen.to_sqlx()))
    }};
}

pub(super) async fn insert(tx: &mut Tx, org: OrgId, accounts: &[Arc<Account>]) -> Result<(), StoreError> {
    if accounts.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(
        "INSERT INTO accounts (org_id, id, revision, name, name_at, employees, employees_at, industry, industry_at,
                               country, country_at, funding_stage, funding_stage_at, first_seen_at)
         SELECT $1, * FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::timestamptz[], $6::bigint[],
             $7::timestamptz[], $8::text[], $9::timestamptz[], $10::text[], $11::timestamptz[], $12::text[],
             $13::timestamptz[], $14::timestamptz[])",
    );
    bind_accounts!(query.bind(org.uuid()), accounts)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(super) async fn update(
    tx: &mut Tx,
    org: OrgId,
    accounts: &[Arc<Account>],
    epoch: i64,
) -> Result<(), StoreError> {
    if accounts.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(
        "UPDATE accounts SET revision = new.revision, name = new.name, name_at = new.name_at,
             employees = new.employees, employees_at = new.employees_at, industry = new.industry,
             industry_at = new.industry_at, country = new.country, country_at = new.country_at,
             funding_stage = new.funding_stage, funding_stage_at = new.funding_stage_at,
             first_seen_at = new.first_seen_at, epoch = $15
         FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::timestamptz[], $6::bigint[], $7::timestamptz[],
             $8::text[], $9::timestamptz[], $10::text[], $11::timestamptz[], $12::text[], $13::timestamptz[],
             $14::timestamptz[])
             AS new (id, revision, name, name_at, employees, employees_at, industry, industry_at, country, country_at,
                     funding_stage, funding_stage_at, first_seen_at)
         WHERE accounts.org_id = $1 AND accounts.id = new.id",
    );
    let done = bind_accounts!(query.bind(org.uuid()), accounts)
        .bind(epoch)
        .execute(&mut **tx)
        .await?;
    all_there(done.rows_affected(), accounts.len(), "accounts")
}

pub(super) async fn insert_keys(tx: &mut Tx, org: OrgId, keys: &[NewKey]) -> Result<(), StoreError> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO account_keys (org_id, type, value, account_id, position, rule, evidence, confidence, signal_id)
         SELECT $1, * FROM unnest($2::text[], $3::text[], $4::uuid[], $5::integer[], $6::text[], $7::text[], $8::real[],
             $9::uuid[])",
    )
    .bind(org.uuid())
    .bind(column(keys, |new| new.key.kind.name()))
    .bind(column(keys, |new| &*new.key.value))
    .bind(column(keys, |new| new.account))
    .bind(column(keys, |new| i32::try_from(new.position).unwrap_or(i32::MAX)))
    .bind(column(keys, |new| new.told.rule.name()))
    .bind(column(keys, |new| &*new.told.evidence))
    .bind(column(keys, |new| real(new.told.rule.confidence())))
    .bind(column(keys, |new| new.told.signal))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn make_ambiguous(tx: &mut Tx, org: OrgId, keys: &[AccountKey]) -> Result<(), StoreError> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE account_keys SET ambiguous = true
         FROM unnest($2::text[], $3::text[]) AS gone (type, value)
         WHERE account_keys.org_id = $1 AND account_keys.type = gone.type AND account_keys.value = gone.value",
    )
    .bind(org.uuid())
    .bind(column(keys, |key| key.kind.name()))
    .bind(column(keys, |key| &*key.value))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
