//! Keys derived from the one secret of the settings, each for one purpose.

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// HMAC-SHA256.
type Mac = Hmac<Sha256>;

const NONCE_LEN: usize = 24;

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A key for one purpose.
pub fn derive(secret: &[u8; 32], purpose: &str) -> [u8; 32] {
    authenticate(secret, &[purpose.as_bytes()])
}

fn authenticate(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // Any length is a key to HMAC; 32 bytes always are.
    let Ok(mut mac) = <Mac as hmac::KeyInit>::new_from_slice(key) else {
        return [0; 32];
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Marks texts as ours.
#[derive(Clone)]
pub struct Marker([u8; 32]);

impl Marker {
    /// A marker for one purpose.
    #[must_use]
    pub fn new(secret: &[u8; 32], purpose: &str) -> Self {
        Self(derive(secret, purpose))
    }

    /// The mark of these parts, which must be told apart by their lengths.
    #[must_use]
    pub fn mark(&self, parts: &[&[u8]]) -> [u8; 16] {
        let whole = authenticate(&self.0, parts);
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        half
    }
}

/// Seals what is stored but must not be read from a copy of the database.
#[derive(Clone)]
pub struct Sealer(XChaCha20Poly1305);

impl Sealer {
    /// A sealer for one purpose.
    #[must_use]
    pub fn new(secret: &[u8; 32], purpose: &str) -> Self {
        Self(XChaCha20Poly1305::new(&derive(secret, purpose).into()))
    }

    /// Seals a text to its place: elsewhere it cannot be opened.
    #[must_use]
    pub fn seal(&self, plain: &[u8], place: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0_u8; NONCE_LEN];
        rand::fill(&mut nonce);
        let sealed = self
            .0
            .encrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: plain,
                    aad: place,
                },
            )
            .ok()?;
        Some([nonce.as_slice(), &sealed].concat())
    }

    /// The text; `None` when it was changed, moved, or sealed with another secret.
    #[must_use]
    pub fn open(&self, sealed: &[u8], place: &[u8]) -> Option<Vec<u8>> {
        let (nonce, msg) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce: [u8; NONCE_LEN] = nonce.try_into().ok()?;
        self.0
            .decrypt(&XNonce::from(nonce), Payload { msg, aad: place })
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_unchanged_and_in_its_place() {
        let sealer = Sealer::new(&[7; 32], "a");
        let sealed = sealer.seal(b"text", b"here").unwrap();
        assert_eq!(sealer.open(&sealed, b"here").unwrap(), b"text");
        assert_eq!(sealer.open(&sealed, b"there"), None);
        assert_eq!(Sealer::new(&[7; 32], "b").open(&sealed, b"here"), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(sealer.open(&changed, b"here"), None);
        }
        assert_eq!(sealer.open(b"", b"here"), None);
    }
}
