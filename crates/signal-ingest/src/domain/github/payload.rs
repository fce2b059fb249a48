//! Reading a delivery's body: JSON as it is or in a form, and values that can be kept or are not there.

use jiff::Timestamp;
use serde_json::Value;

use crate::domain::text;
use crate::domain::time::parse_rfc3339;

/// Longest text taken over into free-form data.
const MAX_TEXT: usize = 255;

/// The body of a delivery is not what GitHub sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// Not JSON.
    #[error("the body is not JSON; choose the content type application/json for the webhook")]
    NotJson,
    /// JSON, but not an object.
    #[error("the body must be a JSON object")]
    NotAnObject,
}

/// Reads the body: JSON, or a form whose field `payload` is JSON (GitHub's content type
/// `application/x-www-form-urlencoded`).
///
/// # Errors
/// Neither, or not an object.
pub fn read(body: &[u8]) -> Result<Value, BadBody> {
    let decoded;
    let json = match body.strip_prefix(b"payload=") {
        Some(form) => {
            decoded = unescape(form.split(|b| *b == b'&').next().unwrap_or(form)).ok_or(BadBody::NotJson)?;
            &decoded
        }
        None => body,
    };
    let value: Value = serde_json::from_slice(json).map_err(|_| BadBody::NotJson)?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(BadBody::NotAnObject)
    }
}

/// Undoes the escaping of forms: `+` is a space, `%41` is `A`.
fn unescape(form: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(form.len());
    let mut rest = form.iter();
    while let Some(&byte) = rest.next() {
        plain.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    Some(plain)
}

/// A payload, read by JSON pointers.
pub(super) struct Payload<'a>(pub(super) &'a Value);

impl<'a> Payload<'a> {
    /// A text that is not empty.
    pub(super) fn text(&self, pointer: &str) -> Option<&'a str> {
        self.0.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
    }

    /// A text for people: trimmed, without control characters, cut to a length that can be kept.
    pub(super) fn tidy(&self, pointer: &str) -> Option<String> {
        let kept: String = self
            .text(pointer)?
            .trim()
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_TEXT)
            .collect();
        let kept = text::trimmed(kept);
        (!kept.is_empty()).then_some(kept)
    }

    /// A login, if it is one.
    pub(super) fn login(&self, pointer: &str) -> Option<String> {
        let login = self.text(pointer)?;
        text::github_login(login).ok().map(|()| login.to_owned())
    }

    /// A web address, if it is one.
    pub(super) fn url(&self, pointer: &str) -> Option<String> {
        let url = self.text(pointer)?;
        text::web_url(url).ok().map(|()| url.to_owned())
    }

    /// A person's e-mail address: not one of GitHub's own, which stand in for hidden ones and tell of no company.
    pub(super) fn email(&self, pointer: &str) -> Option<String> {
        let email = text::email(self.text(pointer)?.trim()).ok()?;
        let (_, host) = email.rsplit_once('@')?;
        (host != "github.com" && !host.ends_with(".github.com")).then(|| email.into_owned())
    }

    /// Whether a flag is there and set.
    pub(super) fn flag(&self, pointer: &str) -> bool {
        self.0.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A count or number.
    pub(super) fn number(&self, pointer: &str) -> Option<i64> {
        self.0
            .pointer(pointer)
            .and_then(Value::as_i64)
            .filter(|n| n.unsigned_abs() < 1 << 53)
    }

    /// Elements of an array, if it is one.
    pub(super) fn items(&self, pointer: &str) -> &'a [Value] {
        self.0
            .pointer(pointer)
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }

    /// A time: RFC 3339, or seconds since 1970 where GitHub writes those.
    fn time(&self, pointer: &str) -> Option<Timestamp> {
        let value = self.0.pointer(pointer)?;
        match value.as_str() {
            Some(text) => parse_rfc3339(text).ok(),
            None => Timestamp::from_second(value.as_i64()?).ok(),
        }
    }

    /// When the event happened, by the payload. Events that do not tell happened when they came.
    pub(super) fn occurred_at(&self, event: &str) -> Option<Timestamp> {
        let action = self.text("/action").unwrap_or_default();
        let first = |pointers: &[&str]| pointers.iter().find_map(|pointer| self.time(pointer));
        match (event, action) {
            ("star", "created") => first(&["/starred_at"]),
            ("fork", _) => first(&["/forkee/created_at"]),
            // A commit can be much older than its push.
            ("push", _) => first(&["/repository/pushed_at"]),
            ("issues", "opened") => first(&["/issue/created_at"]),
            ("issues", "closed") => first(&["/issue/closed_at", "/issue/updated_at"]),
            ("issues", _) => first(&["/issue/updated_at"]),
            ("issue_comment", "created") => first(&["/comment/created_at"]),
            ("issue_comment", "edited") => first(&["/comment/updated_at"]),
            ("pull_request", "opened") => first(&["/pull_request/created_at"]),
            ("pull_request", "closed") => first(&[
                "/pull_request/merged_at",
                "/pull_request/closed_at",
                "/pull_request/updated_at",
            ]),
            ("pull_request", _) => first(&["/pull_request/updated_at"]),
            ("release", "published" | "released" | "prereleased") => first(&["/release/published_at"]),
            ("release", "created") => first(&["/release/created_at"]),
            ("installation", "created") => first(&["/installation/created_at"]),
            ("repository", "created") => first(&["/repository/created_at"]),
            _ => None,
        }
    }
}
