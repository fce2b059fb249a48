//! Rows of `accounts`.

use std::collections::{BTreeMap, BTreeSet};

use ::store::{OrgScope, ToSqlx as _, Ts, Tx};
use ids::AccountId;
use serde_json::{Map, Value};
use sqlx::FromRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::arrays;
use crate::domain::account::{Account, AccountField, Profile};
use crate::domain::extras::Extras;
use crate::domain::score::{Score, Tier, Trend};
use crate::domain::text;
use crate::error::CrmError;

/// The columns of [`AccountRow`], over a table under the alias `t`.
macro_rules! account_columns {
    () => {
        "t.id, t.recorded, t.name, t.domain, t.github_org, t.employees, t.industry, t.country, t.funding_stage, \
         t.edited_fields, t.learnt_revision, t.score_revision, t.score, t.tier, t.trend, t.scored_at, \
         t.contact_count, t.created_at, t.updated_at, t.version, t.owner_id, t.tags, t.custom, t.deleted_at"
    };
}
pub(super) use account_columns;

/// A row of `accounts`.
#[derive(Debug, FromRow)]
pub(super) struct AccountRow {
    id: Uuid,
    recorded: bool,
    name: String,
    domain: Option<String>,
    github_org: Option<String>,
    employees: Option<i64>,
    industry: Option<String>,
    country: Option<String>,
    funding_stage: Option<String>,
    edited_fields: Vec<String>,
    learnt_revision: i64,
    score_revision: i64,
    score: Option<i16>,
    tier: i16,
    trend: i16,
    scored_at: Option<Ts>,
    contact_count: i64,
    created_at: Ts,
    updated_at: Ts,
    version: i64,
    owner_id: Option<Uuid>,
    tags: Vec<String>,
    custom: Json<Map<String, Value>>,
    deleted_at: Option<Ts>,
}

impl TryFrom<AccountRow> for Account {
    type Error = CrmError;

    fn try_from(row: AccountRow) -> Result<Self, CrmError> {
        let score = match (row.score, row.scored_at) {
            (Some(points), Some(at)) => Some(Score {
                points,
                tier: Tier::from_number(row.tier.into()).ok_or_else(|| corrupt(row.id, "tier"))?,
                trend: Trend::from_number(row.trend.into()).ok_or_else(|| corrupt(row.id, "trend"))?,
                at: at.to_jiff(),
            }),
            _ => None,
        };
        let profile = Profile {
            name: row.name,
            domain: row.domain,
            github_org: row.github_org,
            employees: row.employees,
            industry: row.industry,
            country: row.country,
            funding_stage: row.funding_stage,
        };
        let edited: Option<BTreeSet<_>> = row
            .edited_fields
            .iter()
            .map(|name| AccountField::parse(name))
            .collect();
        Ok(Self {
            id: AccountId(row.id),
            recorded: row.recorded,
            deleted_at: row.deleted_at.map(Ts::to_jiff),
            extras: Extras {
                owner: row.owner_id,
                tags: row.tags,
                custom: row.custom.0,
            },
            profile,
            edited: edited.ok_or_else(|| corrupt(row.id, "edited_fields"))?,
            learnt_revision: row.learnt_revision,
            score,
            score_revision: row.score_revision,
            contact_count: row.contact_count,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            version: row.version,
        })
    }
}

fn corrupt(id: Uuid, column: &str) -> CrmError {
    CrmError::Corrupt(format!("account {id}, {column}"))
}

const READ: &str = concat!(
    "SELECT ",
    account_columns!(),
    " FROM accounts t WHERE t.org_id = $1 AND t.id = $2"
);
const LOCK: &str = concat!(
    "SELECT ",
    account_columns!(),
    " FROM accounts t WHERE t.org_id = $1 AND t.id = $2 FOR UPDATE"
);

/// The account, recorded or not.
pub(super) async fn read(tx: &mut Tx, scope: &OrgScope, id: AccountId) -> Result<Option<Account>, CrmError> {
    let row: Option<AccountRow> = sqlx::query_as(READ)
        .bind(scope.uuid())
        .bind(id.uuid())
        .fetch_optional(&mut **tx)
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// The account, recorded or not, locked until the end of the transaction.
pub(super) async fn lock(tx: &mut Tx, scope: &OrgScope, id: AccountId) -> Result<Option<Account>, CrmError> {
    let row: Option<AccountRow> = sqlx::query_as(LOCK)
        .bind(scope.uuid())
        .bind(id.uuid())
        .fetch_optional(&mut **tx)
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// As [`lock`]; an account that nothing was heard of gets a row that readers do not see. Two transactions that hear of
/// an account for the first time at once meet at its primary key.
pub(super) async fn lock_or_make(
    tx: &mut Tx,
    scope: &OrgScope,
    id: AccountId,
    now: jiff::Timestamp,
) -> Result<Account, CrmError> {
    if let Some(account) = lock(tx, scope, id).await? {
        return Ok(account);
    }
    sqlx::query(
        "INSERT INTO accounts (org_id, id, created_at, updated_at) VALUES ($1, $2, $3, $3) ON CONFLICT DO NOTHING",
    )
    .bind(scope.uuid())
    .bind(id.uuid())
    .bind(now.to_sqlx())
    .execute(&mut **tx)
    .await?;
    lock(tx, scope, id)
        .await?
        .ok_or_else(|| CrmError::Corrupt(format!("account {id} vanished")))
}

const LOCK_MANY: &str = concat!(
    "SELECT ",
    account_columns!(),
    " FROM accounts t WHERE t.org_id = $1 AND t.id = ANY($2) ORDER BY t.id FOR UPDATE"
);

/// As [`lock_or_make`], of many accounts; in the order of their ids, as everybody locks.
pub(super) async fn lock_or_make_many(
    tx: &mut Tx,
    scope: &OrgScope,
    ids: impl Iterator<Item = AccountId>,
    now: jiff::Timestamp,
) -> Result<BTreeMap<AccountId, Account>, CrmError> {
    let mut ids: Vec<Uuid> = ids.map(AccountId::uuid).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut locked = lock_many(tx, scope, &ids).await?;
    ids.retain(|id| !locked.contains_key(&AccountId(*id)));
    if ids.is_empty() {
        return Ok(locked);
    }
    sqlx::query(
        "INSERT INTO accounts (org_id, id, created_at, updated_at) SELECT $1, n.id, $3, $3 FROM unnest($2::uuid[]) n (id) \
         ORDER BY n.id ON CONFLICT DO NOTHING",
    )
    .bind(scope.uuid())
    .bind(&ids)
    .bind(now.to_sqlx())
    .execute(&mut **tx)
    .await?;
    locked.append(&mut lock_many(tx, scope, &ids).await?);
    Ok(locked)
}

async fn lock_many(
    tx: &mut Tx,
    scope: &OrgScope,
    ids: &[Uuid],
) -> Result<BTreeMap<AccountId, Account>, CrmError> {
    let rows: Vec<AccountRow> = sqlx::query_as(LOCK_MANY)
        .bind(scope.uuid())
        .bind(ids)
        .fetch_all(&mut **tx)
        .await?;
    let accounts = rows.into_iter().map(Account::try_from);
    accounts
        .map(|account| account.map(|account| (account.id, account)))
        .collect()
}

/// A number of an enum, as its column has it.
pub(super) fn small(number: i32) -> i16 {
    i16::try_from(number).unwrap_or_default()
}

/// Writes everything but the count of contacts, which is kept by statements of its own. The row is locked and there.
pub(super) async fn save(tx: &mut Tx, scope: &OrgScope, account: &Account) -> Result<(), CrmError> {
    save_many(tx, scope, &[account]).await
}

/// As [`save`], of many accounts, none of them twice.
pub(super) async fn save_many(tx: &mut Tx, scope: &OrgScope, accounts: &[&Account]) -> Result<(), CrmError> {
    if accounts.is_empty() {
        return Ok(());
    }
    fn column<'a, T>(accounts: &[&'a Account], get: impl Fn(&'a Account) -> T) -> Vec<T> {
        accounts.iter().map(|account| get(account)).collect()
    }
    sqlx::query(
        "UPDATE accounts t SET recorded = n.recorded, name = n.name, name_key = n.name_key, domain = n.domain, \
         github_org = n.github_org, employees = n.employees, industry = n.industry, country = n.country, \
         funding_stage = n.funding_stage, edited_fields = n.edited::text[], learnt_revision = n.learnt_revision, \
         score_revision = n.score_revision, score = n.score, tier = n.tier, trend = n.trend, scored_at = n.scored_at, \
         created_at = n.created_at, updated_at = n.updated_at, version = n.version, owner_id = n.owner_id, \
         tags = n.tags::text[], custom = n.custom, deleted_at = n.deleted_at \
         FROM unnest($2::uuid[], $3::boolean[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[], \
         $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[], $15::smallint[], $16::smallint[], \
         $17::smallint[], $18::timestamptz[], $19::timestamptz[], $20::timestamptz[], $21::bigint[], $22::uuid[], \
         $23::text[], $24::jsonb[], $25::timestamptz[]) n (id, recorded, name, name_key, domain, github_org, employees, \
         industry, country, funding_stage, edited, learnt_revision, score_revision, score, tier, trend, scored_at, \
         created_at, updated_at, version, owner_id, tags, custom, deleted_at) \
         WHERE t.org_id = $1 AND t.id = n.id",
    )
    .bind(scope.uuid())
    .bind(column(accounts, |a| a.id.uuid()))
    .bind(column(accounts, |a| a.recorded))
    .bind(column(accounts, |a| a.profile.name.as_str()))
    .bind(column(accounts, |a| text::sort_key(&a.profile.name)))
    .bind(column(accounts, |a| a.profile.domain.as_deref()))
    .bind(column(accounts, |a| a.profile.github_org.as_deref()))
    .bind(column(accounts, |a| a.profile.employees))
    .bind(column(accounts, |a| a.profile.industry.as_deref()))
    .bind(column(accounts, |a| a.profile.country.as_deref()))
    .bind(column(accounts, |a| a.profile.funding_stage.as_deref()))
    .bind(column(accounts, |a| arrays::of_texts(a.edited.iter().map(|field| field.name()))))
    .bind(column(accounts, |a| a.learnt_revision))
    .bind(column(accounts, |a| a.score_revision))
    .bind(column(accounts, |a| a.score.map(|s| s.points)))
    .bind(column(accounts, |a| a.score.map_or(0, |s| small(s.tier.number()))))
    .bind(column(accounts, |a| a.score.map_or(0, |s| small(s.trend.number()))))
    .bind(column(accounts, |a| a.score.map(|s| s.at.to_sqlx())))
    .bind(column(accounts, |a| a.created_at.to_sqlx()))
    .bind(column(accounts, |a| a.updated_at.to_sqlx()))
    .bind(column(accounts, |a| a.version))
    .bind(column(accounts, |a| a.extras.owner))
    .bind(column(accounts, |a| arrays::of_texts(a.extras.tags.iter().map(String::as_str))))
    .bind(column(accounts, |a| Json(&a.extras.custom)))
    .bind(column(accounts, |a| a.deleted_at.map(|at| at.to_sqlx())))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
