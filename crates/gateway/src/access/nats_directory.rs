//! What the broker is told about credentials and consumers: the stored ones, of all organizations.
//!
//! Must not: change anything.

use std::collections::HashMap;
use std::sync::Arc;

use eventbus::partners::{Directory, Grant, PartnerConsumer, PartnerSettings};
use ids::{Clock, OrgId};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use store::{PipelineDb, ToSqlx as _, Ts};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::parts::digest;

/// Reads with the pipeline's role: a credential is found by its id before its organization is known.
pub struct NatsDirectory {
    pub db: PipelineDb,
    pub clock: Arc<dyn Clock>,
    pub settings: PartnerSettings,
}

/// A stored consumer, as the broker knows it.
pub(super) fn consumer_of(row: &PgRow) -> Result<PartnerConsumer, sqlx::Error> {
    Ok(PartnerConsumer {
        credential: row.try_get("credential_id")?,
        slot: u16::try_from(row.try_get::<i16, _>("slot")?).unwrap_or_default(),
        org: OrgId(row.try_get("org_id")?),
        types: row.try_get("event_types")?,
        start: row.try_get::<Ts, _>("start_at")?.to_jiff(),
        ordered: row.try_get("ordered")?,
    })
}

impl Directory for NatsDirectory {
    async fn admit(&self, credential: Uuid, password: &str) -> anyhow::Result<Option<Grant>> {
        let mut tx = self.db.begin().await?;
        let stored: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT password_sha256 FROM nats_credentials \
             WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(credential)
        .bind(self.clock.now().to_sqlx())
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        let right = stored.is_some_and(|stored| bool::from(stored.ct_eq(&digest(password)[..])));
        Ok(right.then_some(Grant {
            max_connections: self.settings.max_connections,
            max_subscriptions: self.settings.max_subscriptions,
            max_consumers: self.settings.max_consumers,
        }))
    }

    async fn standing(&self, credentials: &[Uuid]) -> anyhow::Result<HashMap<Uuid, u32>> {
        let mut tx = self.db.begin().await?;
        let good: Vec<Uuid> = sqlx::query_scalar(
            "SELECT id FROM nats_credentials \
             WHERE id = ANY($1) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(credentials)
        .bind(self.clock.now().to_sqlx())
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(good
            .into_iter()
            .map(|id| (id, self.settings.max_connections))
            .collect())
    }

    async fn consumers(&self) -> anyhow::Result<Vec<PartnerConsumer>> {
        let mut tx = self.db.begin().await?;
        let rows = sqlx::query(
            "SELECT c.org_id, c.credential_id, c.slot, c.event_types, c.start_at, c.ordered FROM nats_consumers c \
             JOIN nats_credentials k ON k.org_id = c.org_id AND k.id = c.credential_id \
             WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $1)",
        )
        .bind(self.clock.now().to_sqlx())
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(rows.iter().map(consumer_of).collect::<Result<_, _>>()?)
    }
}
