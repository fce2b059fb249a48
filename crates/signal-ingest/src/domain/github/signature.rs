//! `X-Hub-Signature-256`: `sha256=` and the HMAC-SHA256 of the raw body in lower-case hexadecimal digits
//! (<https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries>).

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Whether `signature` is that of `body` under `secret`. Takes the same time wherever they differ.
#[must_use]
pub fn is_valid(secret: &[u8], body: &[u8], signature: &str) -> bool {
    let Some(digits) = signature.strip_prefix("sha256=") else {
        return false;
    };
    // One spelling only: GitHub writes lower case.
    if digits.len() != 64 || digits.bytes().any(|b| b.is_ascii_uppercase()) {
        return false;
    }
    let Ok(given) = hex::decode(digits) else {
        return false;
    };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
        return false;
    };
    mac.update(body);
    mac.verify_slice(&given).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation.
    const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    const SECRET: &[u8] = b"It's a Secret to Everybody";

    #[test]
    fn the_documented_example_is_valid() {
        assert!(is_valid(SECRET, b"Hello, World!", SIGNATURE));
    }

    #[test]
    fn any_change_makes_it_invalid() {
        assert!(!is_valid(SECRET, b"Hello, World?", SIGNATURE));
        assert!(!is_valid(b"another secret", b"Hello, World!", SIGNATURE));
        assert!(!is_valid(SECRET, b"Hello, World!", &SIGNATURE.to_uppercase()));
        assert!(!is_valid(SECRET, b"Hello, World!", &SIGNATURE[..70]));
        assert!(!is_valid(SECRET, b"Hello, World!", ""));
        for at in "sha256=".len()..SIGNATURE.len() {
            let mut changed = SIGNATURE.as_bytes().to_vec();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert!(!is_valid(
                SECRET,
                b"Hello, World!",
                std::str::from_utf8(&changed).unwrap()
            ));
        }
    }
}
