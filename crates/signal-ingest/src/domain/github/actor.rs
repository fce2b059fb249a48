//! Who did it, and for which company: only what the event itself tells.

use contracts::signals::v1::{AccountHint, Actor};
use serde_json::Value;

use super::payload::Payload;

/// The sender. Without one that has a login there is no actor.
pub(super) fn actor(event: &str, payload: &Payload<'_>) -> Option<Actor> {
    let login = payload
        .login("/sender/login")
        .or_else(|| payload.login("/pusher/name"))?;
    let (pushed_email, pushed_name) = if event == "push" {
        pusher(payload, &login)
    } else {
        (None, None)
    };
    Some(Actor {
        email: payload.email("/sender/email").or(pushed_email),
        name: payload.tidy("/sender/name").or(pushed_name),
        company: payload.tidy("/sender/company"),
        avatar_url: payload.url("/sender/avatar_url"),
        github: Some(login),
        ..Actor::default()
    })
}

/// E-mail address and name of the sender of a push: of the pusher, or of commits whose author is the sender. Other authors'
/// addresses are not the sender's.
fn pusher(payload: &Payload<'_>, login: &str) -> (Option<String>, Option<String>) {
    let is_sender = |name: Option<&str>| name.is_some_and(|name| name.eq_ignore_ascii_case(login));
    let mut email = payload
        .email("/pusher/email")
        .filter(|_| is_sender(payload.text("/pusher/name")));
    let mut name = None;
    let newest_first = payload
        .0
        .pointer("/head_commit")
        .into_iter()
        .chain(payload.items("/commits").iter().rev());
    for commit in newest_first.filter(|commit| commit.is_object()) {
        let commit: Payload<'_> = Payload::<'_>(commit as &Value);
        if is_sender(commit.text("/author/username")) {
            email = email.or_else(|| commit.email("/author/email"));
            name = name.or_else(|| commit.tidy("/author/name"));
        }
    }
    (email, name)
}

/// The actor's own company: the organization that forked, or that installed the app. Never the repository's owner, who is
/// the customer, nor the organization of `member` and `organization` events, which is the customer's own.
pub(super) fn account(event: &str, payload: &Payload<'_>) -> Option<AccountHint> {
    let owner = match event {
        "fork" => "/forkee/owner",
        "installation" => "/installation/account",
        _ => return None,
    };
    let is_organization = payload.text(&format!("{owner}/type")) == Some("Organization");
    let login = payload
        .login(&format!("{owner}/login"))
        .filter(|_| is_organization)?;
    let is_customer = event == "fork" && payload.text("/repository/owner/login") == Some(login.as_str());
    (!is_customer).then(|| AccountHint {
        github_org: Some(login),
        ..AccountHint::default()
    })
}
