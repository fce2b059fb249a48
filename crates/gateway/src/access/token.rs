//! Access tokens of people: EdDSA JWTs of 15 minutes, whose keys are published and can be rotated.
//!
//! Owns: signing, verifying, the key set. A token says which session it belongs to; whether that session is still good,
//! and in which role, the database says. Must not: trust anything else of a token.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use errors::ApiError;
use ids::Clock;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use settings::{Secret, SettingsError};
use uuid::Uuid;

const ISSUER: &str = "devsignal";
const AUDIENCE: &str = "devsignal-api";
/// How long an access token is good.
pub const LIFETIME_SECS: i32 = 15 * 60;

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
    /// The user.
    sub: Uuid,
    /// The session.
    sid: Uuid,
    /// The organization.
    org: Uuid,
}

/// Signs with the first key, verifies with all. Cheap to clone.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    key: EncodingKey,
    header: Header,
    known: HashMap<String, DecodingKey>,
    validation: Validation,
    published: Value,
    clock: Arc<dyn Clock>,
}

impl Tokens {
    /// With Ed25519 seeds in base64: the first signs, the others are of before.
    ///
    /// # Errors
    /// A key is not 32 bytes in base64.
    pub fn new(seeds: &[Secret<String>], clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        let bad = || SettingsError::invalid("access.token_keys", "each must be 32 bytes in base64");
        let mut keys = Vec::new();
        for seed in seeds {
            let bytes = STANDARD.decode(seed.expose()).unwrap_or_default();
            let bytes: [u8; 32] = bytes.try_into().map_err(|_| bad())?;
            keys.push(SigningKey::from_bytes(&bytes));
        }
        let first = keys.first().ok_or_else(bad)?;
        let der = first.to_pkcs8_der().map_err(|_| bad())?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(kid(first));
        let (mut known, mut published) = (HashMap::new(), Vec::new());
        for key in &keys {
            let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
            let decoding = DecodingKey::from_ed_components(&x).map_err(|_| bad())?;
            published.push(
                json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid(key), "x": x}),
            );
            known.insert(kid(key), decoding);
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Judged by our own clock below.
        validation.validate_exp = false;
        Ok(Self(Arc::new(Inner {
            key: EncodingKey::from_ed_der(der.as_bytes()),
            header,
            known,
            validation,
            published: json!({ "keys": published }),
            clock,
        })))
    }

    /// The key set (RFC 7517).
    #[must_use]
    pub fn published(&self) -> &Value {
        &self.0.published
    }

    /// A token for a session.
    ///
    /// # Errors
    /// `internal`.
    pub fn sign(&self, user: Uuid, session: Uuid, org: Uuid) -> Result<String, ApiError> {
        let iat = self.0.clock.now().as_second();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            iat,
            exp: iat + i64::from(LIFETIME_SECS),
            sub: user,
            sid: session,
            org,
        };
        jsonwebtoken::encode(&self.0.header, &claims, &self.0.key).map_err(|error| {
            tracing::error!(%error, "an access token cannot be signed");
            ApiError::internal()
        })
    }

    /// The session of a token, if the token is ours and not over.
    #[must_use]
    pub fn session(&self, text: &str) -> Option<Uuid> {
        let kid = jsonwebtoken::decode_header(text).ok()?.kid?;
        let key = self.0.known.get(&kid)?;
        let claims = jsonwebtoken::decode::<Claims>(text, key, &self.0.validation)
            .ok()?
            .claims;
        (claims.exp > self.0.clock.now().as_second()).then_some(claims.sid)
    }
}

fn kid(key: &SigningKey) -> String {
    URL_SAFE_NO_PAD.encode(&key.verifying_key().as_bytes()[..8])
}

#[cfg(test)]
mod tests {
    use ids::{ManualClock, SystemClock};

    use super::*;

    fn seed(n: u8) -> Secret<String> {
        Secret::new(STANDARD.encode([n; 32]))
    }

    #[test]
    fn a_token_is_good_until_its_end_and_with_known_keys_only() {
        let clock = ManualClock::at(SystemClock.now());
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let with = |seeds: &[Secret<String>]| Tokens::new(seeds, Arc::clone(&shared)).unwrap();
        let old = with(&[seed(1)]);
        let session = Uuid::from_u128(7);
        let token = old.sign(Uuid::from_u128(1), session, Uuid::from_u128(2)).unwrap();
        assert_eq!(old.session(&token), Some(session));
        let rotated = with(&[seed(2), seed(1)]);
        assert_eq!(
            rotated.session(&token),
            Some(session),
            "the key of before verifies"
        );
        assert_eq!(rotated.published()["keys"].as_array().unwrap().len(), 2);
        assert_eq!(with(&[seed(2)]).session(&token), None);
        clock.advance(jiff::SignedDuration::from_mins(16));
        assert_eq!(old.session(&token), None);
        assert_eq!(old.session("eyJhbGciOiJub25lIn0.e30."), None);
    }
}
