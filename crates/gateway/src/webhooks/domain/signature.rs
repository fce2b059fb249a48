//! Signatures after Standard Webhooks 1.0.0: `v1` (HMAC-SHA256 with a shared secret) and `v1a` (ed25519).
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use standardwebhooks::Webhook;

/// How deliveries of an endpoint are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `v1`.
    Hmac,
    /// `v1a`.
    Ed25519,
}

impl Scheme {
    /// As it is stored and told.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Hmac => "hmac_sha256",
            Self::Ed25519 => "ed25519",
        }
    }

    /// From its text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Hmac, Self::Ed25519].into_iter().find(|s| s.text() == text)
    }
}

/// Bytes that sign. A secret of `v1` has 24 to 64, a key of `v1a` has 32.
#[derive(Clone)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Of these bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The secret of a text `whsec_…`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix("whsec_")?).ok()?;
        (24..=64).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The bytes, to be sealed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As text `whsec_…`, for the one time that it is shown.
    #[must_use]
    pub fn text(&self) -> String {
        format!("whsec_{}", STANDARD.encode(&self.0))
    }

    /// The public key `whpk_…` of a key of `v1a`.
    #[must_use]
    pub fn public(&self) -> Option<String> {
        let key = SigningKey::from_bytes(&self.0.clone().try_into().ok()?);
        Some(format!(
            "whpk_{}",
            STANDARD.encode(key.verifying_key().as_bytes())
        ))
    }

    fn sign(&self, scheme: Scheme, id: &str, timestamp: i64, body: &str) -> Option<String> {
        match scheme {
            Scheme::Hmac => Webhook::from_bytes(self.0.clone())
                .ok()?
                .sign(id, timestamp, body.as_bytes())
                .ok(),
            Scheme::Ed25519 => {
                let key = SigningKey::from_bytes(&self.0.clone().try_into().ok()?);
                let signed = key.sign(format!("{id}.{timestamp}.{body}").as_bytes());
                Some(format!("v1a,{}", STANDARD.encode(signed.to_bytes())))
            }
        }
    }
}

/// The header `webhook-signature`: one signature per secret, by spaces; `None` without a secret that signs.
#[must_use]
pub fn header(
    scheme: Scheme,
    secrets: &[SecretBytes],
    id: &str,
    timestamp: i64,
    body: &str,
) -> Option<String> {
    let signed: Option<Vec<String>> = secrets
        .iter()
        .map(|secret| secret.sign(scheme, id, timestamp, body))
        .collect();
    signed.filter(|all| !all.is_empty()).map(|all| all.join(" "))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::Verifier as _;

    use super::*;

    #[test]
    fn the_published_vector_is_reproduced() {
        // Of the specification's and Svix's documentation.
        let secret = SecretBytes::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = header(
            Scheme::Hmac,
            &[secret],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn an_ed25519_signature_is_verified_by_the_public_key_alone() {
        let secret = SecretBytes::new(vec![7; 32]);
        let public = secret.public().unwrap();
        let bytes: [u8; 32] = STANDARD
            .decode(public.strip_prefix("whpk_").unwrap())
            .unwrap()
            .try_into()
            .unwrap();
        let signed = header(Scheme::Ed25519, &[secret], "id", 5, "{}").unwrap();
        let signature = STANDARD.decode(signed.strip_prefix("v1a,").unwrap()).unwrap();
        let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes).unwrap();
        let signature = ed25519_dalek::Signature::from_slice(&signature).unwrap();
        key.verify(b"id.5.{}", &signature).unwrap();
        assert!(key.verify(b"id.6.{}", &signature).is_err());
    }

    #[test]
    fn secrets_of_other_forms_are_none() {
        for text in [
            "",
            "whsec_",
            "whsec_AAAA",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_!",
        ] {
            assert!(SecretBytes::parse(text).is_none(), "{text}");
        }
        let long = format!("whsec_{}", STANDARD.encode([1; 65]));
        assert!(SecretBytes::parse(&long).is_none());
        let made = SecretBytes::new(vec![1; 32]);
        assert_eq!(SecretBytes::parse(&made.text()).unwrap().bytes(), made.bytes());
    }
}
