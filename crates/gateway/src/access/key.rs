//! The text of an API key: `dsk_<environment>_<id>_<32 characters base62>_<crc32>`.
//!
//! The checksum lets a typing error be refused without a query. It protects nothing: the secret does.

use ids::ApiKeyId;
use settings::Secret;
use sha2::{Digest, Sha256};
use uuid::Uuid;

const SCHEME: &str = "dsk";
const SECRET_LEN: usize = 32;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Longer text is no key of ours.
const MAX_LEN: usize = 128;

/// A key as presented: its id, and what its secret hashes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiKey {
    /// Which key it claims to be.
    pub id: ApiKeyId,
    /// SHA-256 of the secret part.
    pub secret_sha256: [u8; 32],
}

impl ApiKey {
    /// Reads a key's text. `None` when it is not of the form, or its checksum does not match.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_LEN {
            return None;
        }
        let (body, checksum) = text.rsplit_once('_')?;
        if checksum.len() != 8 || u32::from_str_radix(checksum, 16).ok()? != crc32fast::hash(body.as_bytes())
        {
            return None;
        }
        let mut parts = body.split('_');
        let (scheme, _environment, id, secret) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some()
            || scheme != SCHEME
            || id.len() != 32
            || secret.len() != SECRET_LEN
            || !secret.bytes().all(|b| b.is_ascii_alphanumeric())
        {
            return None;
        }
        let id = ApiKeyId(Uuid::try_parse(id).ok()?);
        Some(Self {
            id,
            secret_sha256: Sha256::digest(secret.as_bytes()).into(),
        })
    }
}

/// A key that was just made. Its text exists only here: shown once, stored nowhere.
#[derive(Debug)]
pub struct NewSecret {
    /// The whole key, for the caller who asked for it.
    pub text: Secret<String>,
    /// The part before the secret.
    pub prefix: String,
    /// What is stored.
    pub secret_sha256: [u8; 32],
}

impl NewSecret {
    /// A new secret for the key `id`, from the operating system's randomness.
    #[must_use]
    pub fn generate(environment: &str, id: ApiKeyId) -> Self {
        let secret: String = (0..SECRET_LEN)
            .map(|_| char::from(BASE62[rand::random_range(0..BASE62.len())]))
            .collect();
        let prefix = format!("{SCHEME}_{environment}_{}", id.uuid().simple());
        let body = format!("{prefix}_{secret}");
        let checksum = crc32fast::hash(body.as_bytes());
        Self {
            secret_sha256: Sha256::digest(secret.as_bytes()).into(),
            text: Secret::new(format!("{body}_{checksum:08x}")),
            prefix,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_read_back() {
        let id = ApiKeyId(Uuid::from_u128(42));
        let made = NewSecret::generate("dev", id);
        let read = ApiKey::parse(made.text.expose()).unwrap();
        assert_eq!(
            read,
            ApiKey {
                id,
                secret_sha256: made.secret_sha256
            }
        );
        assert!(made.text.expose().starts_with(&made.prefix));
    }

    #[test]
    fn any_changed_character_is_refused_without_a_query() {
        let text = NewSecret::generate("dev", ApiKeyId(Uuid::from_u128(42)))
            .text
            .expose()
            .clone();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
            assert_eq!(ApiKey::parse(&String::from_utf8(bytes).unwrap()), None, "{at}");
        }
        for bad in [
            "",
            "dsk",
            "dsk_dev_x_y_z",
            "____",
            &"d".repeat(5_000),
            "dsk_dev_ä_ö_00000000",
        ] {
            assert_eq!(ApiKey::parse(bad), None);
        }
    }
}
