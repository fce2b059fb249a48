//! What `OrganizationService` does in the database.

use contracts::access::v1 as wire;
use errors::{ApiError, ErrorCode};
use jiff::SignedDuration;
use rpc::{Caller, Role};
use serde_json::json;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use store::list::ListSpec;
use store::{OrgScope, ToSqlx as _};
use uuid::Uuid;

use super::admin::{role_of, role_text};
use super::organizations::{Invitation, Member, time};
use super::parts::{Api, Fault, digest, later, owners_only, person};
use super::telling::Became;
use crate::mail::{NewMail, Template};

const INVITED_DAYS: i64 = 7;

impl Api {
    pub(super) async fn organization(
        &self,
        scope: &OrgScope,
        new_name: Option<String>,
    ) -> Result<wire::Organization, Fault> {
        let mut tx = self.0.stores.db.begin(scope).await?;
        let changes = new_name.is_some();
        let row = sqlx::query(
            "UPDATE organizations SET name = COALESCE($2, name) WHERE org_id = $1 RETURNING org_id, name, created_at",
        )
        .bind(scope.uuid())
        .bind(new_name)
        .fetch_one(&mut *tx)
        .await?;
        if changes {
            self.tell_organization(&mut tx, scope.uuid(), false).await?;
        }
        tx.commit().await?;
        Ok(wire::Organization {
            id: row.try_get::<Uuid, _>("org_id")?.to_string(),
            name: row.try_get("name")?,
            created_at: time(&row, "created_at")?,
        })
    }

    /// Changes or takes out a member. The rows of all owners are locked, so that of two who would leave none, one fails.
    pub(super) async fn change_member(
        &self,
        by: &Caller,
        scope: &OrgScope,
        user: Uuid,
        to: Option<Role>,
    ) -> Result<Option<Member>, Fault> {
        let mut tx = self.0.stores.db.begin(scope).await?;
        let owners =
            sqlx::query("SELECT id FROM members WHERE org_id = $1 AND role = 'OWNER' ORDER BY id FOR UPDATE")
                .bind(scope.uuid())
                .fetch_all(&mut *tx)
                .await?;
        let row = sqlx::query("SELECT role FROM members WHERE org_id = $1 AND id = $2 FOR UPDATE")
            .bind(scope.uuid())
            .bind(user)
            .fetch_optional(&mut *tx)
            .await?;
        let row = row.ok_or_else(|| ApiError::not_found("member"))?;
        let is = role_of(row.try_get("role")?);
        owners_only(by, is)?;
        if is == Role::Owner && to != Some(Role::Owner) && owners.len() == 1 {
            return Err(
                ApiError::new(ErrorCode::Conflict, "an organization keeps at least one OWNER").into(),
            );
        }
        let Some(to) = to else {
            sqlx::query("DELETE FROM members WHERE org_id = $1 AND id = $2")
                .bind(scope.uuid())
                .bind(user)
                .execute(&mut *tx)
                .await?;
            sqlx::query("UPDATE sessions SET revoked_at = $3 WHERE organization = $1 AND user_id = $2 AND revoked_at IS NULL")
                .bind(scope.uuid())
                .bind(user)
                .bind(self.0.clock.now().to_sqlx())
                .execute(&mut *tx)
                .await?;
            self.tell_member(&mut tx, scope.uuid(), user, Became::Removed)
                .await?;
            tx.commit().await?;
            return Ok(None);
        };
        let member = sqlx::query_as::<_, Member>(
            "UPDATE members t SET role = $3 FROM users u WHERE t.org_id = $1 AND t.id = $2 AND u.id = t.id \
             RETURNING t.id, t.role, t.created_at, u.email, u.name",
        )
        .bind(scope.uuid())
        .bind(user)
        .bind(role_text(to))
        .fetch_one(&mut *tx)
        .await?;
        if to != is {
            self.tell_member(&mut tx, scope.uuid(), user, Became::Other(is))
                .await?;
        }
        tx.commit().await?;
        Ok(Some(member))
    }

    /// Keeps an invitation and puts its mail in, where mail is set up.
    pub(super) async fn invite(
        &self,
        by: &Caller,
        scope: &OrgScope,
        email: String,
        role: Role,
    ) -> Result<wire::Invitation, Fault> {
        let (id, now) = (self.0.ids.next(), self.0.clock.now());
        let token = self.0.mailer.token("dsi_", id);
        let mut tx = self.0.stores.db.begin(scope).await?;
        self.may_invite(&mut tx, scope.uuid(), person(by).ok()).await?;
        let organization: String = sqlx::query_scalar("SELECT name FROM organizations WHERE org_id = $1")
            .bind(scope.uuid())
            .fetch_one(&mut *tx)
            .await?;
        let mail = NewMail {
            template: Template::Invitation,
            to: email.clone(),
            facts: json!({"organization": organization, "invitationId": id}),
            good_for: SignedDuration::from_hours(24 * INVITED_DAYS),
        };
        let mail = self.0.mailer.enqueue(&mut tx, &mail).await?;
        let row = sqlx::query_as::<_, Invitation>(
            "INSERT INTO invitations AS t (org_id, id, email, role, token_sha256, created_at, expires_at, mail_id) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING t.id, t.email, t.role, t.created_at, t.expires_at, t.mail_id, \
             NULL::text AS outcome",
        )
        .bind(scope.uuid())
        .bind(id)
        .bind(email)
        .bind(role_text(role))
        .bind(&digest(&token)[..])
        .bind(now.to_sqlx())
        .bind(later(now, INVITED_DAYS).to_sqlx())
        .bind(mail)
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        self.0.mailer.poke();
        Ok(wire::Invitation {
            token: Some(token),
            ..row.0
        })
    }

    /// One record of a list of this package.
    pub(super) async fn one<T>(
        &self,
        scope: &OrgScope,
        spec: &ListSpec,
        id: Uuid,
        what: &'static str,
    ) -> Result<T, Fault>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let (columns, table) = (spec.columns, spec.table);
        let text = format!("SELECT {columns} FROM {table} t WHERE t.org_id = $1 AND t.id = $2");
        let mut tx = self.0.stores.db.begin(scope).await?;
        // Constants of this crate.
        let found = sqlx::query_as::<_, T>(sqlx::AssertSqlSafe(text))
            .bind(scope.uuid())
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(found.ok_or_else(|| ApiError::not_found(what))?)
    }
}
