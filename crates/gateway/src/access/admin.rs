//! Making organizations and keys, and revoking keys. For bootstrap and the command line; no route leads here.

use ids::{ApiKeyId, Clock, IdGen, OrgId};
use jiff::Timestamp;
use rpc::Role;
use serde_json::json;
use settings::Secret;
use store::{OrgScope, StoreError, Stores, ToSqlx, Tx};

use super::trail::note_command;
use super::{NewSecret, Signing};
use crate::http::NEWEST;

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// For people; 1 to 200 characters.
    pub name: String,
    /// Second part of the key's text.
    pub environment: String,
    /// What it may do.
    pub role: Role,
    /// `resource:verb`; empty means no further limit than the role.
    pub scopes: Vec<String>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// How its requests are signed.
    pub signing: Signing,
}

impl NewKey {
    /// A key without limits for the owner of an organization.
    #[must_use]
    pub fn owner(environment: &str) -> Self {
        Self {
            name: "first key".to_owned(),
            environment: environment.to_owned(),
            role: Role::Owner,
            scopes: Vec::new(),
            expires_at: None,
            signing: Signing::None,
        }
    }
}

/// Makes an organization with a first key. The key's text cannot be had again.
///
/// # Errors
/// The database refuses or cannot be reached; nothing was made.
pub async fn create_organization(
    stores: &Stores,
    clock: &dyn Clock,
    ids: &dyn IdGen,
    name: &str,
    key: &NewKey,
) -> Result<(OrgId, Secret<String>), StoreError> {
    let org = OrgId::new(ids);
    let mut tx = stores.db.begin(&OrgScope::new(org)).await?;
    sqlx::query("INSERT INTO organizations (org_id, name, created_at) VALUES ($1, $2, $3)")
        .bind(org.uuid())
        .bind(name)
        .bind(clock.now().to_sqlx())
        .execute(&mut *tx)
        .await?;
    let (id, text) = insert_key(&mut tx, org, clock.now(), ApiKeyId::new(ids), key).await?;
    let what = ("access.v1.OrganizationService/CreateOrganization", "organization");
    let made =
        json!({"organization": {"id": org, "name": name}, "apiKey": {"id": id, "role": role_text(key.role)}});
    note_command(&mut tx, (clock, ids), org.uuid(), what, (org.uuid(), made)).await?;
    tx.commit().await?;
    Ok((org, text))
}

/// Makes another key of an organization. The key's text cannot be had again.
///
/// # Errors
/// There is no such organization, or the database cannot be reached.
pub async fn create_key(
    stores: &Stores,
    clock: &dyn Clock,
    ids: &dyn IdGen,
    org: OrgId,
    key: &NewKey,
) -> Result<(ApiKeyId, Secret<String>), StoreError> {
    let id = ApiKeyId::new(ids);
    let mut tx = stores.db.begin(&OrgScope::new(org)).await?;
    let (_, text) = insert_key(&mut tx, org, clock.now(), id, key).await?;
    let what = ("access.v1.ApiKeyService/CreateApiKey", "api_keys");
    let made =
        json!({"apiKey": {"id": id, "name": key.name, "role": role_text(key.role), "scopes": key.scopes}});
    note_command(&mut tx, (clock, ids), org.uuid(), what, (id.uuid(), made)).await?;
    tx.commit().await?;
    Ok((id, text))
}

/// As [`create_key`], under an id that is known already.
pub(super) async fn create_key_as(
    stores: &Stores,
    clock: &dyn Clock,
    org: OrgId,
    id: ApiKeyId,
    key: &NewKey,
) -> Result<Secret<String>, StoreError> {
    let mut tx = stores.db.begin(&OrgScope::new(org)).await?;
    let (_, text) = insert_key(&mut tx, org, clock.now(), id, key).await?;
    tx.commit().await?;
    Ok(text)
}

/// Revokes a key; every gateway refuses it within five seconds. `false` when there is no such key in force.
///
/// # Errors
/// The database cannot be reached.
pub async fn revoke_key(
    stores: &Stores,
    clock: &dyn Clock,
    org: OrgId,
    key: ApiKeyId,
) -> Result<bool, StoreError> {
    let mut tx = stores.db.begin(&OrgScope::new(org)).await?;
    let done = sqlx::query(
        "UPDATE api_keys SET revoked_at = $3 WHERE org_id = $1 AND id = $2 AND revoked_at IS NULL",
    )
    .bind(org.uuid())
    .bind(key.uuid())
    .bind(clock.now().to_sqlx())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}

async fn insert_key(
    tx: &mut Tx,
    org: OrgId,
    now: Timestamp,
    id: ApiKeyId,
    key: &NewKey,
) -> Result<(ApiKeyId, Secret<String>), StoreError> {
    let secret = NewSecret::generate(&key.environment, id);
    sqlx::query(
        "INSERT INTO api_keys (org_id, id, prefix, secret_sha256, name, role, scopes, expires_at, created_at, version, \
         signing, signing_sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(org.uuid())
    .bind(id.uuid())
    .bind(&secret.prefix)
    .bind(&secret.secret_sha256[..])
    .bind(&key.name)
    .bind(role_text(key.role))
    .bind(&key.scopes)
    .bind(key.expires_at.map(ToSqlx::to_sqlx))
    .bind(now.to_sqlx())
    .bind(NEWEST)
    .bind(key.signing.stored())
    .bind(key.signing.sealed())
    .execute(&mut **tx)
    .await?;
    Ok((id, secret.text))
}

/// How a role is stored.
pub(super) fn role_text(role: Role) -> &'static str {
    match role {
        Role::Owner => "OWNER",
        Role::Admin => "ADMIN",
        Role::Member => "MEMBER",
        // A key never has the guest's or the system's role; the table refuses it.
        Role::Viewer | Role::System | Role::Guest => "VIEWER",
    }
}

/// A stored role. Anything unknown may only read.
pub(super) fn role_of(text: &str) -> Role {
    match text {
        "OWNER" => Role::Owner,
        "ADMIN" => Role::Admin,
        "MEMBER" => Role::Member,
        _ => Role::Viewer,
    }
}
