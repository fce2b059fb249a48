//! When each account is to be scored: marked by whatever happens, claimed by workers, finished with its score.
//!
//! Race, held by `tests/it/schedule.rs`: what happens while a worker computes must be scored, too. The worker's claim is
//! committed before it reads; a mark that finds a lease sets `again`; finishing a row with `again` leaves it dirty.

use ::store::{PipelineDb, ToSqlx as _, Ts, Tx};
use jiff::{SignedDuration, Timestamp};
use sqlx::Row as _;
use uuid::Uuid;

use crate::error::ScoringError;

/// Accounts claimed by one worker for one round.
#[derive(Debug, Clone, Default)]
pub struct Claim {
    /// Names the claim; a claim that was taken over has another.
    pub lease: Uuid,
    /// Organization and account.
    pub accounts: Vec<(Uuid, Uuid)>,
}

/// How an account of a claim is left.
#[derive(Debug, Clone, Copy)]
pub struct Finish {
    /// Organization.
    pub org: Uuid,
    /// Account.
    pub account: Uuid,
    /// When it is due if nothing happens; `None` for never.
    pub next_due: Option<Timestamp>,
    /// Not to be scored again before.
    pub not_before: Timestamp,
    /// Whether it must be scored again although nothing happened: the score was not written.
    pub again: bool,
}

/// What waits to be scored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Accounts that are due, or being scored.
    pub accounts: i64,
    /// Since when the longest is due.
    pub oldest: Option<Timestamp>,
}

/// Marks accounts, which come in locking order, as due at `now`; an account that was scored a moment ago, when its
/// pause is over. A mark on an account that is due already writes nothing.
pub(super) async fn mark(tx: &mut Tx, accounts: &[(Uuid, Uuid)], now: Timestamp) -> Result<(), ScoringError> {
    if accounts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO schedule AS s (org_id, account_id, dirty, due_at)
         SELECT org_id, account_id, true, $3 FROM unnest($1::uuid[], $2::uuid[]) AS n(org_id, account_id)
         ON CONFLICT (org_id, account_id) DO UPDATE SET
             dirty = true,
             again = s.lease IS NOT NULL,
             due_at = CASE WHEN s.lease IS NULL THEN GREATEST($3, s.not_before) ELSE s.due_at END
         WHERE NOT s.dirty OR (s.lease IS NOT NULL AND NOT s.again)",
    )
    .bind(accounts.iter().map(|(org, _)| *org).collect::<Vec<_>>())
    .bind(accounts.iter().map(|(_, account)| *account).collect::<Vec<_>>())
    .bind(now.to_sqlx())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Claims up to `limit` accounts that are due, dirty ones first, for the time of `lease`: after it they are anybody's.
/// Other workers' claims are skipped, not waited for. Committed when this returns.
///
/// # Errors
/// [`ScoringError::Store`].
pub async fn claim(
    pipeline: &PipelineDb,
    name: Uuid,
    limit: u32,
    now: Timestamp,
    lease: SignedDuration,
) -> Result<Claim, ScoringError> {
    let mut tx = pipeline.begin().await?;
    // A claim that a crash forgets is claimed again: it need not wait for the disk. For the rest see `by_index`.
    sqlx::query(
        "SELECT set_config('synchronous_commit', 'off', true), set_config('enable_seqscan', 'off', true)",
    )
    .execute(&mut *tx)
    .await?;
    let rows = sqlx::query(
        "WITH living AS MATERIALIZED (
             SELECT org_id, account_id FROM schedule WHERE dirty AND due_at <= $1
             ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
         ), ageing AS MATERIALIZED (
             SELECT org_id, account_id FROM schedule WHERE NOT dirty AND due_at IS NOT NULL AND due_at <= $1
             ORDER BY due_at LIMIT GREATEST(0, $2 - (SELECT count(*) FROM living)) FOR UPDATE SKIP LOCKED
         )
         UPDATE schedule s SET lease = $3, again = false, due_at = $4
         FROM (SELECT * FROM living UNION ALL SELECT * FROM ageing) c
         WHERE s.org_id = c.org_id AND s.account_id = c.account_id
         RETURNING s.org_id, s.account_id",
    )
    .bind(now.to_sqlx())
    .bind(i64::from(limit))
    .bind(name)
    .bind((now + lease).to_sqlx())
    .fetch_all(&mut *tx)
    .await?;
    if rows.is_empty() {
        tx.rollback().await;
        return Ok(Claim::default());
    }
    tx.commit().await?;
    let accounts = rows.into_iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    Ok(Claim {
        lease: name,
        accounts: accounts.collect::<Result<_, sqlx::Error>>()?,
    })
}

/// When the next account is due, if any will be.
///
/// # Errors
/// [`ScoringError::Store`].
pub async fn next_due(pipeline: &PipelineDb) -> Result<Option<Timestamp>, ScoringError> {
    let mut tx = pipeline.begin().await?;
    let row = sqlx::query(
        "SELECT LEAST((SELECT min(due_at) FROM schedule WHERE dirty),
                      (SELECT min(due_at) FROM schedule WHERE NOT dirty AND due_at IS NOT NULL))",
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.rollback().await;
    Ok(row.try_get::<Option<Ts>, _>(0)?.map(Ts::to_jiff))
}

/// Leaves the claimed accounts in the caller's transaction. What was taken over by another worker stays with it.
pub async fn finish(
    tx: &mut Tx,
    lease: Uuid,
    finished: &[Finish],
    now: Timestamp,
) -> Result<(), ScoringError> {
    // Locks first and in order: an update that joins takes rows in whatever order the plan likes.
    sqlx::query(
        "WITH done AS (
             SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::bool[])
                  AS d(org_id, account_id, next_due, not_before, again)
         ), held AS MATERIALIZED (
             SELECT org_id, account_id FROM schedule
             WHERE lease = $6 AND (org_id, account_id) IN (SELECT org_id, account_id FROM done)
             ORDER BY org_id DESC, account_id DESC FOR UPDATE
         )
         UPDATE schedule s SET
             lease = NULL,
             not_before = d.not_before,
             dirty = s.again OR d.again,
             due_at = CASE WHEN d.again THEN $7 WHEN s.again THEN d.not_before ELSE d.next_due END,
             again = false
         FROM held h JOIN done d USING (org_id, account_id)
         WHERE s.org_id = h.org_id AND s.account_id = h.account_id",
    )
    .bind(finished.iter().map(|done| done.org).collect::<Vec<_>>())
    .bind(finished.iter().map(|done| done.account).collect::<Vec<_>>())
    .bind(
        finished
            .iter()
            .map(|done| done.next_due.map(|at| at.to_sqlx()))
            .collect::<Vec<_>>(),
    )
    .bind(
        finished
            .iter()
            .map(|done| done.not_before.to_sqlx())
            .collect::<Vec<_>>(),
    )
    .bind(finished.iter().map(|done| done.again).collect::<Vec<_>>())
    .bind(lease)
    .bind(now.to_sqlx())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whether scoring has heard of the account.
pub(crate) async fn is_known(tx: &mut Tx, org: Uuid, account: Uuid) -> Result<bool, ScoringError> {
    let found = sqlx::query("SELECT 1 FROM schedule WHERE org_id = $1 AND account_id = $2")
        .bind(org)
        .bind(account)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(found.is_some())
}

/// How much waits as of `now`.
///
/// # Errors
/// [`ScoringError::Store`].
pub async fn waiting(pipeline: &PipelineDb, now: Timestamp) -> Result<Waiting, ScoringError> {
    let mut tx = pipeline.begin().await?;
    let row = sqlx::query(
        "SELECT count(*), min(due_at) FROM (
             SELECT due_at FROM schedule WHERE dirty AND (due_at <= $1 OR lease IS NOT NULL)
             UNION ALL
             SELECT due_at FROM schedule WHERE NOT dirty AND due_at IS NOT NULL AND due_at <= $1) w",
    )
    .bind(now.to_sqlx())
    .fetch_one(&mut *tx)
    .await?;
    tx.rollback().await;
    let oldest: Option<Ts> = row.try_get(1)?;
    Ok(Waiting {
        accounts: row.try_get(0)?,
        oldest: oldest.map(Ts::to_jiff).filter(|at| *at <= now),
    })
}
