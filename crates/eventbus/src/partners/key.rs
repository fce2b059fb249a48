//! The key that vouches for partners, in the text form of NATS: base32 of a prefix, 32 bytes and a checksum.
//!
//! Source: nats-io/nkeys. Seeds begin with two prefixes of five and eight bits, public keys with one.

use data_encoding::BASE32_NOPAD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use settings::Secret;

const PREFIX_SEED: u8 = 18 << 3;
const PREFIX_ACCOUNT: u8 = 0;
const PREFIX_SERVER: u8 = 13 << 3;

/// Not a key of NATS of the kind that is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not the seed of an account key (`SA…`)")]
pub struct KeyProblem;

/// An account key with its private half.
#[derive(Clone)]
pub struct IssuerKey {
    key: SigningKey,
    public: String,
}

impl IssuerKey {
    /// A new key, from the operating system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_seed(rand::random())
    }

    /// Reads a seed (`SA…`).
    ///
    /// # Errors
    /// It is not one.
    pub fn read(seed: &str) -> Result<Self, KeyProblem> {
        let bytes = checked(seed).ok_or(KeyProblem)?;
        let [first, second, key @ ..] = bytes.as_slice() else {
            return Err(KeyProblem);
        };
        let kind = ((first & 7) << 5) | (second >> 3);
        if first & 0xf8 != PREFIX_SEED || kind != PREFIX_ACCOUNT {
            return Err(KeyProblem);
        }
        key.try_into().map(Self::from_seed).map_err(|_| KeyProblem)
    }

    fn from_seed(seed: [u8; 32]) -> Self {
        let key = SigningKey::from_bytes(&seed);
        let public = encode(&[PREFIX_ACCOUNT], key.verifying_key().as_bytes());
        Self { key, public }
    }

    /// The public half (`A…`), for the broker's configuration.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The seed (`SA…`), to be kept secret.
    #[must_use]
    pub fn seed(&self) -> Secret<String> {
        let prefix = [PREFIX_SEED | (PREFIX_ACCOUNT >> 5), (PREFIX_ACCOUNT & 31) << 3];
        Secret::new(encode(&prefix, self.key.as_bytes()))
    }

    pub(super) fn sign(&self, text: &str) -> [u8; 64] {
        self.key.sign(text.as_bytes()).to_bytes()
    }
}

/// Whether a server's key (`N…`) signed the text.
pub(super) fn server_signed(server: &str, text: &str, signature: &[u8]) -> bool {
    let verified = || {
        let bytes = checked(server)?;
        let (PREFIX_SERVER, key) = bytes.split_first().map(|(prefix, key)| (*prefix, key))? else {
            return None;
        };
        let key = VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
        let signature = Signature::from_slice(signature).ok()?;
        key.verify_strict(text.as_bytes(), &signature).ok()
    };
    verified().is_some()
}

fn encode(prefix: &[u8], key: &[u8]) -> String {
    let mut bytes = [prefix, key].concat();
    bytes.extend_from_slice(&crc16(&bytes).to_le_bytes());
    BASE32_NOPAD.encode(&bytes)
}

/// The bytes before the checksum, if it is right.
fn checked(text: &str) -> Option<Vec<u8>> {
    let mut bytes = BASE32_NOPAD.decode(text.as_bytes()).ok()?;
    let checksum = bytes.split_off(bytes.len().checked_sub(2)?);
    (crc16(&bytes).to_le_bytes() == checksum.as_slice()).then_some(bytes)
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_read_back_and_belongs_to_its_public_key() {
        let key = IssuerKey::generate();
        let again = IssuerKey::read(key.seed().expose()).unwrap();
        assert_eq!(again.public(), key.public());
        assert!(key.public().starts_with('A') && key.seed().expose().starts_with("SA"));
        assert_eq!((key.public().len(), key.seed().expose().len()), (56, 58));
    }

    #[test]
    fn seeds_of_other_kinds_and_changed_ones_are_refused() {
        let seed = IssuerKey::generate().seed().expose().clone();
        for at in 0..seed.len() {
            let mut bytes = seed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'B' { b'C' } else { b'B' };
            assert!(
                IssuerKey::read(&String::from_utf8(bytes).unwrap()).is_err(),
                "{at}"
            );
        }
        let user = encode(&[PREFIX_SEED | 5, 0], &[7; 32]);
        for bad in ["", "SA", "S", &user, IssuerKey::generate().public()] {
            assert!(IssuerKey::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_reference() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }
}
