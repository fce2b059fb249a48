//! `ApiKeyService`: keys for programs, with no more rights than who makes them.

use contracts::access::v1 as wire;
use contracts::access::v1::api_key_service_server::ApiKeyService;
use contracts::convert;
use errors::{ApiError, ErrorCode};
use ids::ApiKeyId;
use rpc::{Caller, Role};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use store::OrgScope;
use store::list::ListSpec;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::Signing;
use super::admin::{NewKey, create_key_as, revoke_key};
use super::organizations::{BY_AGE, BY_ROLE, list_of, time};
use super::parts::{Api, Fault, enter, name, owners_only, path_id, role, told_role};
use crate::http::VERSIONS;

const KEYS: ListSpec = ListSpec {
    table: "api_keys",
    columns: "t.id, t.prefix, t.name, t.role, t.scopes, t.created_at, t.expires_at, t.revoked_at, t.last_used_at, \
              t.signing, t.version",
    condition: None,
    filters: BY_ROLE,
    sorts: BY_AGE,
    default_sort: "-createdAt",
};
const MAX_SCOPES: usize = 50;

struct Key(wire::ApiKey);

impl FromRow<'_, PgRow> for Key {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self(wire::ApiKey {
            id: row.try_get::<Uuid, _>("id")?.to_string(),
            prefix: row.try_get("prefix")?,
            name: row.try_get("name")?,
            role: told_role(row.try_get("role")?),
            scopes: row.try_get("scopes")?,
            created_at: time(row, "created_at")?,
            expires_at: time(row, "expires_at")?,
            revoked_at: time(row, "revoked_at")?,
            last_used_at: time(row, "last_used_at")?,
            key: None,
            signing: match row.try_get("signing")? {
                "REQUIRED" => wire::Signing::Required,
                "OPTIONAL" => wire::Signing::Optional,
                _ => wire::Signing::None,
            }
            .into(),
            signing_secret: None,
            version: row
                .try_get::<Option<String>, _>("version")?
                .unwrap_or_else(|| VERSIONS[0].to_owned()),
        }))
    }
}

/// Scopes of the right form, and none that the caller has not.
fn scopes(caller: &Caller, given: &[String]) -> Result<(), ApiError> {
    let refuse =
        |at: usize, message: &str| ApiError::invalid(format!("/scopes/{at}"), "invalid_scope", message);
    if given.len() > MAX_SCOPES {
        return Err(ApiError::invalid("/scopes", "out_of_range", "at most 50 scopes"));
    }
    for (at, scope) in given.iter().enumerate() {
        let (resource, verb) = scope.split_once(':').unwrap_or_default();
        let known = resource == "*"
            || resource == "events"
            || contracts::access::RULES
                .iter()
                .any(|rule| rule.resource == resource);
        if !known || !matches!(verb, "read" | "write" | "admin" | "*") {
            return Err(refuse(
                at,
                "a scope is `resource:verb`, with read, write, admin or * as the verb",
            ));
        }
    }
    let own = &caller.principal().scopes;
    let covered = |scope: &String| {
        let (resource, verb) = scope.split_once(':').unwrap_or_default();
        own.iter().any(|o| {
            o.split_once(':')
                .is_some_and(|(r, v)| (r == "*" || r == resource) && (v == "*" || v == verb))
        })
    };
    if own.is_empty() || (!given.is_empty() && given.iter().all(covered)) {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::PermissionDenied,
        "a key gets no scope that its maker has not",
    ))
}

impl Api {
    async fn key(&self, scope: &OrgScope, id: ApiKeyId) -> Result<wire::ApiKey, Fault> {
        let mut tx = self.0.stores.db.begin(scope).await?;
        let row = sqlx::query_as::<_, Key>(
            "SELECT t.id, t.prefix, t.name, t.role, t.scopes, t.created_at, t.expires_at, t.revoked_at, t.last_used_at, \
             t.signing, t.version FROM api_keys t WHERE t.org_id = $1 AND t.id = $2",
        )
        .bind(scope.uuid())
        .bind(id.uuid())
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(row.ok_or_else(|| ApiError::not_found("key"))?.0)
    }

    async fn new_key(
        &self,
        scope: &OrgScope,
        role: Role,
        asked: wire::CreateApiKeyRequest,
    ) -> Result<wire::ApiKey, Fault> {
        let expires_at = asked.expires_at.as_ref().and_then(convert::from_timestamp);
        if expires_at.is_some_and(|at| at <= self.0.clock.now()) {
            return Err(ApiError::invalid("/expiresAt", "in_past", "a time in the future").into());
        }
        let id = ApiKeyId(self.0.ids.next());
        let (signing, signing_secret) = match asked.signing() {
            wire::Signing::Unspecified | wire::Signing::None => (Signing::None, None),
            wanted => {
                let (text, sealed) = self.0.signatures.secret(id).ok_or_else(ApiError::internal)?;
                let signing = match wanted {
                    wire::Signing::Required => Signing::Required(sealed),
                    _ => Signing::Optional(sealed),
                };
                (signing, Some(text))
            }
        };
        let new = NewKey {
            signing,
            name: name("/name", &asked.name)?,
            environment: self.0.environment.clone(),
            role,
            scopes: asked.scopes,
            expires_at,
        };
        let text = create_key_as(&self.0.stores, &*self.0.clock, scope.org(), id, &new).await?;
        Ok(wire::ApiKey {
            key: Some(text.expose().clone()),
            signing_secret,
            ..self.key(scope, id).await?
        })
    }
}

#[tonic::async_trait]
impl ApiKeyService for Api {
    async fn list_api_keys(
        &self,
        request: Request<wire::ListApiKeysRequest>,
    ) -> Result<Response<wire::ListApiKeysResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let page = self
            .list::<Key>(&scope, KEYS, &list_of!(request.get_ref()))
            .await?;
        Ok(Response::new(wire::ListApiKeysResponse {
            data: page.items.into_iter().map(|k| k.0).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        }))
    }

    async fn get_api_key(
        &self,
        request: Request<wire::GetApiKeyRequest>,
    ) -> Result<Response<wire::GetApiKeyResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let id = ApiKeyId(path_id(&request.get_ref().api_key_id, "key")?);
        let api_key = Some(self.key(&scope, id).await?);
        Ok(Response::new(wire::GetApiKeyResponse { api_key }))
    }

    async fn create_api_key(
        &self,
        request: Request<wire::CreateApiKeyRequest>,
    ) -> Result<Response<wire::CreateApiKeyResponse>, Status> {
        let (caller, scope) = enter(&request)?;
        let role = role(request.get_ref().role)?;
        owners_only(&caller, role)?;
        scopes(&caller, &request.get_ref().scopes)?;
        let api_key = Some(self.new_key(&scope, role, request.into_inner()).await?);
        Ok(Response::new(wire::CreateApiKeyResponse { api_key }))
    }

    async fn delete_api_key(
        &self,
        request: Request<wire::DeleteApiKeyRequest>,
    ) -> Result<Response<wire::DeleteApiKeyResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let id = ApiKeyId(path_id(&request.get_ref().api_key_id, "key")?);
        let revoked = revoke_key(&self.0.stores, &*self.0.clock, scope.org(), id).await;
        if !revoked.map_err(Fault::Store)? {
            return Err(ApiError::not_found("key").into());
        }
        Ok(Response::new(wire::DeleteApiKeyResponse {}))
    }
}
