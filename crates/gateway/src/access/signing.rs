//! Requests signed by HMAC-SHA256: the key's own text never travels, a request cannot be changed or sent a second time.
//!
//! Owns: the scheme, what is signed, the table `request_nonces`. Must not: read bodies, or hold a signing secret in the clear
//! anywhere but in the cache of known keys.

use std::sync::Arc;
use std::time::Duration;

use errors::{ApiError, ErrorCode, ErrorDomain as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ids::{ApiKeyId, Clock, OrgId};
use jiff::Timestamp;
use lifecycle::{Lifecycle, OnExit, Phase};
use sha2::{Digest as _, Sha256};
use store::{PipelineDb, StoreError, ToSqlx as _};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::home::Home;
use crate::secrets::Sealer;

/// A timestamp may be so far from our clock.
const SKEW_SECS: i64 = 300;
const SECRET_LEN: usize = 43;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Between two clean-ups.
const CLEAN_EVERY: Duration = Duration::from_secs(60);

/// How a key's requests are signed; with the sealed secret.
#[derive(Debug, Clone, Default)]
pub enum Signing {
    /// They are not.
    #[default]
    None,
    /// They may be.
    Optional(Vec<u8>),
    /// They must be.
    Required(Vec<u8>),
}

impl Signing {
    pub(super) fn stored(&self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Optional(_) => "OPTIONAL",
            Self::Required(_) => "REQUIRED",
        }
    }

    pub(super) fn sealed(&self) -> Option<&[u8]> {
        match self {
            Self::None => None,
            Self::Optional(sealed) | Self::Required(sealed) => Some(sealed),
        }
    }

    pub(super) fn of(stored: &str, sealed: Option<Vec<u8>>) -> Self {
        match (stored, sealed) {
            ("REQUIRED", Some(sealed)) => Self::Required(sealed),
            // Without its secret nothing can be verified: such a key opens nothing.
            ("REQUIRED", None) => Self::Required(Vec::new()),
            ("OPTIONAL", Some(sealed)) => Self::Optional(sealed),
            _ => Self::None,
        }
    }
}

/// What an `Authorization` header claims, its form checked and nothing else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'r> {
    pub(super) key: ApiKeyId,
    timestamp: i64,
    nonce: &'r str,
    body_sha256: [u8; 32],
    signature: [u8; 32],
}

/// The one answer to a signature that is not good, whatever is wrong with it.
fn wrong() -> ApiError {
    ApiError::new(ErrorCode::InvalidSignature, "the signature is not valid")
}

fn hex32(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        let digits = &text[2 * at..2 * at + 2];
        if !digits
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            return None;
        }
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}

impl<'r> Claim<'r> {
    /// The scheme's name.
    pub(crate) const SCHEME: &'static str = "DevSignal-HMAC-SHA256";

    /// Reads `key=…, timestamp=…, nonce=…, body=…, signature=…`, in any order, each once.
    pub(crate) fn read(fields: &'r str) -> Result<Self, ApiError> {
        let refuse = || {
            ApiError::new(
                ErrorCode::Unauthenticated,
                "send `key=<id>, timestamp=<seconds>, nonce=<16 to 64 of A-Z a-z 0-9 _ ->, body=<SHA-256 in lower-case hex>, \
                 signature=<lower-case hex>`",
            )
        };
        let (mut key, mut timestamp, mut nonce, mut body, mut signature) = (None, None, None, None, None);
        for field in fields.split(',') {
            let (name, value) = field.trim().split_once('=').ok_or_else(refuse)?;
            let place = match name {
                "key" => &mut key,
                "timestamp" => &mut timestamp,
                "nonce" => &mut nonce,
                "body" => &mut body,
                "signature" => &mut signature,
                _ => return Err(refuse()),
            };
            if place.replace(value).is_some() {
                return Err(refuse());
            }
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let nonce = nonce.filter(|n| (16..=64).contains(&n.len()) && n.bytes().all(plain));
        let digits = timestamp.filter(|t| t.len() <= 12 && t.bytes().all(|b| b.is_ascii_digit()));
        Ok(Self {
            key: ApiKeyId(key.and_then(|k| Uuid::try_parse(k).ok()).ok_or_else(refuse)?),
            timestamp: digits.and_then(|t| t.parse().ok()).ok_or_else(refuse)?,
            nonce: nonce.ok_or_else(refuse)?,
            body_sha256: body.and_then(hex32).ok_or_else(refuse)?,
            signature: signature.and_then(hex32).ok_or_else(refuse)?,
        })
    }

    /// What is signed: each part on a line of its own, none of which can hold a line's end.
    fn signed_text(&self, method: &str, path: &str) -> String {
        let body = crate::secrets::hex(&self.body_sha256);
        let (scheme, key) = (Self::SCHEME, self.key.uuid());
        format!(
            "{scheme}\n{key}\n{}\n{}\n{method}\n{path}\n{body}",
            self.timestamp, self.nonce
        )
    }

    /// Whether the signature is by this secret, and of now.
    pub(super) fn verify(
        &self,
        secret: &[u8],
        method: &str,
        path: &str,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| wrong())?;
        mac.update(self.signed_text(method, path).as_bytes());
        mac.verify_slice(&self.signature).map_err(|_| wrong())?;
        if (now.as_second() - self.timestamp).abs() > SKEW_SECS {
            let detail = format!(
                "the timestamp is more than five minutes from our clock, {}",
                now.as_second()
            );
            return Err(ApiError::new(ErrorCode::InvalidSignature, detail));
        }
        Ok(())
    }

    /// Whether this is the body that was signed.
    pub(crate) fn covers(&self, body: &[u8]) -> Result<(), ApiError> {
        let digest: [u8; 32] = Sha256::digest(body).into();
        if bool::from(digest.ct_eq(&self.body_sha256)) {
            return Ok(());
        }
        Err(wrong())
    }
}

/// Secrets and nonces. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Signatures {
    db: PipelineDb,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
    home: Home,
}

impl Signatures {
    /// Starts the task that forgets old nonces.
    pub(crate) fn start(
        db: PipelineDb,
        secret: &[u8; 32],
        clock: Arc<dyn Clock>,
        home: Home,
        lifecycle: &Lifecycle,
    ) -> Self {
        let this = Self {
            db,
            sealer: Sealer::new(secret, "request-signing"),
            clock,
            home,
        };
        let cleaner = this.clone();
        lifecycle.spawn("nonce-cleaner", Phase::Work, OnExit::restart(), move |shutdown| {
            let this = cleaner.clone();
            async move {
                while !shutdown.is_requested() {
                    while this.clean().await? > 0 {}
                    tokio::select! {
                        () = shutdown.requested() => {}
                        () = tokio::time::sleep(CLEAN_EVERY) => {}
                    }
                }
                Ok(())
            }
        });
        this
    }

    /// A new secret of 256 bits for a key: its text, and sealed.
    pub(super) fn secret(&self, key: ApiKeyId) -> Option<(String, Vec<u8>)> {
        let random = (0..SECRET_LEN).map(|_| char::from(BASE62[rand::random_range(0..BASE62.len())]));
        let text = format!("dss_{}", random.collect::<String>());
        let sealed = self.sealer.seal(text.as_bytes(), key.uuid().as_bytes())?;
        Some((text, sealed))
    }

    /// The secret of a key, for signatures.
    pub(super) fn open(&self, key: ApiKeyId, signing: &Signing) -> Option<Vec<u8>> {
        self.sealer.open(signing.sealed()?, key.uuid().as_bytes())
    }

    /// Notes a nonce; refuses one that was used.
    pub(super) async fn first_time(&self, org: OrgId, claim: &Claim<'_>) -> Result<(), ApiError> {
        // Good until its timestamp is refused by itself.
        let until = Timestamp::from_second(claim.timestamp.saturating_add(2 * SKEW_SECS));
        let until = until.unwrap_or(Timestamp::MAX).to_sqlx();
        let (db, key, nonce) = (self.db.clone(), claim.key, claim.nonce.to_owned());
        let work = async move {
            let mut tx = db.begin().await?;
            let done = sqlx::query(
                "INSERT INTO request_nonces (org_id, key_id, nonce, expires_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            )
            .bind(org.uuid())
            .bind(key.uuid())
            .bind(nonce)
            .bind(until)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok::<_, StoreError>(done.rows_affected() == 1)
        };
        match self.home.run("nonce", work).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(ApiError::new(
                ErrorCode::InvalidSignature,
                "this nonce was used before; a request is signed anew for every try",
            )),
            Ok(Err(error)) => {
                tracing::warn!(%error, "nonces cannot be noted");
                Err(error.to_api())
            }
            Err(_) => Err(ApiError::internal()),
        }
    }

    async fn clean(&self) -> Result<u64, StoreError> {
        let mut tx = self.db.begin().await?;
        let done = sqlx::query(
            "DELETE FROM request_nonces WHERE (org_id, key_id, nonce) IN \
             (SELECT org_id, key_id, nonce FROM request_nonces WHERE expires_at < $1 ORDER BY expires_at LIMIT 1000)",
        )
        .bind(self.clock.now().to_sqlx())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }
}
