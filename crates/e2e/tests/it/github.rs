//! Real deliveries: every example that GitHub's community has collected, signed and sent as GitHub would.

use std::path::PathBuf;

use e2e::cluster::{Answer, Api};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{cluster, counted, listed};

/// The events that become signals; the others are acknowledged and kept raw.
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

const VARIABLE: &str = "DEVSIGNAL_WEBHOOK_EXAMPLES";

struct Delivery {
    event: String,
    /// GitHub's GUID of the delivery; a redelivery has the same.
    guid: String,
    body: String,
}

struct Source {
    path: String,
    secret: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_delivery_is_taken_and_supported_ones_become_signals_once() {
    let (_cluster, api) = cluster().await;
    let source = source(&api).await;
    let deliveries = examples();
    assert!(deliveries.len() > 300, "{} examples", deliveries.len());

    let mut signals = Vec::new();
    for delivery in &deliveries {
        let answer = deliver(&api, &source, delivery).await.json(202).unwrap();
        let mapped = MAPPED.contains(&&*delivery.event);
        let wanted = if mapped { "accepted" } else { "ignored" };
        assert_eq!(
            answer["status"], wanted,
            "{} {}: {answer}",
            delivery.event, delivery.body
        );
        signals.extend(answer["signalId"].as_str().map(str::to_owned));
    }
    let mapped = deliveries.iter().filter(|d| MAPPED.contains(&&*d.event)).count();
    assert_eq!(signals.len(), mapped);
    let mut recorded: Vec<String> = ids(&counted(&api, "/api/v1/signals", mapped).await);

    for delivery in &deliveries {
        let answer = deliver(&api, &source, delivery).await.json(202).unwrap();
        assert_eq!(answer["status"], "duplicate", "{} again", delivery.event);
    }
    // A signal behind the second round: once it is recorded, so would be what the round had added.
    api.accept(&[json!({"type": "the_end", "idempotencyKey": "the-end"})])
        .await
        .unwrap();
    let end = listed(&api, "/api/v1/signals?filter[type]=the_end", |_| true).await;
    let mut after = ids(&api.list("/api/v1/signals").await.unwrap());
    after.retain(|id| end["id"] != **id);
    (recorded.sort(), after.sort(), signals.sort());
    assert_eq!((&after, &recorded), (&signals, &signals));

    contacts_and_accounts_appear(&api).await;
    wrong_signatures_are_refused(&api, &source, &deliveries[0]).await;
}

async fn contacts_and_accounts_appear(api: &Api) {
    let github = |item: &Value| {
        let identities = item["identities"].as_array().cloned().unwrap_or_default();
        identities
            .iter()
            .any(|i| i["type"] == "github" && i["value"] == "codertocat")
    };
    let contact = listed(api, "/api/v1/contacts", github).await;
    assert!(contact["name"].is_string());
    let account = listed(api, "/api/v1/accounts", |a| {
        a["githubOrg"]
            .as_str()
            .is_some_and(|o| o.eq_ignore_ascii_case("Octocoders"))
    })
    .await;
    assert!(account["id"].is_string());
    let source = listed(api, "/api/v1/sources", |s| s["lastSignalAt"].is_string()).await;
    assert!(source["secret"].is_null(), "a secret is shown once: {source}");
}

async fn wrong_signatures_are_refused(api: &Api, source: &Source, delivery: &Delivery) {
    let good = sign(&source.secret, &delivery.body);
    let changed = format!("{} ", delivery.body);
    let sha1 = format!("sha1={}", "a".repeat(40));
    let (short, upper) = (&good[..good.len() - 1], good.to_uppercase());
    let other = sign("another secret, as long as ours", &delivery.body);
    let cases = [
        ("a changed body", &*changed, &*good),
        ("another secret", &*delivery.body, &*other),
        ("a short signature", &*delivery.body, short),
        ("capitals", &*delivery.body, &*upper),
        ("SHA-1", &*delivery.body, &*sha1),
        ("nothing", &*delivery.body, ""),
    ];
    for (what, body, signature) in cases {
        let fresh = Delivery {
            event: "star".into(),
            guid: format!("guid-{what}"),
            body: body.to_owned(),
        };
        let answer = send(api, &source.path, &fresh, signature).await;
        let problem = answer.json(401).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(problem["code"], "invalid_signature", "{what}");
    }
    let nowhere = "/hooks/github/018f0000-0000-7000-8000-000000000000";
    assert_eq!(send(api, nowhere, delivery, &good).await.status, 404);
}

async fn source(api: &Api) -> Source {
    let made = api
        .post("/api/v1/sources", &json!({"type": "github", "name": "Octo"}))
        .await
        .unwrap();
    let location = made.header("location").to_owned();
    let made = made.json(201).unwrap();
    assert_eq!(
        location,
        format!("/api/v1/sources/{}", made["id"].as_str().unwrap())
    );
    let text = |name: &str| {
        made[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name}: {made}"))
            .to_owned()
    };
    Source {
        path: text("webhookPath"),
        secret: text("secret"),
    }
}

async fn deliver(api: &Api, source: &Source, delivery: &Delivery) -> Answer {
    send(api, &source.path, delivery, &sign(&source.secret, &delivery.body)).await
}

async fn send(api: &Api, path: &str, delivery: &Delivery, signature: &str) -> Answer {
    let request = api
        .bare(Method::POST, path)
        .header("content-type", "application/json")
        .header("user-agent", "GitHub-Hookshot/044aadd")
        .header("x-github-event", &delivery.event)
        .header("x-github-delivery", &delivery.guid)
        .header("x-hub-signature-256", signature)
        .body(delivery.body.clone());
    Api::send(request).await.unwrap()
}

fn sign(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn examples() -> Vec<Delivery> {
    let folder = std::env::var_os(VARIABLE).unwrap_or_else(|| {
        panic!("{VARIABLE} is not set: it names the unpacked npm package @octokit/webhooks-examples; `./dev test` fetches it")
    });
    let path = PathBuf::from(folder).join("api.github.com/index.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let events: Vec<Value> = serde_json::from_str(&text).unwrap();
    let all = events.iter().flat_map(|event| {
        let name = event["name"].as_str().unwrap();
        event["examples"]
            .as_array()
            .unwrap()
            .iter()
            .map(move |example| (name, example))
    });
    all.enumerate()
        .map(|(number, (event, example))| Delivery {
            event: event.to_owned(),
            guid: format!("{number:08x}-e2e0-11f0-8000-{number:012x}"),
            body: example.to_string(),
        })
        .collect()
}

fn ids(items: &[Value]) -> Vec<String> {
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}
