//! Headers that an endpoint's owner adds: which may be, and which are the protocol's or ours.

use errors::{ApiError, FieldError};
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

const MOST: usize = 20;
const LONGEST_VALUE: usize = 1_000;

/// Hop by hop (RFC 9110, 7.6.1), of the message itself, or ours.
const REFUSED: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "expect",
    "content-length",
    "content-type",
    "content-encoding",
    "accept-encoding",
    "user-agent",
    "traceparent",
    "tracestate",
];
const REFUSED_PREFIXES: &[&str] = &["webhook-", "devsignal-", "proxy-", "sec-", "svix-"];

/// The headers of an endpoint, in the order given, names in lower case.
///
/// # Errors
/// What is wrong, at its place below `/headers`.
pub fn check(given: &Map<String, Value>) -> Result<Vec<(String, String)>, ApiError> {
    if given.len() > MOST {
        let message = format!("at most {MOST} headers");
        return Err(ApiError::invalid("/headers", "too_many", message));
    }
    let (mut headers, mut wrong) = (Vec::<(String, String)>::new(), Vec::new());
    for (name, value) in given {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        let at = format!("/headers/{}", escaped.chars().take(100).collect::<String>());
        let mut refuse = |code: &str, message: &str| wrong.push(FieldError::new(&at, code, message));
        let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
            refuse("invalid", "a header's name has letters, digits and hyphens");
            continue;
        };
        let lower = parsed.as_str();
        if REFUSED.contains(&lower) || REFUSED_PREFIXES.iter().any(|p| lower.starts_with(p)) {
            refuse("not_allowed", "this header is the protocol's or ours");
            continue;
        }
        if headers.iter().any(|(known, _)| known == lower) {
            refuse("repeated", "this header is given twice");
            continue;
        }
        let text = value.as_str().unwrap_or_default();
        let visible = text.bytes().all(|b| (0x20..=0x7e).contains(&b));
        if text.is_empty()
            || text.len() > LONGEST_VALUE
            || !visible
            || text.trim() != text
            || HeaderValue::from_str(text).is_err()
        {
            refuse(
                "invalid",
                "a value is text of 1 to 1,000 visible ASCII characters",
            );
            continue;
        }
        headers.push((lower.to_owned(), text.to_owned()));
    }
    if wrong.is_empty() {
        return Ok(headers);
    }
    Err(ApiError::fields(wrong))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn headers_of_the_protocol_and_ours_are_refused_at_their_place() {
        let good = json!({"X-Api-Key": "secret value", "Authorization": "Bearer x"});
        assert_eq!(
            check(good.as_object().unwrap()).unwrap(),
            [
                ("x-api-key".to_owned(), "secret value".to_owned()),
                ("authorization".to_owned(), "Bearer x".to_owned())
            ]
        );
        for (name, value, code) in [
            ("Host", json!("x"), "not_allowed"),
            ("webhook-id", json!("x"), "not_allowed"),
            ("DevSignal-Sequence", json!("1"), "not_allowed"),
            ("Transfer-Encoding", json!("chunked"), "not_allowed"),
            ("Content-Length", json!("1"), "not_allowed"),
            ("a b", json!("x"), "invalid"),
            ("", json!("x"), "invalid"),
            ("x", json!("a\r\nHost: b"), "invalid"),
            ("x", json!(""), "invalid"),
            ("x", json!(1), "invalid"),
            ("x", json!("é"), "invalid"),
            ("x", json!("x".repeat(1001)), "invalid"),
        ] {
            let error = check(json!({name: value}).as_object().unwrap()).unwrap_err();
            assert_eq!(error.fields[0].code, code, "{name}: {value}");
            assert!(error.fields[0].pointer.starts_with("/headers/"));
        }
        let twice = json!({"x": "1", "X": "2"});
        assert_eq!(
            check(twice.as_object().unwrap()).unwrap_err().fields[0].code,
            "repeated"
        );
    }
}
