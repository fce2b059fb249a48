//! The principal on the wire: an EdDSA JWT (RFC 8037), short-lived, signed by the gateway, verified by every service.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use ids::Clock;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use settings::Secret;

use crate::Principal;

const ISSUER: &str = "devsignal-gateway";
const AUDIENCE: &str = "devsignal-services";
/// How long a token is valid. Short, because nothing revokes it.
const LIFETIME_SECS: i64 = 60;
/// How long one token is used for the same principal; the rest of its life covers the call and clock differences.
const REUSE: Duration = Duration::from_secs(30);
/// Clock difference tolerated between gateway and service, in seconds.
const LEEWAY_SECS: u64 = 15;
/// How long a verified token is trusted without verifying again; never beyond its own end, which is checked each time.
const VERIFIED: Duration = Duration::from_secs(30);
const CACHED: u64 = 100_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
    #[serde(flatten)]
    principal: Principal,
}

/// A key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not 32 bytes in base64.
    #[error("an Ed25519 key is 32 bytes in base64")]
    Form,
    /// The key could not be prepared.
    #[error("the key cannot be used")]
    Unusable(#[source] jsonwebtoken::errors::Error),
    /// The key could not be encoded.
    #[error("the key cannot be encoded")]
    Encoding(#[source] ed25519_dalek::pkcs8::Error),
    /// No key at all.
    #[error("at least one verification key is needed")]
    None,
}

/// A token cannot be made or is not valid.
#[derive(Debug, thiserror::Error)]
#[error("principal token")]
pub struct TokenError(#[from] jsonwebtoken::errors::Error);

/// An Ed25519 key pair, both halves in base64.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// The 32-byte seed; gateway only.
    pub private: Secret<String>,
    /// The 32-byte public key; every service.
    pub public: String,
}

impl KeyPair {
    /// A new pair from the operating system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        let mut seed = [0_u8; 32];
        rand::fill(&mut seed);
        let key = SigningKey::from_bytes(&seed);
        Self {
            private: Secret::new(STANDARD.encode(seed)),
            public: STANDARD.encode(key.verifying_key().as_bytes()),
        }
    }

    /// The public half that belongs to a private one.
    pub fn public_of(private: &Secret<String>) -> Result<String, KeyError> {
        Ok(STANDARD.encode(signing_key(private)?.verifying_key().as_bytes()))
    }
}

fn bytes32(text: &str) -> Result<[u8; 32], KeyError> {
    STANDARD
        .decode(text)
        .map_err(|_| KeyError::Form)?
        .try_into()
        .map_err(|_| KeyError::Form)
}

fn signing_key(private: &Secret<String>) -> Result<SigningKey, KeyError> {
    Ok(SigningKey::from_bytes(&bytes32(private.expose())?))
}

/// A short name of a public key, so that keys can be rotated.
fn key_id(public: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(&public[..8])
}

/// Makes tokens; the gateway holds the only one. Tokens are reused per principal for half their life.
#[derive(Clone)]
pub struct Signer {
    key: Arc<EncodingKey>,
    header: Header,
    clock: Arc<dyn Clock>,
    cache: Cache<Principal, Arc<str>>,
}

impl Signer {
    /// A signer with the private key (base64 of 32 bytes).
    pub fn new(private: &Secret<String>, clock: Arc<dyn Clock>) -> Result<Self, KeyError> {
        let key = signing_key(private)?;
        let der = key.to_pkcs8_der().map_err(KeyError::Encoding)?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(key_id(key.verifying_key().as_bytes()));
        let cache = Cache::builder().max_capacity(CACHED).time_to_live(REUSE).build();
        Ok(Self {
            key: Arc::new(EncodingKey::from_ed_der(der.as_bytes())),
            header,
            clock,
            cache,
        })
    }

    /// The token of a principal.
    pub fn token(&self, principal: &Principal) -> Result<Arc<str>, TokenError> {
        if let Some(token) = self.cache.get(principal) {
            return Ok(token);
        }
        let iat = self.clock.now().as_second();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            iat,
            exp: iat + LIFETIME_SECS,
            principal: principal.clone(),
        };
        let token: Arc<str> = jsonwebtoken::encode(&self.header, &claims, &self.key)?.into();
        self.cache.insert(principal.clone(), Arc::clone(&token));
        Ok(token)
    }
}

/// Checks tokens. Only EdDSA, only our issuer and audience, only local keys: a token's own words about keys are ignored.
#[derive(Clone)]
pub struct Verifier {
    keys: Arc<HashMap<String, DecodingKey>>,
    validation: Arc<Validation>,
    clock: Arc<dyn Clock>,
    cache: Cache<String, (Arc<Principal>, i64)>,
}

impl Verifier {
    /// A verifier that trusts these public keys (base64 of 32 bytes each).
    pub fn new(public: &[String], clock: Arc<dyn Clock>) -> Result<Self, KeyError> {
        let mut keys = HashMap::new();
        for text in public {
            let bytes = bytes32(text)?;
            let key = DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode(bytes))
                .map_err(KeyError::Unusable)?;
            keys.insert(key_id(&bytes), key);
        }
        if keys.is_empty() {
            return Err(KeyError::None);
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.leeway = LEEWAY_SECS;
        let cache = Cache::builder()
            .max_capacity(CACHED)
            .time_to_live(VERIFIED)
            .build();
        Ok(Self {
            keys: Arc::new(keys),
            validation: Arc::new(validation),
            clock,
            cache,
        })
    }

    /// The principal of a token, if the token is ours and still valid.
    #[must_use]
    pub fn verify(&self, token: &str) -> Option<Arc<Principal>> {
        if let Some((principal, exp)) = self.cache.get(token) {
            let leeway = i64::try_from(LEEWAY_SECS).unwrap_or(0);
            return (self.clock.now().as_second() <= exp + leeway).then_some(principal);
        }
        let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
        let data = jsonwebtoken::decode::<Claims>(token, self.keys.get(&kid)?, &self.validation).ok()?;
        let principal = Arc::new(data.claims.principal);
        self.cache
            .insert(token.to_owned(), (Arc::clone(&principal), data.claims.exp));
        Some(principal)
    }
}

#[cfg(test)]
mod tests {
    use ids::{OrgId, SystemClock};
    use uuid::Uuid;

    use super::*;
    use crate::{Actor, Role};

    fn principal() -> Principal {
        Principal {
            org: Some(OrgId(Uuid::from_u128(7))),
            actor: Actor::User(Uuid::from_u128(8)),
            role: Role::Member,
            scopes: vec!["signals:write".into()],
        }
    }

    #[test]
    fn a_token_is_verified_by_the_right_key_only() {
        let (ours, other) = (KeyPair::generate(), KeyPair::generate());
        let signer = Signer::new(&ours.private, SystemClock::shared()).unwrap();
        let token = signer.token(&principal()).unwrap();
        let good = Verifier::new(&[other.public.clone(), ours.public], SystemClock::shared()).unwrap();
        let bad = Verifier::new(&[other.public], SystemClock::shared()).unwrap();
        assert_eq!(good.verify(&token).as_deref(), Some(&principal()));
        assert_eq!(
            good.verify(&token).as_deref(),
            Some(&principal()),
            "from the cache"
        );
        assert_eq!(bad.verify(&token), None);
    }

    #[test]
    fn a_changed_token_is_refused() {
        let pair = KeyPair::generate();
        let token = Signer::new(&pair.private, SystemClock::shared())
            .unwrap()
            .token(&principal())
            .unwrap();
        let verifier = Verifier::new(&[pair.public], SystemClock::shared()).unwrap();
        for at in 0..token.len() {
            let mut bytes = token.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            if let Some(seen) = verifier.verify(&changed) {
                // The last character of base64 has unused bits: the same signature in another spelling.
                assert_eq!(*seen, principal());
                assert_eq!(at, token.len() - 1);
            }
        }
        assert_eq!(verifier.verify("eyJhbGciOiJub25lIn0.e30."), None);
    }

    #[test]
    fn an_old_token_is_refused_even_from_the_cache() {
        let pair = KeyPair::generate();
        let clock = ids::ManualClock::at(ids::Clock::now(&SystemClock));
        let signer = Signer::new(&pair.private, std::sync::Arc::new(clock.clone())).unwrap();
        let verifier = Verifier::new(&[pair.public], std::sync::Arc::new(clock.clone())).unwrap();
        let token = signer.token(&principal()).unwrap();
        assert!(verifier.verify(&token).is_some());
        clock.advance(jiff_secs(120));
        assert!(verifier.verify(&token).is_none());
    }

    fn jiff_secs(secs: i64) -> ids::Duration {
        ids::Duration::from_secs(secs)
    }
}
