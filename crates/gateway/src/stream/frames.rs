//! The frames of the WebSocket: JSON objects with a `type`, one per text message; and why it is closed.

use errors::{ApiError, ErrorCode};
use serde::Deserialize;
use serde_json::{Value, json};

/// What the document says of the channel.
pub const ABOUT: &str = "The client sends `subscribe` within ten seconds, with `authorization` unless the handshake had the \
    header. The server answers `subscribed`, then sends `events`; `heartbeat` when there is nothing to tell for some \
    seconds. The client acknowledges cursors it has dealt with by `ack`: at most `window` events (1,000) are sent beyond \
    the last acknowledged one. A client that leaves the window full or the connection unread for 30 seconds is closed \
    with 4429 and can come back with its last cursor. Other codes: 4400 a frame that is not one of these, 4401 no good \
    credentials (any more), 4403 not allowed, 4408 no `subscribe`, 4410 the cursor has expired, 4503 not available now, \
    1001 the server stops. Before an error's code comes a frame `error` with the problem.";

/// All frames, and whether the client sends them.
pub const NAMES: [(&str, bool); 6] = [
    ("subscribe", true),
    ("ack", true),
    ("subscribed", false),
    ("events", false),
    ("heartbeat", false),
    ("error", false),
];

/// Events that may be sent without being acknowledged, unless the client says otherwise.
const WINDOW: u32 = 1_000;
/// Most that it may say.
const MAX_WINDOW: u32 = 10_000;

/// A frame of the client.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
pub enum FromClient {
    /// Begin.
    Subscribe(Subscribe),
    /// Everything up to a cursor was dealt with.
    Ack(Ack),
}

/// What to follow.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// `Bearer <key or token>`.
    pub authorization: Option<String>,
    /// The cursor to go on after.
    pub after: Option<String>,
    /// Types, or `deal.*`.
    #[serde(default)]
    pub types: Vec<String>,
    /// `account:<id>`.
    #[serde(default)]
    pub objects: Vec<String>,
    /// Most events without acknowledgement.
    window: Option<u32>,
}

/// An acknowledgement.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// The last cursor that was dealt with.
    pub cursor: String,
}

impl Subscribe {
    /// The window, within its bounds.
    ///
    /// # Errors
    /// `validation_failed`.
    pub fn window(&self) -> Result<u32, ApiError> {
        match self.window.unwrap_or(WINDOW) {
            window if (1..=MAX_WINDOW).contains(&window) => Ok(window),
            _ => Err(ApiError::invalid(
                "/window",
                "out_of_range",
                format!("1 to {MAX_WINDOW} events"),
            )),
        }
    }
}

/// Reads a frame.
///
/// # Errors
/// `malformed_json` or `validation_failed`, saying what is wrong.
pub fn read(text: &str) -> Result<FromClient, ApiError> {
    let value: Value = serde_json::from_str(text)
        .map_err(|_| ApiError::new(ErrorCode::MalformedJson, "a frame is one JSON object"))?;
    let known = |kind: &&str| NAMES.contains(&(*kind, true));
    if value.get("type").and_then(Value::as_str).filter(known).is_none() {
        let message = "`type` is `subscribe` or `ack`";
        return Err(ApiError::invalid("/type", "unknown_value", message));
    }
    serde_json::from_value(value).map_err(|error| ApiError::invalid("", "invalid_frame", error.to_string()))
}

/// The code that a connection is closed with for an error.
#[must_use]
pub fn close_code(error: &ApiError) -> u16 {
    match error.code {
        ErrorCode::Unauthenticated => 4401,
        ErrorCode::PermissionDenied => 4403,
        ErrorCode::CursorExpired => 4410,
        ErrorCode::RateLimited => 4429,
        ErrorCode::Unavailable | ErrorCode::Internal | ErrorCode::DeadlineExceeded => 4503,
        _ => 4400,
    }
}

/// The frames for the AsyncAPI document.
#[must_use]
pub fn described() -> Vec<(&'static str, Value)> {
    let cursor =
        || json!({"type": "string", "description": "A place in the events, the same on every interface."});
    let list = |about: &str| json!({"type": "array", "items": {"type": "string"}, "maxItems": 100, "description": about});
    let subscribe = json!({
        "authorization": {"type": "string", "description": "`Bearer <key or token>`, unless the handshake had it."},
        "after": cursor(),
        "types": list("Only these types: names, or `deal.*`."),
        "objects": list("Only events that name one of these objects: `account:<id>`."),
        "window": {"type": "integer", "minimum": 1, "maximum": MAX_WINDOW, "default": WINDOW,
                   "description": "Most events without acknowledgement."},
    });
    let events = json!({
        "cursor": cursor(),
        "events": {"type": "array", "items": {"type": "object"}, "description": "Events, as in the channel `events`."},
    });
    let at = || json!({"cursor": cursor()});
    let error = json!({"error": {"type": "object", "description": "The problem document, as REST has it."}});
    vec![
        frame("subscribe", "Begins; once per connection.", subscribe, &[]),
        frame(
            "ack",
            "Everything up to this cursor was dealt with.",
            at(),
            &["cursor"],
        ),
        frame("subscribed", "The place that is gone on from.", at(), &["cursor"]),
        frame(
            "events",
            "Events in order, and the place after them.",
            events,
            &["cursor", "events"],
        ),
        frame(
            "heartbeat",
            "Nothing to tell; the place moved on.",
            at(),
            &["cursor"],
        ),
        frame(
            "error",
            "Why the connection is closed after this.",
            error,
            &["error"],
        ),
    ]
}

fn frame(
    name: &'static str,
    summary: &str,
    mut properties: Value,
    required: &[&str],
) -> (&'static str, Value) {
    properties["type"] = json!({ "const": name });
    let mut all = vec!["type"];
    all.extend(required);
    let frame = json!({
        "name": name,
        "summary": summary,
        "contentType": "application/json",
        "payload": {"type": "object", "properties": properties, "required": all},
    });
    (name, frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_strictly() {
        let good = r#"{"type":"subscribe","types":["deal.*"],"window":5}"#;
        let FromClient::Subscribe(asked) = read(good).unwrap() else {
            panic!()
        };
        assert_eq!(
            (asked.window().unwrap(), asked.types),
            (5, vec!["deal.*".to_owned()])
        );
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"type":"events"}"#,
            r#"{"type":"ack"}"#,
            r#"{"type":"subscribe","from":1}"#,
            r#"{"type":"subscribe","window":-1}"#,
            r#"{"type":"ack","cursor":5}"#,
        ] {
            assert_eq!(close_code(&read(bad).unwrap_err()), 4400, "{bad}");
        }
        let FromClient::Subscribe(wide) = read(r#"{"type":"subscribe","window":0}"#).unwrap() else {
            panic!()
        };
        assert!(wide.window().is_err());
    }
}
