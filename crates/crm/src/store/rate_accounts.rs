//! `account.score_changed`: the accounts' scores, and their entries in the timeline. Many moves share a transaction.

use std::collections::{BTreeMap, HashSet};

use ::store::{OrgScope, ToSqlx as _, Tx, inbox, retry};
use ids::AccountId;
use jiff::Timestamp;
use uuid::Uuid;

use super::account_rows::{self, AccountRow, account_columns};
use super::{Delivered, Outcome, Records};
use crate::domain::account::Account;
use crate::domain::score::{ScoreChange, Tier};
use crate::error::CrmError;

const LOCK_MANY: &str = concat!(
    "SELECT ",
    account_columns!(),
    " FROM accounts t WHERE t.org_id = $1 AND t.id = ANY($2) ORDER BY t.id FOR UPDATE"
);

impl Records {
    /// Keeps the moves for the timeline, and of each account the score unless a newer one is known. Tells of nothing: a
    /// move has its own event. All deliveries are of one consumer.
    ///
    /// # Errors
    /// Of the database; nothing is kept then.
    pub async fn rate_accounts(&self, moves: &[(Delivered, ScoreChange)]) -> Result<Vec<Outcome>, CrmError> {
        retry(|| self.rate_accounts_once(moves)).await
    }

    async fn rate_accounts_once(&self, moves: &[(Delivered, ScoreChange)]) -> Result<Vec<Outcome>, CrmError> {
        let Some((first, _)) = moves.first() else {
            return Ok(Vec::new());
        };
        let mut tx = self.pipeline.begin().await?;
        let told: Vec<Uuid> = moves
            .iter()
            .map(|(delivered, _)| delivered.event.uuid())
            .collect();
        let fresh = inbox::claim_all(&mut tx, first.consumer, &told).await?;
        let mut fresh: HashSet<Uuid> = fresh.into_iter().collect();
        let mut outcomes = Vec::with_capacity(moves.len());
        // In the order of their ids, as everybody locks.
        let mut by_org: BTreeMap<Uuid, (OrgScope, Vec<&ScoreChange>)> = BTreeMap::new();
        for (delivered, change) in moves {
            let new = fresh.remove(&delivered.event.uuid());
            outcomes.push(if new { Outcome::Applied } else { Outcome::Repeated });
            if new {
                let scope = delivered.scope;
                let of_org = by_org.entry(scope.uuid()).or_insert((scope, Vec::new()));
                of_org.1.push(change);
            }
        }
        let now = self.now();
        for (scope, changes) in by_org.values() {
            let mut accounts = lock_or_make(&mut tx, scope, changes, now).await?;
            let mut rated = BTreeMap::new();
            for change in changes {
                if let Some(account) = accounts.get_mut(&change.account)
                    && account.rate(change, now)
                {
                    rated.insert(change.account, account.clone());
                }
            }
            save(&mut tx, scope, rated.values()).await?;
            keep(&mut tx, scope, changes).await?;
        }
        tx.commit().await?;
        Ok(outcomes)
    }
}

/// The accounts, locked until the end of the transaction; those that nothing was heard of get a row that readers do not
/// see.
async fn lock_or_make(
    tx: &mut Tx,
    scope: &OrgScope,
    changes: &[&ScoreChange],
    now: Timestamp,
) -> Result<BTreeMap<AccountId, Account>, CrmError> {
    let mut ids: Vec<Uuid> = changes.iter().map(|change| change.account.uuid()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut locked = lock(tx, scope, &ids).await?;
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
    locked.append(&mut lock(tx, scope, &ids).await?);
    Ok(locked)
}

async fn lock(tx: &mut Tx, scope: &OrgScope, ids: &[Uuid]) -> Result<BTreeMap<AccountId, Account>, CrmError> {
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

/// Writes what a score changes of accounts.
async fn save(
    tx: &mut Tx,
    scope: &OrgScope,
    accounts: impl ExactSizeIterator<Item = &Account> + Clone,
) -> Result<(), CrmError> {
    if accounts.len() == 0 {
        return Ok(());
    }
    let scores = || accounts.clone().map(|account| account.score);
    sqlx::query(
        "UPDATE accounts t SET score_revision = n.revision, score = n.score, tier = n.tier, trend = n.trend, \
         scored_at = n.scored_at, updated_at = n.updated_at, version = n.version \
         FROM unnest($2::uuid[], $3::bigint[], $4::smallint[], $5::smallint[], $6::smallint[], $7::timestamptz[], \
         $8::timestamptz[], $9::bigint[]) n (id, revision, score, tier, trend, scored_at, updated_at, version) \
         WHERE t.org_id = $1 AND t.id = n.id",
    )
    .bind(scope.uuid())
    .bind(accounts.clone().map(|a| a.id.uuid()).collect::<Vec<_>>())
    .bind(accounts.clone().map(|a| a.score_revision).collect::<Vec<_>>())
    .bind(scores().map(|s| s.map(|s| s.points)).collect::<Vec<_>>())
    .bind(scores().map(|s| s.map_or(0, |s| account_rows::small(s.tier.number()))).collect::<Vec<_>>())
    .bind(scores().map(|s| s.map_or(0, |s| account_rows::small(s.trend.number()))).collect::<Vec<_>>())
    .bind(scores().map(|s| s.map(|s| s.at.to_sqlx())).collect::<Vec<_>>())
    .bind(accounts.clone().map(|a| a.updated_at.to_sqlx()).collect::<Vec<_>>())
    .bind(accounts.map(|a| a.version).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Keeps the moves for the timeline.
async fn keep(tx: &mut Tx, scope: &OrgScope, changes: &[&ScoreChange]) -> Result<(), CrmError> {
    let small = account_rows::small;
    let each = || changes.iter();
    sqlx::query(
        "INSERT INTO score_changes (org_id, account_id, at, id, score, tier, trend, previous_score, previous_tier, \
         model_version, detail) SELECT $1, * FROM unnest($2::uuid[], $3::timestamptz[], $4::uuid[], $5::smallint[], \
         $6::smallint[], $7::smallint[], $8::smallint[], $9::smallint[], $10::text[], $11::bytea[])",
    )
    .bind(scope.uuid())
    .bind(each().map(|c| c.account.uuid()).collect::<Vec<_>>())
    .bind(each().map(|c| c.score.at.to_sqlx()).collect::<Vec<_>>())
    .bind(each().map(|c| c.id.uuid()).collect::<Vec<_>>())
    .bind(each().map(|c| c.score.points).collect::<Vec<_>>())
    .bind(each().map(|c| small(c.score.tier.number())).collect::<Vec<_>>())
    .bind(each().map(|c| small(c.score.trend.number())).collect::<Vec<_>>())
    .bind(each().map(|c| c.previous_points).collect::<Vec<_>>())
    .bind(each().map(|c| small(c.previous_tier.map_or(0, Tier::number))).collect::<Vec<_>>())
    .bind(each().map(|c| c.model_version.as_str()).collect::<Vec<_>>())
    .bind(each().map(|c| c.detail.as_slice()).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}
