//! Webhooks of GitHub, signed as GitHub signs them; among them every example of every event that GitHub documents.

use contracts::signals::v1::{ReceiveGithubRequest, ReceiveGithubResponse, Source};
use errors::{ApiError, ErrorCode};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{World, new_id, new_org};
use crate::sources::{create, set_status};

const SECRET: &str = "It's a Secret to Everybody";
const MAPPED: [&str; 14] = [
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

fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn delivery(source: &Source, event: &str, delivery: &str, body: &[u8]) -> ReceiveGithubRequest {
    ReceiveGithubRequest {
        source_id: source.id.clone(),
        event: event.to_owned(),
        delivery: delivery.to_owned(),
        signature: sign(SECRET, body),
        body: body.to_vec().into(),
    }
}

async fn receive(world: &World, delivery: ReceiveGithubRequest) -> Result<ReceiveGithubResponse, ApiError> {
    let request = world.system(delivery);
    match world.intake.clone().receive_github(request).await {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) => Err(ApiError::from_status(&status)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_star_becomes_a_signal_once() {
    let (world, org) = (World::new().await, new_org());
    let source = create(&world, org, "github", Some(SECRET)).await;
    let body = json!({"action": "created", "starred_at": "2026-01-02T03:04:05Z", "sender": {"login": "octo"},
        "repository": {"full_name": "acme/sdk"}})
    .to_string();
    let star = delivery(
        &source,
        "star",
        "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        body.as_bytes(),
    );
    let first = receive(&world, star.clone()).await.unwrap();
    let again = receive(&world, star.clone()).await.unwrap();
    assert_eq!(
        (first.status.as_str(), again.status.as_str()),
        ("accepted", "duplicate")
    );
    assert_eq!(first.signal_id, again.signal_id);
    let signal = world.batches(org).await.remove(0).signals.remove(0);
    assert_eq!(signal.r#type, "repo_star");
    assert_eq!(signal.source_id, Some(source.id.clone()));
    assert_eq!(signal.actor.unwrap().github.as_deref(), Some("octo"));
    assert_eq!(
        signal.idempotency_key.as_deref(),
        Some("github:72d3162e-cc78-11e3-81ab-4c9367dc0958")
    );

    let form = format!(
        "payload={}",
        body.bytes().map(|b| format!("%{b:02X}")).collect::<String>()
    );
    let other = delivery(&source, "star", "other", form.as_bytes());
    assert_eq!(receive(&world, other).await.unwrap().status, "accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_that_is_not_signed_with_the_secret() {
    let (world, org) = (World::new().await, new_org());
    let source = create(&world, org, "github", Some(SECRET)).await;
    let npm = create(&world, org, "npm", Some("0123456789abcdef")).await;
    let good = delivery(&source, "star", "d", b"{}");
    let forged = |signature: &str| ReceiveGithubRequest {
        signature: signature.to_owned(),
        ..good.clone()
    };
    let real = good.signature.clone();
    let sha1 = "sha1=adbb39cec32f40542e826f46c6d9680cb2a788e9";
    let digits = real.trim_start_matches("sha256=").to_owned();
    for signature in [
        "",
        "sha256=",
        sha1,
        &real[..70],
        &real.to_uppercase(),
        &digits,
        &format!("{real}00"),
        &sign("wrong", b"{}"),
    ] {
        assert_eq!(
            receive(&world, forged(signature)).await.unwrap_err().code,
            ErrorCode::InvalidSignature
        );
    }
    let altered = ReceiveGithubRequest {
        body: b"{ }".to_vec().into(),
        ..good.clone()
    };
    assert_eq!(
        receive(&world, altered).await.unwrap_err().code,
        ErrorCode::InvalidSignature
    );
    // No such source, not one, and one that receives no webhooks are the same to a stranger.
    let mut answers = Vec::new();
    for id in [new_id().to_string(), "x".to_owned(), npm.id] {
        answers.push(
            receive(
                &world,
                ReceiveGithubRequest {
                    source_id: id,
                    ..good.clone()
                },
            )
            .await
            .unwrap_err(),
        );
    }
    assert!(
        answers
            .iter()
            .all(|error| *error == answers[0] && error.code == ErrorCode::NotFound)
    );
    assert_eq!(world.number("SELECT count(*) FROM batches").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_github_does_not_send_is_refused_precisely() {
    let (world, org) = (World::new().await, new_org());
    let source = create(&world, org, "github", Some(SECRET)).await;
    let code = async |event: &str, id: &str, body: &[u8]| {
        receive(&world, delivery(&source, event, id, body))
            .await
            .unwrap_err()
            .code
    };
    assert_eq!(code("star", "d", b"{").await, ErrorCode::MalformedJson);
    assert_eq!(code("star", "d", b"").await, ErrorCode::MalformedJson);
    assert_eq!(code("star", "d", b"[]").await, ErrorCode::ValidationFailed);
    assert_eq!(code("star", "", b"{}").await, ErrorCode::ValidationFailed);
    assert_eq!(code("", "d", b"{}").await, ErrorCode::ValidationFailed);
    assert_eq!(code("star", "a\nb", b"{}").await, ErrorCode::ValidationFailed);
    set_status(&world, org, &source.id, "paused").await;
    assert_eq!(code("star", "d", b"{}").await, ErrorCode::PermissionDenied);
    assert_eq!(world.number("SELECT count(*) FROM batches").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_without_a_mapping_are_kept_raw_once() {
    let (world, org) = (World::new().await, new_org());
    let source = create(&world, org, "github", Some(SECRET)).await;
    let body = vec![b'x'; 2 << 20];
    let gollum = delivery(&source, "gollum", "d", &body);
    assert_eq!(receive(&world, gollum.clone()).await.unwrap().status, "ignored");
    assert_eq!(receive(&world, gollum).await.unwrap().status, "duplicate");
    let (event, kept): (String, Vec<u8>) = sqlx::query_as("SELECT event, body FROM github_deliveries_raw")
        .fetch_one(&mut world.admin().await)
        .await
        .unwrap();
    assert_eq!(
        (event.as_str(), contracts::codec::decompress(&kept).unwrap()),
        ("gollum", body)
    );
}

/// `@octokit/webhooks-examples` is obtained by the development wrapper, which names it in the environment.
#[tokio::test(flavor = "multi_thread")]
async fn every_documented_example_is_taken_and_the_mapped_ones_become_signals_once() {
    let Some(path) = std::env::var_os("DEVSIGNAL_WEBHOOK_EXAMPLES") else {
        eprintln!("skipped: DEVSIGNAL_WEBHOOK_EXAMPLES does not name the package @octokit/webhooks-examples");
        return;
    };
    let index = std::path::Path::new(&path).join("api.github.com/index.json");
    let events: Vec<Value> = serde_json::from_slice(&std::fs::read(index).unwrap()).unwrap();
    let (world, org) = (World::new().await, new_org());
    let source = create(&world, org, "github", Some(SECRET)).await;
    let mut examples = Vec::new();
    for event in &events {
        let name = event["name"].as_str().unwrap();
        for (n, example) in event["examples"].as_array().unwrap().iter().enumerate() {
            examples.push((name, format!("{name}-{n}"), example.to_string()));
        }
    }
    assert!(examples.len() > 300, "only {} examples", examples.len());
    let mapped = examples.iter().filter(|(name, ..)| MAPPED.contains(name)).count();
    for round in ["accepted", "duplicate"] {
        for (name, id, body) in &examples {
            let answer = receive(&world, delivery(&source, name, id, body.as_bytes()))
                .await
                .unwrap();
            let want = match (MAPPED.contains(name), round) {
                (true, round) => round,
                (false, "accepted") => "ignored",
                (false, _) => "duplicate",
            };
            assert_eq!(answer.status, want, "{id}");
        }
        let signals: Vec<_> = world
            .batches(org)
            .await
            .into_iter()
            .flat_map(|b| b.signals)
            .collect();
        assert_eq!(signals.len(), mapped);
        // Only a ping of an app or an organization may have no sender.
        let nameless = signals
            .iter()
            .filter(|s| s.actor.is_none() && s.r#type != "source_ping")
            .count();
        assert_eq!(nameless, 0);
        assert!(signals.iter().any(|s| s.account.is_some()));
        // All their addresses are GitHub's stand-ins, which tell of no company.
        assert!(
            signals
                .iter()
                .all(|s| s.actor.as_ref().is_none_or(|a| a.email.is_none()))
        );
    }
}
