//! From the text of a key to a credential, through a cache that forgets within five seconds.
//!
//! A revoked or expired key is refused at the latest when its cache entry ends; an unknown key and a wrong secret get the
//! same answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use contracts::access::Rule;
use errors::{ApiError, ErrorCode, ErrorDomain as _};
use ids::{ApiKeyId, Clock, OrgId};
use jiff::{SignedDuration, Timestamp};
use moka::{future, sync};
use rpc::{Actor, Principal};
use settings::Secret;
use sqlx::Row as _;
use store::{PipelineDb, StoreError, ToSqlx, Ts, Tx};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::signing::{Claim, Signatures, Signing};
use super::{ApiKey, Tokens, admin};
use crate::config::AccessSettings;
use crate::home::Home;
use crate::http::pinned;
use crate::limits::{Buckets, Limits};

/// `last_used_at` is exact to this.
const TOUCH_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// A key that was found, in force when it was looked up.
#[derive(Debug)]
pub struct Credential {
    /// Whom the services see.
    pub principal: Principal,
    /// The key's organization.
    pub org: OrgId,
    /// The organization's id as the ingest path hands it over, made once.
    pub org_bytes: Bytes,
    /// The key.
    pub id: ApiKeyId,
    /// The key's and its organization's rate limits.
    pub buckets: Buckets,
    /// The version of the API that the key was made for.
    pub version: Option<&'static str>,
    secret_sha256: [u8; 32],
    signing: Signing,
    signing_secret: Option<Secret<Vec<u8>>>,
    expires_at: Option<Timestamp>,
    /// Set when `last_used_at` is fresh or being refreshed.
    touched: AtomicBool,
}

impl Credential {
    /// Checks role and scopes by a rule of the policy table, before a service does it again.
    ///
    /// # Errors
    /// `permission_denied`.
    pub fn check(&self, rule: &Rule) -> Result<(), ApiError> {
        self.principal.check(rule)
    }
}

/// Why a key is not in the cache of known keys.
#[derive(Debug)]
enum NotLoaded {
    Unknown,
    Failed(ApiError),
}

/// What callers prove themselves by, beside keys.
pub struct Proofs {
    /// Access tokens.
    pub(crate) tokens: Tokens,
    /// Signed requests.
    pub(crate) signatures: Signatures,
}

/// Turns keys into credentials. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator {
    shared: Arc<Shared>,
}

struct Shared {
    db: PipelineDb,
    home: Home,
    clock: Arc<dyn Clock>,
    limits: Limits,
    tokens: Tokens,
    signatures: Signatures,
    known: future::Cache<ApiKeyId, Arc<Credential>>,
    unknown: sync::Cache<ApiKeyId, ()>,
}

impl Authenticator {
    /// An authenticator over the pipeline role: the organization is not known before the key is.
    #[must_use]
    pub(crate) fn new(
        settings: &AccessSettings,
        db: PipelineDb,
        home: Home,
        clock: Arc<dyn Clock>,
        (limits, known_by): (Limits, Proofs),
    ) -> Self {
        let known = future::Cache::builder()
            .max_capacity(settings.cached_keys)
            .time_to_live(Duration::from_millis(settings.key_cache_ms))
            .build();
        let unknown = sync::Cache::builder()
            .max_capacity(settings.cached_keys)
            .time_to_live(Duration::from_millis(settings.unknown_key_cache_ms))
            .build();
        Self {
            shared: Arc::new(Shared {
                db,
                home,
                clock,
                limits,
                tokens: known_by.tokens,
                signatures: known_by.signatures,
                known,
                unknown,
            }),
        }
    }

    /// The credential of a bearer token.
    ///
    /// # Errors
    /// `unauthenticated`, or `unavailable` when keys cannot be looked up.
    pub async fn bearer(&self, text: &str) -> Result<Arc<Credential>, ApiError> {
        if !text.starts_with("dsk_") {
            let session = self.shared.tokens.session(text).ok_or_else(invalid)?;
            return self.by_id(ApiKeyId(session)).await?.ok_or_else(invalid);
        }
        let key = ApiKey::parse(text).ok_or_else(invalid)?;
        let credential = self.by_id(key.id).await?.ok_or_else(invalid)?;
        let is_key = matches!(credential.principal.actor, Actor::ApiKey(_));
        if !is_key || !bool::from(credential.secret_sha256.ct_eq(&key.secret_sha256)) {
            return Err(invalid());
        }
        if matches!(credential.signing, Signing::Required(_)) {
            return Err(ApiError::new(
                ErrorCode::Unauthenticated,
                "requests by this key must be signed; send a signature, never the key",
            ));
        }
        self.touch(&credential);
        Ok(credential)
    }

    /// The credential of a signed request. Its nonce and its body are still to be checked.
    ///
    /// # Errors
    /// `invalid_signature`, or `unavailable` when keys cannot be looked up.
    pub(crate) async fn signed(
        &self,
        claim: &Claim<'_>,
        method: &str,
        path: &str,
    ) -> Result<Arc<Credential>, ApiError> {
        let found = self.by_id(claim.key).await?;
        let secret = found.as_ref().and_then(|c| c.signing_secret.as_ref());
        // The same work and answer for a key that there is not.
        let nobody = [0; 32];
        let with = secret.map_or(&nobody[..], |secret| secret.expose());
        let verified = claim.verify(with, method, path, self.shared.clock.now());
        let signs = secret.is_some();
        match (found, signs, verified) {
            (Some(credential), true, Ok(())) => {
                self.touch(&credential);
                Ok(credential)
            }
            (_, _, Err(error)) => Err(error),
            _ => Err(ApiError::new(
                ErrorCode::InvalidSignature,
                "the signature is not valid",
            )),
        }
    }

    /// Refuses a signed request that came before.
    ///
    /// # Errors
    /// `invalid_signature`.
    pub(crate) async fn first_time(
        &self,
        credential: &Credential,
        claim: &Claim<'_>,
    ) -> Result<(), ApiError> {
        self.shared.signatures.first_time(credential.org, claim).await
    }

    /// Nobody known, at a network address.
    #[must_use]
    pub fn nobody(&self, address: &str) -> Arc<Credential> {
        let place = ids::derived(Uuid::nil(), address);
        Arc::new(Credential {
            principal: Principal::nobody(),
            org: OrgId(Uuid::nil()),
            org_bytes: Bytes::new(),
            id: ApiKeyId(place),
            buckets: self.shared.limits.buckets(OrgId(place), ApiKeyId(place)),
            version: None,
            secret_sha256: [0; 32],
            signing: Signing::None,
            signing_secret: None,
            expires_at: None,
            touched: AtomicBool::new(true),
        })
    }

    /// The keys of access tokens, as published.
    #[must_use]
    pub fn published(&self) -> String {
        self.shared.tokens.published().to_string()
    }

    /// The key or session, if it is (still) in force.
    ///
    /// # Errors
    /// `unavailable` when keys cannot be looked up.
    pub async fn by_id(&self, id: ApiKeyId) -> Result<Option<Arc<Credential>>, ApiError> {
        let shared = &self.shared;
        let found = match shared.known.get(&id).await {
            Some(found) => found,
            None if shared.unknown.contains_key(&id) => return Ok(None),
            None => match shared.known.try_get_with(id, load(Arc::clone(shared), id)).await {
                Ok(found) => found,
                Err(not) => match &*not {
                    NotLoaded::Unknown => {
                        shared.unknown.insert(id, ());
                        return Ok(None);
                    }
                    NotLoaded::Failed(error) => return Err(error.clone()),
                },
            },
        };
        let expired = found.expires_at.is_some_and(|at| at <= shared.clock.now());
        Ok((!expired).then_some(found))
    }

    /// Stores when the key was used, at most once a minute, behind the request's back.
    fn touch(&self, credential: &Credential) {
        if credential.touched.swap(true, Ordering::Relaxed) {
            return;
        }
        let (shared, id) = (Arc::clone(&self.shared), credential.id);
        drop(self.shared.home.run("key-used", async move {
            if let Err(error) = store_use(&shared, id).await {
                tracing::warn!(%error, "the use of a key could not be noted");
            }
        }));
    }
}

/// The one answer to whoever presents a key that is not good, whatever is wrong with it.
fn invalid() -> ApiError {
    ApiError::new(ErrorCode::Unauthenticated, "the API key or token is not valid")
}

async fn load(shared: Arc<Shared>, id: ApiKeyId) -> Result<Arc<Credential>, NotLoaded> {
    let home = shared.home.clone();
    let looked_up = home
        .run("key-lookup", async move { select(&shared, id).await })
        .await;
    match looked_up {
        Ok(Ok(Some(credential))) => Ok(Arc::new(credential)),
        Ok(Ok(None)) => Err(NotLoaded::Unknown),
        Ok(Err(error)) => {
            tracing::warn!(%error, source = ?std::error::Error::source(&error), "API keys cannot be looked up");
            let api = error.to_api();
            let retryable = api.code.is_retryable() && api.code != ErrorCode::Internal;
            Err(NotLoaded::Failed(if retryable {
                ApiError::unavailable("keys cannot be checked just now")
            } else {
                api
            }))
        }
        Err(_) => Err(NotLoaded::Failed(ApiError::internal())),
    }
}

async fn select(shared: &Shared, id: ApiKeyId) -> Result<Option<Credential>, StoreError> {
    let mut tx = shared.db.begin().await?;
    let row = sqlx::query(
        "SELECT org_id, secret_sha256, role, scopes, expires_at, last_used_at, signing, signing_sealed, version \
         FROM api_keys WHERE id = $1 AND revoked_at IS NULL",
    )
    .bind(id.uuid())
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else {
        let found = select_session(shared, &mut tx, id).await?;
        tx.rollback().await;
        return Ok(found);
    };
    tx.rollback().await;
    let org = OrgId(row.try_get::<Uuid, _>("org_id")?);
    let digest: Vec<u8> = row.try_get("secret_sha256")?;
    let used = row.try_get::<Option<Ts>, _>("last_used_at")?.map(Ts::to_jiff);
    let fresh = used.is_some_and(|at| shared.clock.now().duration_since(at) < TOUCH_EVERY);
    let signing = Signing::of(row.try_get("signing")?, row.try_get("signing_sealed")?);
    Ok(Some(Credential {
        version: Some(pinned(row.try_get("version")?)),
        signing_secret: shared.signatures.open(id, &signing).map(Secret::new),
        signing,
        principal: Principal {
            org: Some(org),
            actor: Actor::ApiKey(id),
            role: admin::role_of(row.try_get("role")?),
            scopes: row.try_get("scopes")?,
        },
        org,
        org_bytes: Bytes::copy_from_slice(org.uuid().as_bytes()),
        id,
        buckets: shared.limits.buckets(org, id),
        secret_sha256: digest.try_into().unwrap_or_default(),
        expires_at: row.try_get::<Option<Ts>, _>("expires_at")?.map(Ts::to_jiff),
        touched: AtomicBool::new(fresh),
    }))
}

/// A session and the role of its person in its organization: without membership there is none.
async fn select_session(
    shared: &Shared,
    tx: &mut Tx,
    id: ApiKeyId,
) -> Result<Option<Credential>, StoreError> {
    let row = sqlx::query(
        "SELECT s.organization, s.user_id, s.expires_at, m.role FROM sessions s \
         JOIN members m ON m.org_id = s.organization AND m.id = s.user_id \
         WHERE s.id = $1 AND s.revoked_at IS NULL",
    )
    .bind(id.uuid())
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let org = OrgId(row.try_get("organization")?);
    let user: Uuid = row.try_get("user_id")?;
    Ok(Some(Credential {
        principal: Principal {
            org: Some(org),
            actor: Actor::User(user),
            role: admin::role_of(row.try_get("role")?),
            scopes: Vec::new(),
        },
        org,
        org_bytes: Bytes::copy_from_slice(org.uuid().as_bytes()),
        id,
        // A person has one limit, however many sessions.
        buckets: shared.limits.buckets(org, ApiKeyId(user)),
        version: None,
        secret_sha256: [0; 32],
        signing: Signing::None,
        signing_secret: None,
        expires_at: Some(row.try_get::<Ts, _>("expires_at")?.to_jiff()),
        touched: AtomicBool::new(true),
    }))
}

async fn store_use(shared: &Shared, id: ApiKeyId) -> Result<(), StoreError> {
    let now = shared.clock.now();
    let mut tx = shared.db.begin().await?;
    sqlx::query(
        "UPDATE api_keys SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $3)",
    )
    .bind(id.uuid())
    .bind(now.to_sqlx())
    .bind(now.checked_sub(TOUCH_EVERY).unwrap_or(now).to_sqlx())
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}
