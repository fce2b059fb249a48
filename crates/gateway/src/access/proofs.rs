//! What is proven by mail: that an address is somebody's, and that they may set a new password.

use contracts::access::v1 as wire;
use errors::{ApiError, ErrorCode};
use jiff::SignedDuration;
use serde_json::json;
use sqlx::Row as _;
use store::{ToSqlx as _, Tx};
use uuid::Uuid;

use super::parts::{Api, Fault, digest, email, password};
use super::trail::Whence;
use crate::mail::{NewMail, Template};

/// A link to set a new password is good for so long.
const RESET: SignedDuration = SignedDuration::from_mins(30);
/// A link to confirm an address is good for so long.
const VERIFY: SignedDuration = SignedDuration::from_hours(3 * 24);
/// A notice is worth sending for so long.
const NOTICE: SignedDuration = SignedDuration::from_hours(3 * 24);

fn refused() -> Fault {
    Fault::Api(ApiError::new(
        ErrorCode::Unauthenticated,
        "the token is not valid any more",
    ))
}

impl Api {
    /// Puts the mail in that asks whether an address is theirs.
    pub(super) async fn ask_for_proof(&self, tx: &mut Tx, email: &str, name: &str) -> Result<(), Fault> {
        let mail = NewMail {
            template: Template::VerifyEmail,
            to: email.to_owned(),
            facts: json!({ "name": name }),
            good_for: VERIFY,
        };
        self.0.mailer.enqueue(tx, &mail).await?;
        Ok(())
    }

    pub(super) async fn ask_again(&self, user: Uuid) -> Result<(), Fault> {
        self.0.mailer.needed()?;
        let mut tx = self.0.stores.pipeline.begin().await?;
        let row =
            sqlx::query("SELECT email, name, verified_at IS NOT NULL AS verified FROM users WHERE id = $1")
                .bind(user)
                .fetch_one(&mut *tx)
                .await?;
        if row.try_get("verified")? {
            return Err(ApiError::new(ErrorCode::Conflict, "the address is verified already").into());
        }
        let (email, name): (String, String) = (row.try_get("email")?, row.try_get("name")?);
        self.ask_for_proof(&mut tx, &email, &name).await?;
        tx.commit().await?;
        self.0.mailer.poke();
        Ok(())
    }

    /// Uses a token up; of many at once one wins.
    async fn consume(&self, tx: &mut Tx, token: &str, purpose: &str) -> Result<Uuid, Fault> {
        let row = sqlx::query(
            "UPDATE mail_tokens SET used_at = $3 WHERE sha256 = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3 \
             RETURNING user_id",
        )
        .bind(&digest(token)[..])
        .bind(purpose)
        .bind(self.0.clock.now().to_sqlx())
        .fetch_optional(&mut **tx)
        .await?;
        Ok(row.ok_or_else(refused)?.try_get("user_id")?)
    }

    pub(super) async fn prove(&self, token: &str, whence: &Whence) -> Result<(), Fault> {
        let mut tx = self.0.stores.pipeline.begin().await?;
        let user = self.consume(&mut tx, token, "verify_email").await?;
        self.proven_address(&mut tx, user).await?;
        self.note_everywhere(&mut tx, user, "AuthService/VerifyEmail", whence)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    async fn proven_address(&self, tx: &mut Tx, user: Uuid) -> Result<(), Fault> {
        sqlx::query("UPDATE users SET verified_at = COALESCE(verified_at, $2) WHERE id = $1")
            .bind(user)
            .bind(self.0.clock.now().to_sqlx())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Puts the mail in, whether there is a person with the address or not: the same work, and the same answer. Who it is
    /// for is looked up when it is sent.
    pub(super) async fn forgot(&self, address: &str) -> Result<(), Fault> {
        let to = email(address)?;
        let mail = NewMail {
            template: Template::PasswordReset,
            to,
            facts: json!({}),
            good_for: RESET,
        };
        let mut tx = self.0.stores.pipeline.begin().await?;
        self.0.mailer.enqueue(&mut tx, &mail).await?;
        tx.commit().await?;
        self.0.mailer.poke();
        Ok(())
    }

    pub(super) async fn reset(
        &self,
        asked: wire::ResetPasswordRequest,
        whence: &Whence,
    ) -> Result<(), Fault> {
        let wanted = password("/newPassword", &asked.new_password)?;
        let now = self.0.clock.now().to_sqlx();
        let mut tx = self.0.stores.pipeline.begin().await?;
        let good: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM mail_tokens \
             WHERE sha256 = $1 AND purpose = 'password_reset' AND used_at IS NULL AND expires_at > $2)",
        )
        .bind(&digest(&asked.token)[..])
        .bind(now)
        .fetch_one(&mut *tx)
        .await?;
        tx.rollback().await;
        if !good {
            // Before the costly part, so that guesses cost nothing.
            return Err(refused());
        }
        let stored = self.0.passwords.store(wanted).await?;
        let mut tx = self.0.stores.pipeline.begin().await?;
        let user = self.consume(&mut tx, &asked.token, "password_reset").await?;
        self.proven_address(&mut tx, user).await?;
        // Other mails of before are good no more.
        sqlx::query("UPDATE mail_tokens SET used_at = $2 WHERE user_id = $1 AND purpose = 'password_reset' AND used_at IS NULL")
            .bind(user)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        self.set_password(&mut tx, user, &stored).await?;
        self.note_everywhere(&mut tx, user, "AuthService/ResetPassword", whence)
            .await?;
        tx.commit().await?;
        self.0.mailer.poke();
        Ok(())
    }

    /// Stores a new password, ends all sessions of the person, and tells them by mail.
    pub(super) async fn set_password(&self, tx: &mut Tx, user: Uuid, stored: &[u8]) -> Result<(), Fault> {
        let row = sqlx::query("UPDATE users SET password = $2 WHERE id = $1 RETURNING email, name")
            .bind(user)
            .bind(stored)
            .fetch_one(&mut **tx)
            .await?;
        sqlx::query("UPDATE sessions SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL")
            .bind(user)
            .bind(self.0.clock.now().to_sqlx())
            .execute(&mut **tx)
            .await?;
        let mail = NewMail {
            template: Template::PasswordChanged,
            to: row.try_get("email")?,
            facts: json!({ "name": row.try_get::<String, _>("name")? }),
            good_for: NOTICE,
        };
        self.0.mailer.enqueue(tx, &mail).await?;
        Ok(())
    }

    /// Whether somebody may have mail sent to others: a person with a proven address; a key of an organization that has an
    /// owner with one, or that was made without people.
    pub(super) async fn may_invite(&self, tx: &mut Tx, org: Uuid, person: Option<Uuid>) -> Result<(), Fault> {
        if !self.0.mailer.sends() {
            return Ok(());
        }
        let may: bool = sqlx::query_scalar(
            "SELECT CASE WHEN $2::uuid IS NOT NULL THEN EXISTS (SELECT FROM users WHERE id = $2 AND verified_at IS NOT NULL) \
             ELSE NOT EXISTS (SELECT FROM members WHERE org_id = $1) OR EXISTS ( \
                 SELECT FROM members m JOIN users u ON u.id = m.id \
                 WHERE m.org_id = $1 AND m.role = 'OWNER' AND u.verified_at IS NOT NULL) END",
        )
        .bind(org)
        .bind(person)
        .fetch_one(&mut **tx)
        .await?;
        if may {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorCode::PermissionDenied,
            "verify your own address first: POST /api/v1/me/verify-email sends the mail again",
        )
        .into())
    }
}
