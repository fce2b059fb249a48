//! What webhooks are signed with, sealed to their place.

use std::collections::HashMap;

use jiff::Timestamp;
use store::{StoreError, ToSqlx as _, Tx};
use uuid::Uuid;

use super::lanes::Lane;
use crate::secrets::Sealer;
use crate::webhooks::domain::signature::{Scheme, SecretBytes};

/// Most secrets that sign at the same time.
const MOST: i64 = 5;

/// A new secret of a webhook.
pub struct NewSecret<'a> {
    /// The organization.
    pub org: Uuid,
    /// The webhook.
    pub webhook: Uuid,
    /// A UUIDv7: the newest is the first.
    pub id: Uuid,
    /// The bytes.
    pub secret: &'a SecretBytes,
    /// What they are for.
    pub scheme: Scheme,
    /// Now.
    pub at: Timestamp,
}

fn place(org: Uuid, webhook: Uuid, id: Uuid) -> [u8; 48] {
    let mut place = [0; 48];
    place[..16].copy_from_slice(org.as_bytes());
    place[16..32].copy_from_slice(webhook.as_bytes());
    place[32..].copy_from_slice(id.as_bytes());
    place
}

/// Stores a secret; the others sign until `others_until`, the oldest beyond a handful no more.
pub async fn add(
    tx: &mut Tx,
    sealer: &Sealer,
    new: &NewSecret<'_>,
    others_until: Timestamp,
) -> Result<(), StoreError> {
    let place = place(new.org, new.webhook, new.id);
    let sealed = sealer
        .seal(new.secret.bytes(), &place)
        .ok_or_else(|| StoreError::Misuse("a secret cannot be sealed".to_owned()))?;
    sqlx::query(
        "UPDATE webhook_secrets SET expires_at = LEAST(expires_at, $3) WHERE org_id = $1 AND webhook_id = $2",
    )
    .bind(new.org)
    .bind(new.webhook)
    .bind(others_until.to_sqlx())
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "DELETE FROM webhook_secrets WHERE org_id = $1 AND webhook_id = $2 AND (expires_at <= $3 OR id IN \
             (SELECT id FROM webhook_secrets WHERE org_id = $1 AND webhook_id = $2 ORDER BY id DESC OFFSET $4))",
    )
    .bind(new.org)
    .bind(new.webhook)
    .bind(new.at.to_sqlx())
    .bind(MOST - 1)
    .execute(&mut **tx)
    .await?;
    let public = (new.scheme == Scheme::Ed25519)
        .then(|| new.secret.public())
        .flatten();
    sqlx::query(
        "INSERT INTO webhook_secrets (org_id, webhook_id, id, sealed, public_key, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(new.org)
    .bind(new.webhook)
    .bind(new.id)
    .bind(sealed)
    .bind(public)
    .bind(new.at.to_sqlx())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The secrets of these webhooks that sign at this time, the newest first. What cannot be opened was sealed with another key and
/// is left out.
pub async fn signing(
    tx: &mut Tx,
    sealer: &Sealer,
    lanes: &[Lane],
    now: Timestamp,
) -> Result<HashMap<Lane, Vec<SecretBytes>>, StoreError> {
    let (orgs, hooks): (Vec<Uuid>, Vec<Uuid>) = lanes.iter().copied().unzip();
    let rows: Vec<(Uuid, Uuid, Uuid, Vec<u8>)> = sqlx::query_as(
        "SELECT s.org_id, s.webhook_id, s.id, s.sealed FROM unnest($1::uuid[], $2::uuid[]) AS g (org, hook) \
         JOIN webhook_secrets s ON s.org_id = g.org AND s.webhook_id = g.hook \
         WHERE s.expires_at IS NULL OR s.expires_at > $3 ORDER BY s.id DESC",
    )
    .bind(orgs)
    .bind(hooks)
    .bind(now.to_sqlx())
    .fetch_all(&mut **tx)
    .await?;
    let mut secrets = HashMap::<Lane, Vec<SecretBytes>>::new();
    for (org, webhook, id, sealed) in rows {
        match sealer.open(&sealed, &place(org, webhook, id)) {
            Some(bytes) => secrets
                .entry((org, webhook))
                .or_default()
                .push(SecretBytes::new(bytes)),
            None => {
                tracing::error!(%webhook, secret = %id, "a secret cannot be opened; was the secret key changed?");
            }
        }
    }
    Ok(secrets)
}

/// The place that an endpoint's own headers are sealed to.
#[must_use]
pub fn headers_place(org: Uuid, webhook: Uuid) -> [u8; 48] {
    place(org, webhook, Uuid::nil())
}
