//! GitHub's webhooks: whether a delivery is genuine, and what its event means as a signal.
//!
//! Lenient in reading: real payloads break GitHub's own schema, so what is missing or odd is left out, and whatever is a
//! JSON object becomes a signal. The repository's owner is the customer, never the actor's company.

mod actor;
mod metadata;
mod payload;
pub mod signature;

use contracts::convert;
use contracts::signals::v1::SignalInput;
use jiff::Timestamp;
use serde_json::Value;

use super::limits::Limits;
use payload::Payload;

pub use payload::{BadBody, read};

/// The events that become signals, exactly one each; all others are kept raw.
pub const EVENTS: &[&str] = &[
    "star",
    "watch",
    "fork",
    "push",
    "issues",
    "issue_comment",
    "pull_request",
    "release",
    "create",
    "member",
    "organization",
    "installation",
    "repository",
    "ping",
];

/// Longest action taken into a type.
const MAX_ACTION: usize = 60;

/// The signal that an event means. `None` for an event without a mapping, and for nothing else. It obeys every rule of
/// [`super::validate`]: fields that would break one are left out, as are times beyond the limits.
#[must_use]
pub fn signal(event: &str, body: &Value, limits: &Limits, now: Timestamp) -> Option<SignalInput> {
    let payload = Payload(body);
    let allowed = limits.earliest(now)..=limits.latest(now);
    Some(SignalInput {
        r#type: kind(event, &payload)?,
        timestamp: payload
            .occurred_at(event)
            .filter(|at| allowed.contains(at))
            .map(convert::timestamp),
        actor: actor::actor(event, &payload),
        account: actor::account(event, &payload),
        metadata: Some(convert::to_struct(metadata::metadata(event, &payload))),
        ..SignalInput::default()
    })
}

/// The type of the signal, by event and action.
fn kind(event: &str, payload: &Payload<'_>) -> Option<String> {
    let action = payload.text("/action").filter(|action| {
        action.len() <= MAX_ACTION && action.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    });
    let plain = |name: &str| Some(name.to_owned());
    let with_action =
        |object: &str| Some(action.map_or_else(|| object.to_owned(), |a| format!("{object}_{a}")));
    match event {
        "star" if action == Some("deleted") => plain("repo_unstar"),
        "star" => plain("repo_star"),
        "watch" => plain("repo_watch"),
        "fork" => plain("repo_fork"),
        "push" => plain("repo_push"),
        "create" => match payload.text("/ref_type") {
            Some("tag") => plain("repo_tag_create"),
            Some("branch") => plain("repo_branch_create"),
            _ => plain("repo_create"),
        },
        "issues" => with_action("issue"),
        "pull_request" if action == Some("closed") && payload.flag("/pull_request/merged") => {
            plain("pull_request_merged")
        }
        "issue_comment" | "pull_request" | "release" | "member" | "organization" | "installation"
        | "repository" => with_action(event),
        "ping" => plain("source_ping"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
