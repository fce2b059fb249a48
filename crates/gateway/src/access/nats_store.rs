//! Credentials and consumers for the broker, as they are stored.
//!
//! Must not: talk to the broker.

use contracts::access::v1 as wire;
use contracts::convert;
use errors::{ApiError, ErrorCode};
use eventbus::partners::PartnerConsumer;
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use store::{OrgScope, ToSqlx as _};
use uuid::Uuid;

use super::nats_directory::consumer_of;
use super::organizations::time;
use super::parts::{Api, Fault, path_id, secret};

/// A stored credential, as told.
pub(super) struct Credential {
    pub(super) id: Uuid,
    pub(super) wire: wire::NatsCredential,
}

impl FromRow<'_, PgRow> for Credential {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let id: Uuid = row.try_get("id")?;
        let wire = wire::NatsCredential {
            id: id.to_string(),
            name: row.try_get("name")?,
            created_at: time(row, "created_at")?,
            expires_at: time(row, "expires_at")?,
            revoked_at: time(row, "revoked_at")?,
            ..Default::default()
        };
        Ok(Self { id, wire })
    }
}

/// A stored consumer, as the broker knows it and as told.
pub(super) struct Consumer {
    pub(super) broker: PartnerConsumer,
    pub(super) wire: wire::NatsConsumer,
}

impl FromRow<'_, PgRow> for Consumer {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let broker = consumer_of(row)?;
        let wire = wire::NatsConsumer {
            id: row.try_get::<Uuid, _>("id")?.to_string(),
            name: broker.name(),
            credential_id: broker.credential.to_string(),
            event_types: broker.types.clone(),
            from: Some(convert::timestamp(broker.start)),
            created_at: time(row, "created_at")?,
            pending: None,
            unacknowledged: None,
            ordered: broker.ordered,
        };
        Ok(Self { broker, wire })
    }
}

fn quota(what: &str, most: u32) -> Fault {
    ApiError::new(ErrorCode::QuotaExceeded, format!("at most {most} {what}")).into()
}

impl Api {
    pub(super) async fn new_credential(
        &self,
        scope: &OrgScope,
        name: String,
        expires_at: Option<Timestamp>,
    ) -> Result<(Credential, String), Fault> {
        let (password, stored) = secret("nats_");
        let most = self.0.nats.settings.max_credentials;
        let mut tx = self.0.stores.db.begin(scope).await?;
        // One after the other: of two who would both be the last that fits, one is refused.
        sqlx::query("SELECT 1 FROM organizations WHERE org_id = $1 FOR UPDATE")
            .bind(scope.uuid())
            .fetch_one(&mut *tx)
            .await?;
        let made = sqlx::query_as::<_, Credential>(
            "INSERT INTO nats_credentials AS t (org_id, id, name, password_sha256, created_at, expires_at) \
             SELECT $1, $2, $3, $4, $5, $6 WHERE $7 > (SELECT count(*) FROM nats_credentials k \
                WHERE k.org_id = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $5)) \
             RETURNING t.id, t.name, t.created_at, t.expires_at, t.revoked_at",
        )
        .bind(scope.uuid())
        .bind(self.0.ids.next())
        .bind(name)
        .bind(&stored[..])
        .bind(self.0.clock.now().to_sqlx())
        .bind(expires_at.map(|at| at.to_sqlx()))
        .bind(i64::from(most))
        .fetch_optional(&mut *tx)
        .await?;
        let made = made.ok_or_else(|| quota("credentials", most))?;
        tx.commit().await?;
        Ok((made, password))
    }

    pub(super) async fn new_consumer(
        &self,
        scope: &OrgScope,
        credential: Uuid,
        types: Vec<String>,
        (start, ordered): (Timestamp, bool),
    ) -> Result<Consumer, Fault> {
        let most = self.0.nats.settings.max_consumers;
        let now = self.0.clock.now().to_sqlx();
        let mut tx = self.0.stores.db.begin(scope).await?;
        let good = sqlx::query(
            "SELECT 1 FROM nats_credentials WHERE org_id = $1 AND id = $2 AND revoked_at IS NULL \
             AND (expires_at IS NULL OR expires_at > $3) FOR UPDATE",
        )
        .bind(scope.uuid())
        .bind(credential)
        .bind(now)
        .fetch_optional(&mut *tx)
        .await?;
        if good.is_none() {
            return Err(ApiError::invalid(
                "/credentialId",
                "invalid_id",
                "there is no such credential in force",
            )
            .into());
        }
        let made = sqlx::query_as::<_, Consumer>(
            "INSERT INTO nats_consumers AS t (org_id, id, credential_id, slot, event_types, start_at, ordered, created_at) \
             SELECT $1, $2, $3, s.slot, $4, $5, $8, $6 FROM generate_series(1, $7::int) AS s (slot) \
             WHERE NOT EXISTS (SELECT FROM nats_consumers c WHERE c.org_id = $1 AND c.credential_id = $3 AND c.slot = s.slot) \
             ORDER BY s.slot LIMIT 1 \
             RETURNING t.org_id, t.id, t.credential_id, t.slot, t.event_types, t.start_at, t.ordered, t.created_at",
        )
        .bind(scope.uuid())
        .bind(self.0.ids.next())
        .bind(credential)
        .bind(types)
        .bind(start.to_sqlx())
        .bind(now)
        .bind(i32::from(most))
        .bind(ordered)
        .fetch_optional(&mut *tx)
        .await?;
        let made = made.ok_or_else(|| quota("consumers of a credential", u32::from(most)))?;
        tx.commit().await?;
        Ok(made)
    }

    /// The stored consumer, taken out if `remove`.
    pub(super) async fn consumer(&self, scope: &OrgScope, id: &str, remove: bool) -> Result<Consumer, Fault> {
        let id = path_id(id, "consumer")?;
        let sql = if remove {
            "DELETE FROM nats_consumers t WHERE t.org_id = $1 AND t.id = $2 \
             RETURNING t.org_id, t.id, t.credential_id, t.slot, t.event_types, t.start_at, t.ordered, t.created_at"
        } else {
            "SELECT t.org_id, t.id, t.credential_id, t.slot, t.event_types, t.start_at, t.ordered, t.created_at \
             FROM nats_consumers t WHERE t.org_id = $1 AND t.id = $2"
        };
        let mut tx = self.0.stores.db.begin(scope).await?;
        let found = sqlx::query_as::<_, Consumer>(sql)
            .bind(scope.uuid())
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        found.ok_or_else(|| ApiError::not_found("consumer").into())
    }

    pub(super) async fn revoke_credential(&self, scope: &OrgScope, id: Uuid) -> Result<(), Fault> {
        let mut tx = self.0.stores.db.begin(scope).await?;
        let done = sqlx::query(
            "UPDATE nats_credentials SET revoked_at = $3 WHERE org_id = $1 AND id = $2 AND revoked_at IS NULL",
        )
        .bind(scope.uuid())
        .bind(id)
        .bind(self.0.clock.now().to_sqlx())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        if done.rows_affected() == 0 {
            return Err(ApiError::not_found("credential").into());
        }
        Ok(())
    }
}
