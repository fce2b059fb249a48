//! What events mean, and that odd payloads mean something too.

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::validate::validate;

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn map(event: &str, body: &Value) -> Option<SignalInput> {
    signal(event, body, &Limits::default(), now())
}

fn kind_of(event: &str, body: Value) -> String {
    map(event, &body).unwrap().r#type
}

#[test]
fn a_star_is_of_its_sender_at_its_time() {
    let body = json!({"action": "created", "starred_at": "2019-05-15T15:20:40Z",
        "sender": {"login": "octo", "avatar_url": "https://a.example/1.png", "type": "User"},
        "repository": {"full_name": "acme/sdk", "private": false, "owner": {"login": "acme", "type": "Organization"}}});
    let signal = map("star", &body).unwrap();
    assert_eq!(signal.r#type, "repo_star");
    assert_eq!(signal.timestamp.unwrap().seconds, 1_557_933_640);
    let actor = signal.actor.unwrap();
    assert_eq!(actor.github.as_deref(), Some("octo"));
    assert_eq!(actor.avatar_url.as_deref(), Some("https://a.example/1.png"));
    assert_eq!(signal.account, None, "the repository's owner is the customer");
    let metadata = Value::Object(contracts::convert::from_struct(&signal.metadata.unwrap()));
    assert_eq!(
        metadata,
        json!({"githubEvent": "star", "action": "created", "repository": "acme/sdk"})
    );
}

#[test]
fn every_event_has_its_type() {
    let action = |action: &str| json!({"action": action});
    assert_eq!(kind_of("star", action("deleted")), "repo_unstar");
    assert_eq!(kind_of("watch", action("started")), "repo_watch");
    assert_eq!(kind_of("fork", json!({})), "repo_fork");
    assert_eq!(kind_of("push", json!({})), "repo_push");
    assert_eq!(kind_of("create", json!({"ref_type": "tag"})), "repo_tag_create");
    assert_eq!(
        kind_of("create", json!({"ref_type": "branch"})),
        "repo_branch_create"
    );
    assert_eq!(kind_of("issues", action("opened")), "issue_opened");
    assert_eq!(
        kind_of("issue_comment", action("created")),
        "issue_comment_created"
    );
    assert_eq!(kind_of("pull_request", action("closed")), "pull_request_closed");
    let merged = json!({"action": "closed", "pull_request": {"merged": true}});
    assert_eq!(kind_of("pull_request", merged), "pull_request_merged");
    assert_eq!(kind_of("release", action("published")), "release_published");
    assert_eq!(kind_of("member", action("added")), "member_added");
    assert_eq!(
        kind_of("organization", action("member_added")),
        "organization_member_added"
    );
    assert_eq!(kind_of("installation", action("created")), "installation_created");
    assert_eq!(kind_of("repository", action("renamed")), "repository_renamed");
    assert_eq!(kind_of("ping", json!({})), "source_ping");
    assert_eq!(kind_of("issues", json!({"action": ["x"]})), "issue");
    assert_eq!(kind_of("issues", action("Weird Thing")), "issue");
    assert!(EVENTS.iter().all(|event| map(event, &json!({})).is_some()));
    for event in ["gollum", "", "Star", "issues "] {
        assert!(map(event, &json!({})).is_none(), "{event}");
    }
}

#[test]
fn a_push_gives_the_address_of_its_sender_only() {
    let email = |body: Value| map("push", &body).unwrap().actor.unwrap().email;
    let commit =
        |username: &str, email: &str| json!({"author": {"username": username, "email": email, "name": "O"}});
    let push = |commits: Value| json!({"sender": {"login": "Octo"}, "commits": commits});
    assert_eq!(
        email(push(json!([commit("octo", "octo@acme.com")]))).as_deref(),
        Some("octo@acme.com")
    );
    assert_eq!(email(push(json!([commit("other", "other@acme.com")]))), None);
    assert_eq!(
        email(push(json!([commit("octo", "1+octo@users.noreply.github.com")]))),
        None
    );
    let pusher = json!({"sender": {"login": "octo"}, "pusher": {"name": "octo", "email": "o@acme.com"}});
    assert_eq!(email(pusher).as_deref(), Some("o@acme.com"));
    let robot = json!({"sender": {"login": "octo"}, "pusher": {"name": "deploy", "email": "d@acme.com"}});
    assert_eq!(email(robot), None);
}

#[test]
fn the_organization_that_forks_or_installs_is_the_actors_company() {
    let org = |body: Value, event: &str| map(event, &body).unwrap().account.and_then(|a| a.github_org);
    let fork = |owner: &str, kind: &str| json!({"forkee": {"owner": {"login": owner, "type": kind}}, "repository": {"owner": {"login": "us"}}});
    assert_eq!(org(fork("acme", "Organization"), "fork").as_deref(), Some("acme"));
    assert_eq!(org(fork("octo", "User"), "fork"), None);
    assert_eq!(org(fork("us", "Organization"), "fork"), None);
    let installed = json!({"installation": {"account": {"login": "acme", "type": "Organization"}}});
    assert_eq!(org(installed, "installation").as_deref(), Some("acme"));
    let ours = json!({"organization": {"login": "us"}, "membership": {"user": {"login": "octo"}}});
    assert_eq!(org(ours.clone(), "organization"), None);
    let metadata = contracts::convert::from_struct(&map("organization", &ours).unwrap().metadata.unwrap());
    assert_eq!(metadata["member"], "octo");
}

#[test]
fn times_beyond_the_limits_are_left_to_the_receipt() {
    let at = |text: &str| {
        map("star", &json!({"action": "created", "starred_at": text}))
            .unwrap()
            .timestamp
    };
    assert!(at("2026-11-21T11:00:00Z").is_some());
    assert_eq!(at("2009-01-01T00:00:00Z"), None);
    assert_eq!(at("2026-11-22T00:00:00Z"), None);
    assert_eq!(at("soon"), None);
    let pushed = json!({"repository": {"pushed_at": 1_790_000_000}});
    assert_eq!(
        map("push", &pushed).unwrap().timestamp.unwrap().seconds,
        1_790_000_000
    );
}

#[test]
fn forms_are_read_as_json() {
    let form = b"payload=%7B%22zen%22%3A%22a+b%26c%22%7D&other=1";
    assert_eq!(read(form), Ok(json!({"zen": "a b&c"})));
    assert_eq!(read(b"payload=%7"), Err(BadBody::NotJson));
    assert_eq!(read(b"payload=%zz"), Err(BadBody::NotJson));
    assert_eq!(read(b"{"), Err(BadBody::NotJson));
    assert_eq!(read(b""), Err(BadBody::NotJson));
    assert_eq!(read(b"[]"), Err(BadBody::NotAnObject));
    assert_eq!(read(&b"[".repeat(100_000)), Err(BadBody::NotJson));
}

/// Any value where GitHub would put a text, a number or an object.
fn odd() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[\\x00-\\x7f]{0,12}".prop_map(Value::from),
        "\\PC{0,300}".prop_map(Value::from),
        Just(json!("Organization")),
        Just(json!("a@b.example")),
        Just(json!("octo")),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let names = prop::sample::select(vec![
            "login",
            "type",
            "email",
            "name",
            "username",
            "author",
            "owner",
            "account",
            "user",
            "company",
            "title",
            "full_name",
            "created_at",
            "number",
            "avatar_url",
            "pushed_at",
        ]);
        let pairs = prop::collection::vec((names, inner.clone()), 0..6);
        let object = pairs.prop_map(|pairs| {
            Value::Object(
                pairs
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect(),
            )
        });
        prop_oneof![object, prop::collection::vec(inner, 0..3).prop_map(Value::from)]
    })
}

proptest! {
    #[test]
    fn whatever_a_payload_holds_its_signal_obeys_every_rule(
        event in prop::sample::select(EVENTS.to_vec()),
        parts in prop::collection::vec((prop::sample::select(vec![
            "action", "sender", "pusher", "repository", "commits", "head_commit", "forkee", "installation", "issue",
            "comment", "pull_request", "release", "member", "membership", "organization", "starred_at", "ref",
        ]), odd()), 0..10),
    ) {
        let body = Value::Object(parts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        let signal = map(event, &body).unwrap();
        let outcome = validate(signal, &Limits::default(), now());
        prop_assert!(outcome.is_ok(), "{:?}", outcome.unwrap_err());
    }
}
