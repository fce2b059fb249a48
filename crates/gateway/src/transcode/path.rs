//! Paths: strict percent-decoding and splitting.

use errors::{ApiError, ErrorCode};

/// The decoded segments of a path. `None` when no route can have it (empty segments, dots).
///
/// # Errors
/// `invalid_parameter` when an escape is broken, or the bytes are not UTF-8 or hold control characters.
pub fn segments(path: &str) -> Result<Option<Vec<String>>, ApiError> {
    let Some(rest) = path.strip_prefix('/') else {
        return Ok(None);
    };
    let mut decoded = Vec::with_capacity(8);
    for raw in rest.split('/') {
        let segment = decode(raw, false)
            .filter(|s| !s.chars().any(char::is_control))
            .ok_or_else(|| {
                ApiError::new(
                    ErrorCode::InvalidParameter,
                    "the path is not percent-encoded UTF-8 without control characters",
                )
            })?;
        if matches!(segment.as_str(), "" | "." | "..") || segment.contains('/') {
            return Ok(None);
        }
        decoded.push(segment);
    }
    Ok(Some(decoded))
}

/// Decodes `%xx`, and `+` as a space in queries. `None` when an escape is broken or the bytes are not UTF-8.
pub fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    if !text.bytes().any(|b| b == b'%' || b == b'+') {
        return Some(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let (high, low) = (hex(bytes.next()?)?, hex(bytes.next()?)?);
                out.push(high << 4 | low);
            }
            b'+' if plus_is_space => out.push(b' '),
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_strictly() {
        assert_eq!(segments("/a/b%20c").unwrap().unwrap(), ["a", "b c"]);
        for bad in [
            "/a/%zz",
            "/a/%f",
            "/a/%",
            "/a/%ff",
            "/a/%c0%80",
            "/a/%00",
            "/a/%0d%0a",
        ] {
            assert!(segments(bad).is_err(), "{bad}");
        }
        for nowhere in ["", "a", "//", "/a/", "/a//b", "/a/../b", "/a/%2e%2e/b", "/a%2fb"] {
            assert_eq!(segments(nowhere).unwrap(), None, "{nowhere}");
        }
    }
}
