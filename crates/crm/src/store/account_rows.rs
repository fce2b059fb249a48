//! Rows of `accounts`.

use std::collections::BTreeSet;

use ::store::{OrgScope, ToSqlx as _, Ts, Tx};
use ids::AccountId;
use serde_json::{Map, Value};
use sqlx::FromRow;
use sqlx::types::Json;
use uuid::Uuid;

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

/// A number of an enum, as its column has it.
pub(super) fn small(number: i32) -> i16 {
    i16::try_from(number).unwrap_or_default()
}

/// Writes everything but the count of contacts, which is kept by statements of its own. The row is locked and there.
pub(super) async fn save(tx: &mut Tx, scope: &OrgScope, account: &Account) -> Result<(), CrmError> {
    let profile = &account.profile;
    let edited: Vec<&str> = account.edited.iter().map(|field| field.name()).collect();
    let score = account.score;
    sqlx::query(
        "UPDATE accounts SET recorded = $3, name = $4, name_key = $5, domain = $6, github_org = $7, employees = $8, \
         industry = $9, country = $10, funding_stage = $11, edited_fields = $12, learnt_revision = $13, \
         score_revision = $14, score = $15, tier = $16, trend = $17, scored_at = $18, created_at = $19, \
         updated_at = $20, version = $21, owner_id = $22, tags = $23, custom = $24, deleted_at = $25 WHERE org_id = $1 AND id = $2",
    )
    .bind(scope.uuid())
    .bind(account.id.uuid())
    .bind(account.recorded)
    .bind(&profile.name)
    .bind(text::sort_key(&profile.name))
    .bind(&profile.domain)
    .bind(&profile.github_org)
    .bind(profile.employees)
    .bind(&profile.industry)
    .bind(&profile.country)
    .bind(&profile.funding_stage)
    .bind(edited)
    .bind(account.learnt_revision)
    .bind(account.score_revision)
    .bind(score.map(|s| s.points))
    .bind(score.map_or(0, |s| small(s.tier.number())))
    .bind(score.map_or(0, |s| small(s.trend.number())))
    .bind(score.map(|s| s.at.to_sqlx()))
    .bind(account.created_at.to_sqlx())
    .bind(account.updated_at.to_sqlx())
    .bind(account.version)
    .bind(account.extras.owner)
    .bind(&account.extras.tags)
    .bind(Json(&account.extras.custom))
    .bind(account.deleted_at.map(|at| at.to_sqlx()))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
