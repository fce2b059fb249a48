//! Accounts as they were at a time.

use ::store::{OrgScope, ToSqlx as _, Ts, Tx};
use contracts::convert::timestamp;
use contracts::crm::v1 as crm;
use contracts::scores::v1 as scores;
use errors::{ApiError, ErrorCode};
use ids::AccountId;
use jiff::Timestamp;
use prost::Message;
use sqlx::FromRow;
use uuid::Uuid;

use super::Records;
use super::history::Of;
use crate::error::CrmError;

/// Most contacts and deals that are shown.
const MAX_SHOWN: i64 = 200;

/// What belonged to an account: of everything that ever did, the newest version up to the time.
const MEMBERS: &str = "SELECT l.state, count(*) OVER () AS members FROM \
     (SELECT DISTINCT v.record_id FROM record_versions v \
      WHERE v.org_id = $1 AND v.account_id = $2 AND v.kind = $3 AND v.recorded_at <= $4) c \
     CROSS JOIN LATERAL (SELECT v.account_id, v.state FROM record_versions v \
      WHERE v.org_id = $1 AND v.record_id = c.record_id AND v.recorded_at <= $4 \
      ORDER BY v.recorded_at DESC, v.version_id DESC LIMIT 1) l \
     WHERE l.account_id = $2 AND l.state IS NOT NULL ORDER BY c.record_id LIMIT $5";

#[derive(Debug, FromRow)]
struct ScoreRow {
    at: Ts,
    score: i16,
    tier: i16,
    trend: i16,
    model_version: String,
    detail: Option<Vec<u8>>,
}

impl Records {
    /// The account as it was at `at`.
    ///
    /// # Errors
    /// A time in the future; [`CrmError::NotFound`] of an account that nothing is known of, a detailed one when its history begins
    /// later or it was removed then; of the database.
    pub async fn account_as_of(
        &self,
        scope: &OrgScope,
        id: AccountId,
        at: Timestamp,
    ) -> Result<crm::Account, CrmError> {
        if at > self.now() {
            let message = "asOf must not be in the future".to_owned();
            let refused = ::store::paging::invalid_parameter("?asOf", "in_future", message);
            return Err(CrmError::Api(refused));
        }
        let mut tx = self.db.begin(scope).await?;
        let found = read(&mut tx, scope, id, at).await;
        tx.rollback().await;
        found
    }
}

async fn read(tx: &mut Tx, scope: &OrgScope, id: AccountId, at: Timestamp) -> Result<crm::Account, CrmError> {
    let mut account = account(tx, scope, id, at).await?;
    let (contacts, members) = belonging::<crm::Contact>(tx, scope, (id, Of::Contact), at).await?;
    let (deals, _) = belonging::<crm::Deal>(tx, scope, (id, Of::Deal), at).await?;
    let score = score(tx, scope, id, at).await?;
    account.contact_count = members;
    account.score = score.as_ref().map(|score| score.score);
    account.tier = score.as_ref().map_or(0, |score| score.tier);
    account.trend = score.as_ref().map_or(0, |score| score.trend);
    account.scored_at = score.as_ref().and_then(|score| score.computed_at);
    account.snapshot = Some(crm::AccountSnapshot {
        as_of: Some(timestamp(at)),
        contacts,
        deals,
        score,
    });
    Ok(account)
}

/// The account's own fields.
async fn account(
    tx: &mut Tx,
    scope: &OrgScope,
    id: AccountId,
    at: Timestamp,
) -> Result<crm::Account, CrmError> {
    let found: Option<(Option<Vec<u8>>,)> = sqlx::query_as(
        "SELECT state FROM record_versions WHERE org_id = $1 AND record_id = $2 AND kind = 1 AND recorded_at <= $3 \
         ORDER BY recorded_at DESC, version_id DESC LIMIT 1",
    )
    .bind(scope.uuid())
    .bind(id.uuid())
    .bind(at.to_sqlx())
    .fetch_optional(&mut **tx)
    .await?;
    match found {
        Some((Some(state),)) => decoded(&state, id.uuid()),
        Some((None,)) => Err(missing(format!("the account had been removed by {at}"))),
        None => {
            let first: Option<Ts> = sqlx::query_scalar(
                "SELECT min(recorded_at) FROM record_versions WHERE org_id = $1 AND record_id = $2 AND kind = 1",
            )
            .bind(scope.uuid())
            .bind(id.uuid())
            .fetch_one(&mut **tx)
            .await?;
            Err(first.map_or(CrmError::NotFound("account"), |first| {
                missing(format!("the account's history begins at {}", first.to_jiff()))
            }))
        }
    }
}

fn missing(detail: String) -> CrmError {
    CrmError::Api(ApiError::new(ErrorCode::NotFound, detail))
}

/// What belonged to the account, and how many there were.
async fn belonging<M: Message + Default>(
    tx: &mut Tx,
    scope: &OrgScope,
    (account, of): (AccountId, Of),
    at: Timestamp,
) -> Result<(Vec<M>, i64), CrmError> {
    let rows: Vec<(Vec<u8>, i64)> = sqlx::query_as(MEMBERS)
        .bind(scope.uuid())
        .bind(account.uuid())
        .bind(of as i16)
        .bind(at.to_sqlx())
        .bind(MAX_SHOWN)
        .fetch_all(&mut **tx)
        .await?;
    let count = rows.first().map_or(0, |row| row.1);
    let members = rows.iter().map(|(state, _)| decoded(state, account.uuid()));
    Ok((members.collect::<Result<_, _>>()?, count))
}

/// The newest move of the score up to the time.
async fn score(
    tx: &mut Tx,
    scope: &OrgScope,
    id: AccountId,
    at: Timestamp,
) -> Result<Option<scores::AccountScore>, CrmError> {
    let row: Option<ScoreRow> = sqlx::query_as(
        "SELECT at, score, tier, trend, model_version, detail FROM score_changes \
         WHERE org_id = $1 AND account_id = $2 AND at <= $3 ORDER BY at DESC, id DESC LIMIT 1",
    )
    .bind(scope.uuid())
    .bind(id.uuid())
    .bind(at.to_sqlx())
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    match &row.detail {
        Some(detail) => decoded(detail, id.uuid()).map(Some),
        None => Ok(Some(scores::AccountScore {
            account_id: id.to_string(),
            score: i32::from(row.score),
            tier: i32::from(row.tier),
            trend: i32::from(row.trend),
            computed_at: Some(timestamp(row.at.to_jiff())),
            model_version: row.model_version,
            factors: Vec::new(),
        })),
    }
}

fn decoded<M: Message + Default>(state: &[u8], of: Uuid) -> Result<M, CrmError> {
    M::decode(state).map_err(|_| CrmError::Corrupt(format!("history of {of}")))
}
