//! Roll-ups follow the person and the account that they turn out to belong to.
//!
//! Moving adds what is moved to what is there, so that no signal is lost or counted twice.

use ::store::{PipelineDb, ToSqlx as _, Tx};
use jiff::Timestamp;
use sqlx::Row as _;
use uuid::Uuid;

use super::corrections::lock_alone;
use super::people::move_title;
use super::{Delivered, Outcome, begin_once, schedule};
use crate::error::ScoringError;

/// An actor turned out to be a known person.
#[derive(Debug, Clone, Copy)]
pub struct Merge {
    /// The actor that is no more.
    pub from: Uuid,
    /// The person.
    pub contact: Uuid,
    /// Where the actor's signals without account belong.
    pub account: Option<Uuid>,
}

/// A known person was found to belong to a company.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// The person.
    pub contact: Uuid,
    /// The company.
    pub account: Uuid,
}

/// Everything of the actor becomes the person's, and what of it had no account gets the one given.
///
/// # Errors
/// [`ScoringError::Store`]; nothing was changed then.
pub async fn merge(
    pipeline: &PipelineDb,
    delivered: &Delivered,
    merge: &Merge,
    now: Timestamp,
) -> Result<Outcome, ScoringError> {
    let Some(mut tx) = begin_once(pipeline, delivered).await? else {
        return Ok(Outcome::Repeated);
    };
    let org = delivered.org.uuid();
    lock_alone(&mut tx, org).await?;
    // Merges may arrive out of order: whom they merge into may have been merged on already.
    let into = current(&mut tx, org, merge.contact)
        .await?
        .unwrap_or(merge.contact);
    if into == merge.from {
        tracing::warn!(%org, actor = %merge.from, contact = %merge.contact, "a merge in a circle is left out");
        tx.commit().await?;
        return Ok(Outcome::Repeated);
    }
    record_alias(
        &mut tx,
        org,
        &Merge {
            contact: into,
            ..*merge
        },
        delivered.at,
    )
    .await?;
    let hop = Hop {
        org,
        from: merge.from,
        into,
        account: merge.account,
        only_homeless: false,
    };
    let accounts = hop.run(&mut tx).await?;
    move_title(&mut tx, org, merge.from, into).await?;
    move_link(&mut tx, org, merge.from, into).await?;
    schedule::mark(&mut tx, &accounts, now).await?;
    tx.commit().await?;
    Ok(Outcome::Applied)
}

/// What the person did without account counts for the company, and so does what arrives later.
///
/// # Errors
/// [`ScoringError::Store`]; nothing was changed then.
pub async fn link(
    pipeline: &PipelineDb,
    delivered: &Delivered,
    link: &Link,
    now: Timestamp,
) -> Result<Outcome, ScoringError> {
    let Some(mut tx) = begin_once(pipeline, delivered).await? else {
        return Ok(Outcome::Repeated);
    };
    let org = delivered.org.uuid();
    lock_alone(&mut tx, org).await?;
    let actor = current(&mut tx, org, link.contact).await?.unwrap_or(link.contact);
    sqlx::query(
        "INSERT INTO actor_accounts AS l (org_id, actor_id, account_id, linked_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (org_id, actor_id) DO UPDATE SET account_id = excluded.account_id, linked_at = excluded.linked_at
         WHERE l.linked_at <= excluded.linked_at",
    )
    .bind(org)
    .bind(actor)
    .bind(link.account)
    .bind(delivered.at.to_sqlx())
    .execute(&mut *tx)
    .await?;
    let hop = Hop {
        org,
        from: actor,
        into: actor,
        account: Some(link.account),
        only_homeless: true,
    };
    let accounts = hop.run(&mut tx).await?;
    schedule::mark(&mut tx, &accounts, now).await?;
    tx.commit().await?;
    Ok(Outcome::Applied)
}

/// Whom the actor was merged into, if it was.
async fn current(tx: &mut Tx, org: Uuid, actor: Uuid) -> Result<Option<Uuid>, ScoringError> {
    let found =
        sqlx::query_scalar("SELECT contact_id FROM actor_aliases WHERE org_id = $1 AND actor_id = $2")
            .bind(org)
            .bind(actor)
            .fetch_optional(&mut **tx)
            .await?;
    Ok(found)
}

/// Notes the merge, and that who was merged into the actor before is merged into the person now: an alias never leads
/// to another alias.
async fn record_alias(tx: &mut Tx, org: Uuid, merge: &Merge, at: Timestamp) -> Result<(), ScoringError> {
    sqlx::query("UPDATE actor_aliases SET contact_id = $3 WHERE org_id = $1 AND contact_id = $2")
        .bind(org)
        .bind(merge.from)
        .bind(merge.contact)
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "INSERT INTO actor_aliases (org_id, actor_id, contact_id, account_id, merged_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (org_id, actor_id) DO UPDATE SET contact_id = excluded.contact_id,
             account_id = COALESCE(excluded.account_id, actor_aliases.account_id), merged_at = excluded.merged_at",
    )
    .bind(org)
    .bind(merge.from)
    .bind(merge.contact)
    .bind(merge.account)
    .bind(at.to_sqlx())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The person belongs where the actor belonged, unless more is known of the person itself.
async fn move_link(tx: &mut Tx, org: Uuid, from: Uuid, into: Uuid) -> Result<(), ScoringError> {
    sqlx::query(
        "WITH moved AS (DELETE FROM actor_accounts WHERE org_id = $1 AND actor_id = $2 RETURNING *)
         INSERT INTO actor_accounts (org_id, actor_id, account_id, linked_at)
         SELECT org_id, $3, account_id, linked_at FROM moved
         ON CONFLICT (org_id, actor_id) DO NOTHING",
    )
    .bind(org)
    .bind(from)
    .bind(into)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Rows that move to another actor, to an account, or both.
struct Hop {
    org: Uuid,
    from: Uuid,
    into: Uuid,
    /// Where rows without account go; `None` leaves them without.
    account: Option<Uuid>,
    /// Leaves rows alone that have an account.
    only_homeless: bool,
}

impl Hop {
    /// Moves activity and usage readings; returns the accounts that changed, in locking order.
    async fn run(&self, tx: &mut Tx) -> Result<Vec<(Uuid, Uuid)>, ScoringError> {
        let activity = sqlx::query(
            "WITH moved AS (
                 DELETE FROM activity WHERE org_id = $1 AND actor_id = $2 AND (NOT $5 OR account_id = $6) RETURNING *
             ), target AS (
                 SELECT CASE WHEN account_id = $6 THEN COALESCE($4, $6) ELSE account_id END AS account_id,
                        day, type, feature, competitor,
                        sum(signals)::bigint AS signals, min(first_at) AS first_at, max(last_at) AS last_at,
                        (array_agg(last_signal_id ORDER BY last_at DESC, last_signal_id DESC))[1] AS last_signal_id
                 FROM moved GROUP BY 1, 2, 3, 4, 5
             ), added AS (
                 INSERT INTO activity AS a (org_id, account_id, day, actor_id, type, feature, competitor,
                                            signals, first_at, last_at, last_signal_id)
                 SELECT $1, account_id, day, $3, type, feature, competitor, signals, first_at, last_at, last_signal_id
                 FROM target
                 ON CONFLICT (org_id, account_id, day, actor_id, type, feature, competitor) DO UPDATE SET
                     signals = a.signals + excluded.signals,
                     first_at = LEAST(a.first_at, excluded.first_at),
                     last_at = GREATEST(a.last_at, excluded.last_at),
                     last_signal_id =
                         CASE WHEN (excluded.last_at, excluded.last_signal_id) > (a.last_at, a.last_signal_id)
                              THEN excluded.last_signal_id ELSE a.last_signal_id END
                 RETURNING account_id
             )
             SELECT DISTINCT account_id FROM added WHERE account_id <> $6 ORDER BY account_id DESC",
        );
        let rows = self.bind(activity).fetch_all(&mut **tx).await?;
        let usage = sqlx::query(
            "WITH moved AS (
                 DELETE FROM usage_readings
                 WHERE org_id = $1 AND actor_id = $2 AND (NOT $5 OR account_id = $6) RETURNING *
             ), target AS (
                 SELECT DISTINCT ON (1, 2, 3)
                        CASE WHEN account_id = $6 THEN COALESCE($4, $6) ELSE account_id END AS account_id,
                        day, metric, used, limit_value, read_at, signal_id
                 FROM moved ORDER BY 1, 2, 3, used / limit_value DESC, read_at DESC, signal_id DESC
             )
             INSERT INTO usage_readings AS u (org_id, account_id, day, actor_id, metric,
                                              used, limit_value, read_at, signal_id)
             SELECT $1, account_id, day, $3, metric, used, limit_value, read_at, signal_id FROM target
             ON CONFLICT (org_id, account_id, day, actor_id, metric) DO UPDATE SET
                 used = excluded.used, limit_value = excluded.limit_value,
                 read_at = excluded.read_at, signal_id = excluded.signal_id
             WHERE (excluded.used / excluded.limit_value, excluded.read_at, excluded.signal_id)
                 > (u.used / u.limit_value, u.read_at, u.signal_id)",
        );
        self.bind(usage).execute(&mut **tx).await?;
        Ok(rows
            .into_iter()
            .map(|row| row.try_get(0).map(|account| (self.org, account)))
            .collect::<Result<_, _>>()?)
    }

    /// `$1` organization, `$2` from, `$3` into, `$4` account, `$5` only what has no account, `$6` no account.
    fn bind<'q>(
        &self,
        query: sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) -> sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments> {
        query
            .bind(self.org)
            .bind(self.from)
            .bind(self.into)
            .bind(self.account)
            .bind(self.only_homeless)
            .bind(Uuid::nil())
    }
}
