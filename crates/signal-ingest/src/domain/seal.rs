//! Secrets at rest: XChaCha20-Poly1305 under the service's key, bound to the row and column they stand in.
//!
//! Format: one byte of version, 24 bytes of nonce, ciphertext and tag. Copied to another row or column, or altered, a
//! sealed secret does not open.

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use ids::OrgId;
use uuid::Uuid;

const VERSION: u8 = 1;
/// Bytes of a nonce; random ones of this length never meet.
pub const NONCE_BYTES: usize = 24;

/// The place of a secret: what it is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Organization.
    pub org: OrgId,
    /// Table.
    pub table: &'a str,
    /// Column.
    pub column: &'a str,
    /// Row.
    pub id: Uuid,
}

/// The secret does not open here, under this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed secret does not open")]
pub struct Unsealable;

/// Seals and opens secrets with one key.
#[derive(Clone)]
pub struct Sealer(XChaCha20Poly1305);

impl Sealer {
    /// A sealer with this key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    /// Seals `secret` for its place. `nonce` must be random and new.
    ///
    /// # Errors
    /// The secret is absurdly long.
    pub fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        secret: &[u8],
        place: &Place<'_>,
    ) -> Result<Vec<u8>, Unsealable> {
        let bound = place.bytes();
        let payload = Payload {
            msg: secret,
            aad: &bound,
        };
        let sealed = self
            .0
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| Unsealable)?;
        Ok([&[VERSION][..], &nonce, &sealed].concat())
    }

    /// Opens a sealed secret at its place.
    ///
    /// # Errors
    /// Another key, another place, or altered.
    pub fn open(&self, sealed: &[u8], place: &Place<'_>) -> Result<Vec<u8>, Unsealable> {
        let Some((&VERSION, rest)) = sealed.split_first() else {
            return Err(Unsealable);
        };
        let Some((nonce, sealed)) = rest.split_first_chunk::<NONCE_BYTES>() else {
            return Err(Unsealable);
        };
        let bound = place.bytes();
        self.0
            .decrypt(
                &XNonce::from(*nonce),
                Payload {
                    msg: sealed,
                    aad: &bound,
                },
            )
            .map_err(|_| Unsealable)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer([redacted])")
    }
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        format!("{}|{}|{}|{}", self.org, self.table, self.column, self.id).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place<'static> {
        Place {
            org: OrgId(Uuid::from_u128(1)),
            table: "sources",
            column: "secret",
            id: Uuid::from_u128(2),
        }
    }

    #[test]
    fn a_secret_opens_only_at_its_place_with_its_key_and_unaltered() {
        let sealer = Sealer::new(&[7; 32]);
        let sealed = sealer.seal([9; NONCE_BYTES], b"hunter2", &place()).unwrap();
        assert!(!sealed.windows(7).any(|bytes| bytes == b"hunter2"));
        assert_eq!(sealer.open(&sealed, &place()).unwrap(), b"hunter2");
        let elsewhere = [
            Place {
                org: OrgId(Uuid::from_u128(3)),
                ..place()
            },
            Place {
                column: "config",
                ..place()
            },
            Place {
                table: "other",
                ..place()
            },
            Place {
                id: Uuid::from_u128(3),
                ..place()
            },
        ];
        for place in elsewhere {
            assert_eq!(sealer.open(&sealed, &place), Err(Unsealable));
        }
        assert_eq!(Sealer::new(&[8; 32]).open(&sealed, &place()), Err(Unsealable));
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert_eq!(sealer.open(&altered, &place()), Err(Unsealable), "{index}");
            assert_eq!(
                sealer.open(&sealed[..index], &place()),
                Err(Unsealable),
                "{index}"
            );
        }
    }
}
