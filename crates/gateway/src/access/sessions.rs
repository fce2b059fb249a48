//! Sessions: how people come in and stay.
//!
//! Sessions live in the database; a token only names one. Whatever is wrong with who comes in has one answer, after the
//! same work.

use contracts::access::v1 as wire;
use errors::{ApiError, ErrorCode};
use serde_json::json;
use sqlx::Row as _;
use store::{ToSqlx as _, Tx};
use uuid::Uuid;

use super::parts::{
    Api, Fault, digest, email, later, name, password, path_id, secret, stored_role, told_role,
};
use super::telling::Became;
use super::token::LIFETIME_SECS;
use super::trail::{Deed, Whence};

/// A session ends so many days after it began, whatever is done in it.
const SESSION_DAYS: i64 = 30;

fn refused() -> Fault {
    Fault::Api(ApiError::new(
        ErrorCode::Unauthenticated,
        "the credentials are not valid",
    ))
}

impl Api {
    pub(super) async fn begin_session(
        &self,
        tx: &mut Tx,
        user: Uuid,
        org: Uuid,
        role: &str,
    ) -> Result<wire::Session, Fault> {
        let (session, now) = (self.0.ids.next(), self.0.clock.now());
        sqlx::query("INSERT INTO sessions (id, user_id, organization, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)")
            .bind(session)
            .bind(user)
            .bind(org)
            .bind(now.to_sqlx())
            .bind(later(now, SESSION_DAYS).to_sqlx())
            .execute(&mut **tx)
            .await?;
        self.tokens_of(tx, session, user, org, role).await
    }

    pub(super) async fn tokens_of(
        &self,
        tx: &mut Tx,
        session: Uuid,
        user: Uuid,
        org: Uuid,
        role: &str,
    ) -> Result<wire::Session, Fault> {
        let (refresh_token, stored) = secret("dsr_");
        sqlx::query("INSERT INTO refresh_tokens (sha256, session_id) VALUES ($1, $2)")
            .bind(&stored[..])
            .bind(session)
            .execute(&mut **tx)
            .await?;
        Ok(wire::Session {
            access_token: self.0.tokens.sign(user, session, org)?,
            expires_in: LIFETIME_SECS,
            refresh_token,
            organization_id: org.to_string(),
            user_id: user.to_string(),
            role: told_role(role),
        })
    }

    async fn insert_user(
        &self,
        tx: &mut Tx,
        email: &str,
        name: &str,
        password: &[u8],
    ) -> Result<Uuid, Fault> {
        let user = self.0.ids.next();
        let done = sqlx::query(
            "INSERT INTO users (id, email, name, password, created_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(user)
        .bind(email)
        .bind(name)
        .bind(password)
        .bind(self.0.clock.now().to_sqlx())
        .execute(&mut **tx)
        .await;
        match done.map_err(store::StoreError::from) {
            Ok(_) => Ok(user),
            Err(error) if error.is_unique("users_by_email") => {
                Err(ApiError::new(ErrorCode::Conflict, "this address is registered already").into())
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn insert_organization(
        &self,
        tx: &mut Tx,
        name: &str,
        owner: Uuid,
    ) -> Result<Uuid, Fault> {
        let (org, now) = (self.0.ids.next(), self.0.clock.now().to_sqlx());
        sqlx::query("INSERT INTO organizations (org_id, name, created_at) VALUES ($1, $2, $3)")
            .bind(org)
            .bind(name)
            .bind(now)
            .execute(&mut **tx)
            .await?;
        self.tell_organization(tx, org, true).await?;
        self.insert_member(tx, org, owner, "OWNER").await?;
        Ok(org)
    }

    async fn insert_member(&self, tx: &mut Tx, org: Uuid, user: Uuid, role: &str) -> Result<bool, Fault> {
        let done = sqlx::query(
            "INSERT INTO members (org_id, id, role, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(org)
        .bind(user)
        .bind(role)
        .bind(self.0.clock.now().to_sqlx())
        .execute(&mut **tx)
        .await?;
        let joined = done.rows_affected() == 1;
        if joined {
            self.tell_member(tx, org, user, Became::Joined).await?;
        }
        Ok(joined)
    }

    /// The user with an address, if this is their password.
    async fn proven(&self, email: &str, password: &str) -> Result<Option<Uuid>, Fault> {
        let mut tx = self.0.stores.pipeline.begin().await?;
        let row = sqlx::query("SELECT id, password FROM users WHERE email = $1")
            .bind(email)
            .fetch_optional(&mut *tx)
            .await?;
        tx.rollback().await;
        let (mut user, mut stored) = (None, None);
        if let Some(row) = row {
            user = Some(row.try_get::<Uuid, _>("id")?);
            stored = row.try_get::<Vec<u8>, _>("password")?.try_into().ok();
        }
        let matches = self.0.passwords.matches(password, stored).await?;
        Ok(user.filter(|_| matches))
    }

    pub(super) async fn log_in(
        &self,
        asked: wire::LoginRequest,
        whence: &Whence,
    ) -> Result<wire::Session, Fault> {
        let wanted = asked
            .organization_id
            .as_deref()
            .map(|id| path_id(id, "organization"))
            .transpose()?;
        let email = asked.email.trim().to_lowercase();
        let user = self.proven(&email, &asked.password).await?.ok_or_else(refused)?;
        let mut tx = self.0.stores.pipeline.begin().await?;
        let session = self.in_organization(&mut tx, user, wanted).await?;
        let deed = Deed {
            org: path_id(&session.organization_id, "organization")?,
            user,
            role: stored_role(session.role),
            method: "AuthService/Login",
            made: None,
        };
        self.note(&mut tx, deed, whence).await?;
        tx.commit().await?;
        Ok(session)
    }

    pub(super) async fn in_organization(
        &self,
        tx: &mut Tx,
        user: Uuid,
        wanted: Option<Uuid>,
    ) -> Result<wire::Session, Fault> {
        let row = sqlx::query(
            "SELECT org_id, role FROM members WHERE id = $1 AND ($2::uuid IS NULL OR org_id = $2) \
             ORDER BY created_at, org_id LIMIT 1",
        )
        .bind(user)
        .bind(wanted)
        .fetch_optional(&mut **tx)
        .await?;
        let row = row.ok_or_else(refused)?;
        let (org, role): (Uuid, String) = (row.try_get("org_id")?, row.try_get("role")?);
        self.begin_session(tx, user, org, &role).await
    }

    /// Uses a refresh token up. Of many at once one wins; the others end the session, as any second use does.
    pub(super) async fn renew(&self, token: &str) -> Result<wire::Session, Fault> {
        let now = self.0.clock.now().to_sqlx();
        let mut tx = self.0.stores.pipeline.begin().await?;
        let used = sqlx::query("UPDATE refresh_tokens SET used_at = $2 WHERE sha256 = $1 AND used_at IS NULL RETURNING session_id")
            .bind(&digest(token)[..])
            .bind(now)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(used) = used else {
            sqlx::query(
                "UPDATE sessions s SET revoked_at = $2 FROM refresh_tokens r \
                 WHERE r.sha256 = $1 AND s.id = r.session_id AND s.revoked_at IS NULL",
            )
            .bind(&digest(token)[..])
            .bind(now)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            return Err(refused());
        };
        let row = sqlx::query(
            "SELECT s.id, s.user_id, s.organization, m.role FROM sessions s \
             JOIN members m ON m.org_id = s.organization AND m.id = s.user_id \
             WHERE s.id = $1 AND s.revoked_at IS NULL AND s.expires_at > $2 FOR UPDATE OF s",
        )
        .bind(used.try_get::<Uuid, _>("session_id")?)
        .bind(now)
        .fetch_optional(&mut *tx)
        .await?;
        let row = row.ok_or_else(refused)?;
        let (user, org): (Uuid, Uuid) = (row.try_get("user_id")?, row.try_get("organization")?);
        let role: String = row.try_get("role")?;
        let session = self
            .tokens_of(&mut tx, row.try_get("id")?, user, org, &role)
            .await?;
        tx.commit().await?;
        Ok(session)
    }

    pub(super) async fn accept(
        &self,
        asked: wire::AcceptInvitationRequest,
        whence: &Whence,
    ) -> Result<wire::Session, Fault> {
        let now = self.0.clock.now().to_sqlx();
        let mut tx = self.0.stores.pipeline.begin().await?;
        let row = sqlx::query(
            "SELECT email FROM invitations WHERE token_sha256 = $1 AND ended_at IS NULL AND expires_at > $2",
        )
        .bind(&digest(&asked.token)[..])
        .bind(now)
        .fetch_optional(&mut *tx)
        .await?;
        let invited: String = row.ok_or_else(refused)?.try_get("email")?;
        let known = sqlx::query("SELECT id FROM users WHERE email = $1")
            .bind(&invited)
            .fetch_optional(&mut *tx)
            .await?;
        tx.rollback().await;
        let user = match known {
            Some(_) => Err(self
                .proven(&invited, &asked.password)
                .await?
                .ok_or_else(refused)?),
            None => {
                let name = name("/name", asked.name.as_deref().unwrap_or_default())?;
                let password = password("/password", &asked.password)?;
                Ok((name, self.0.passwords.store(password).await?))
            }
        };
        let mut tx = self.0.stores.pipeline.begin().await?;
        let ended = sqlx::query(
            "UPDATE invitations SET ended_at = $2 WHERE token_sha256 = $1 AND ended_at IS NULL AND expires_at > $2 \
             RETURNING org_id, role",
        )
        .bind(&digest(&asked.token)[..])
        .bind(now)
        .fetch_optional(&mut *tx)
        .await?;
        let ended = ended.ok_or_else(refused)?;
        let (org, role): (Uuid, String) = (ended.try_get("org_id")?, ended.try_get("role")?);
        let user = match user {
            Err(known) => known,
            Ok((name, stored)) => {
                let user = self.insert_user(&mut tx, &invited, &name, &stored).await?;
                // Who invites has seen the token too: it proves nothing.
                self.ask_for_proof(&mut tx, &invited, &name).await?;
                user
            }
        };
        if !self.insert_member(&mut tx, org, user, &role).await? {
            return Err(ApiError::new(ErrorCode::Conflict, "already a member").into());
        }
        let session = self.begin_session(&mut tx, user, org, &role).await?;
        let member = json!({"member": {"id": user, "email": invited, "role": role}});
        let deed = Deed {
            org,
            user,
            role: &role,
            method: "AuthService/AcceptInvitation",
            made: Some((&user.to_string(), member)),
        };
        self.note(&mut tx, deed, whence).await?;
        tx.commit().await?;
        self.0.mailer.poke();
        Ok(session)
    }

    pub(super) async fn sign_up(
        &self,
        asked: wire::RegisterRequest,
        whence: &Whence,
    ) -> Result<wire::Session, Fault> {
        let (email, person) = (email(&asked.email)?, name("/name", &asked.name)?);
        let organization = name("/organizationName", &asked.organization_name)?;
        let stored = self
            .0
            .passwords
            .store(password("/password", &asked.password)?)
            .await?;
        let mut tx = self.0.stores.pipeline.begin().await?;
        let user = self.insert_user(&mut tx, &email, &person, &stored).await?;
        let org = self.insert_organization(&mut tx, &organization, user).await?;
        let session = self.begin_session(&mut tx, user, org, "OWNER").await?;
        self.ask_for_proof(&mut tx, &email, &person).await?;
        let made = json!({"member": {"id": user, "email": email, "name": person, "role": "OWNER"},
                          "organization": {"id": org, "name": organization}});
        let deed = Deed {
            org,
            user,
            role: "OWNER",
            method: "AuthService/Register",
            made: Some((&user.to_string(), made)),
        };
        self.note(&mut tx, deed, whence).await?;
        tx.commit().await?;
        self.0.mailer.poke();
        Ok(session)
    }

    pub(super) async fn me(&self, user: Uuid) -> Result<wire::Me, Fault> {
        let mut tx = self.0.stores.pipeline.begin().await?;
        let row =
            sqlx::query("SELECT email, name, verified_at IS NOT NULL AS verified FROM users WHERE id = $1")
                .bind(user)
                .fetch_one(&mut *tx)
                .await?;
        let rows = sqlx::query(
            "SELECT m.org_id, m.role, o.name FROM members m JOIN organizations o USING (org_id) \
             WHERE m.id = $1 ORDER BY m.created_at, m.org_id LIMIT 1000",
        )
        .bind(user)
        .fetch_all(&mut *tx)
        .await?;
        tx.rollback().await;
        let organizations = rows.iter().map(|row| {
            Ok(wire::Membership {
                organization_id: row.try_get::<Uuid, _>("org_id")?.to_string(),
                name: row.try_get("name")?,
                role: told_role(row.try_get("role")?),
            })
        });
        Ok(wire::Me {
            id: user.to_string(),
            email: row.try_get("email")?,
            name: row.try_get("name")?,
            organizations: organizations.collect::<Result<_, sqlx::Error>>()?,
            email_verified: row.try_get("verified")?,
        })
    }

    pub(super) async fn new_password(
        &self,
        user: Uuid,
        asked: wire::ChangePasswordRequest,
    ) -> Result<(), Fault> {
        let stored = self
            .0
            .passwords
            .store(password("/newPassword", &asked.new_password)?)
            .await?;
        let mut tx = self.0.stores.pipeline.begin().await?;
        let row = sqlx::query("SELECT email FROM users WHERE id = $1")
            .bind(user)
            .fetch_one(&mut *tx)
            .await?;
        tx.rollback().await;
        let email: String = row.try_get("email")?;
        let wrong = || ApiError::invalid("/currentPassword", "wrong", "this is not the password");
        self.proven(&email, &asked.current_password)
            .await?
            .ok_or_else(wrong)?;
        let mut tx = self.0.stores.pipeline.begin().await?;
        self.set_password(&mut tx, user, &stored).await?;
        tx.commit().await?;
        self.0.mailer.poke();
        Ok(())
    }
}
