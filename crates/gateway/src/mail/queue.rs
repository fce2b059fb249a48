//! The statements on `mails` and `mail_tokens`.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::Row as _;
use store::{PipelineDb, StoreError, ToSqlx, Ts, Tx};
use uuid::Uuid;

use super::{NewMail, Template};

/// A mail that is being tried.
#[derive(Debug, Clone)]
pub(super) struct Claimed {
    pub(super) id: Uuid,
    pub(super) template: Option<Template>,
    pub(super) to: String,
    pub(super) facts: Value,
    pub(super) expires_at: Timestamp,
    /// This try included.
    pub(super) attempts: i32,
}

/// Puts one in.
pub(super) async fn put(tx: &mut Tx, id: Uuid, mail: &NewMail, now: Timestamp) -> Result<(), StoreError> {
    let expires_at = now.checked_add(mail.good_for).unwrap_or(now);
    sqlx::query(
        "INSERT INTO mails (id, template, recipient, facts, created_at, due_at, expires_at) VALUES ($1,$2,$3,$4,$5,$5,$6)",
    )
    .bind(id)
    .bind(mail.template.name())
    .bind(&mail.to)
    .bind(&mail.facts)
    .bind(now.to_sqlx())
    .bind(expires_at.to_sqlx())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The name of an organization.
pub(super) async fn organization(tx: &mut Tx, org: Uuid) -> Result<String, StoreError> {
    let name = sqlx::query_scalar("SELECT name FROM organizations WHERE org_id = $1")
        .bind(org)
        .fetch_one(&mut **tx)
        .await?;
    Ok(name)
}

/// The addresses of an organization's owners and admins, the first hundred.
pub(super) async fn admins(tx: &mut Tx, org: Uuid) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query(
        "SELECT u.email FROM members m JOIN users u ON u.id = m.id \
         WHERE m.org_id = $1 AND m.role IN ('OWNER', 'ADMIN') ORDER BY m.created_at, m.id LIMIT 100",
    )
    .bind(org)
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(|row| Ok(row.try_get("email")?)).collect()
}

/// Takes what is due; until `taken_until` nobody else does.
pub(super) async fn claim(
    db: &PipelineDb,
    now: Timestamp,
    taken_until: Timestamp,
    most: i64,
) -> Result<Vec<Claimed>, StoreError> {
    let mut tx = db.begin().await?;
    let rows = sqlx::query(
        "UPDATE mails SET attempts = attempts + 1, due_at = $2 WHERE id IN ( \
             SELECT id FROM mails WHERE ended_at IS NULL AND due_at <= $1 ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED) \
         RETURNING id, template, recipient, facts, expires_at, attempts",
    )
    .bind(now.to_sqlx())
    .bind(taken_until.to_sqlx())
    .bind(most)
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let claimed = rows.iter().map(|row| {
        Ok(Claimed {
            id: row.try_get("id")?,
            template: Template::named(row.try_get("template")?),
            to: row.try_get("recipient")?,
            facts: row.try_get("facts")?,
            expires_at: row.try_get::<Ts, _>("expires_at")?.to_jiff(),
            attempts: row.try_get("attempts")?,
        })
    });
    claimed.collect()
}

/// Notes what became of a mail.
pub(super) async fn end(
    db: &PipelineDb,
    mail: &Claimed,
    now: Timestamp,
    outcome: &str,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    sqlx::query(
        "UPDATE mails SET ended_at = $2, outcome = $3, reason = $4 WHERE id = $1 AND ended_at IS NULL",
    )
    .bind(mail.id)
    .bind(now.to_sqlx())
    .bind(outcome)
    .bind(reason)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Puts a mail off.
pub(super) async fn retry(
    db: &PipelineDb,
    mail: &Claimed,
    due: Timestamp,
    reason: &str,
) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    sqlx::query("UPDATE mails SET due_at = $2, reason = $3 WHERE id = $1 AND ended_at IS NULL")
        .bind(mail.id)
        .bind(due.to_sqlx())
        .bind(reason)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// Makes the token of a mail good for the person with its address; `false` when there is none. Doing it again changes
/// nothing: a token that was used stays used.
pub(super) async fn arm(
    db: &PipelineDb,
    mail: &Claimed,
    sha256: [u8; 32],
    purpose: &str,
) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    let user: Option<Uuid> = sqlx::query_scalar("SELECT id FROM users WHERE email = $1")
        .bind(&mail.to)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(user) = user else {
        tx.rollback().await;
        return Ok(false);
    };
    sqlx::query(
        "INSERT INTO mail_tokens (sha256, purpose, user_id, expires_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(&sha256[..])
    .bind(purpose)
    .bind(user)
    .bind(mail.expires_at.to_sqlx())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(true)
}

/// Forgets what ended, in small steps; returns how much there was.
pub(super) async fn forget(
    db: &PipelineDb,
    now: Timestamp,
    ended_before: Timestamp,
) -> Result<u64, StoreError> {
    let mut tx = db.begin().await?;
    let mut deleted = 0;
    for (statement, before) in [
        (
            "DELETE FROM mails WHERE id IN (SELECT id FROM mails WHERE ended_at < $1 LIMIT 1000)",
            ended_before,
        ),
        (
            "DELETE FROM mail_tokens WHERE sha256 IN (SELECT sha256 FROM mail_tokens WHERE expires_at < $1 LIMIT 1000)",
            now,
        ),
    ] {
        let done = sqlx::query(statement)
            .bind(before.to_sqlx())
            .execute(&mut *tx)
            .await?;
        deleted += done.rows_affected();
    }
    tx.commit().await?;
    Ok(deleted)
}
