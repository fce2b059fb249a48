//! Requests signed by HMAC: what is accepted, and what is not.

use std::path::Path;
use std::process::Command;

use hmac::{Hmac, KeyInit as _, Mac as _};
use ids::{Clock as _, SystemClock};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::{Gateway, problem};
use crate::people::{call, good};

const SCHEME: &str = "DevSignal-HMAC-SHA256";

/// A request as a client makes it, each part to be tampered with.
#[derive(Clone)]
struct Signed {
    key: String,
    secret: String,
    timestamp: i64,
    nonce: String,
    method: &'static str,
    path: String,
    body: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Signed {
    fn new(key: &Value, method: &'static str, path: &str, body: &str) -> Self {
        Self {
            key: key["id"].as_str().unwrap().to_owned(),
            secret: key["signingSecret"].as_str().unwrap().to_owned(),
            timestamp: SystemClock.now().as_second(),
            nonce: hex(&rand::random::<[u8; 16]>()),
            method,
            path: path.to_owned(),
            body: body.to_owned(),
        }
    }

    fn header(&self) -> String {
        let hash = hex(&Sha256::digest(self.body.as_bytes()));
        let (key, at, nonce) = (&self.key, self.timestamp, &self.nonce);
        let text = [
            SCHEME,
            key,
            &at.to_string(),
            nonce,
            self.method,
            &self.path,
            &hash,
        ]
        .join("\n");
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        let signature = hex(&mac.finalize().into_bytes());
        format!("{SCHEME} key={key}, timestamp={at}, nonce={nonce}, body={hash}, signature={signature}")
    }

    async fn send(&self, gateway: &Gateway) -> Response {
        self.send_as(gateway, &self.header(), self.method, &self.path, &self.body)
            .await
    }

    async fn send_as(
        &self,
        gateway: &Gateway,
        header: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> Response {
        let method: Method = method.parse().unwrap();
        let mut request = gateway.client.request(method, format!("{}{path}", gateway.base));
        request = request.header("authorization", header);
        if !body.is_empty() {
            request = request
                .header("content-type", "application/json")
                .body(body.to_owned());
        }
        request.send().await.unwrap()
    }
}

async fn key(gateway: &Gateway, signing: &str) -> Value {
    let body = json!({"name": "signs", "role": "ADMIN", "signing": signing});
    good(call(gateway, Some(&gateway.key), Method::POST, "/api-keys", Some(body)).await).await
}

async fn refused(response: Response, what: &str) {
    let (status, body) = problem(response).await;
    let code = body["code"].as_str().unwrap();
    assert!(
        status == 401 && (code == "invalid_signature" || code == "unauthenticated"),
        "{what}: {status} {body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_request_is_taken_once_and_as_it_was_signed() {
    let gateway = Gateway::start().await;
    let key = key(&gateway, "REQUIRED").await;
    let get = Signed::new(&key, "GET", "/api/v1/api-keys?limit=2&sort=createdAt", "");
    assert_eq!(get.send(&gateway).await.status(), 200);
    refused(get.send(&gateway).await, "sent again").await;
    let post = Signed::new(
        &key,
        "POST",
        "/api/v1/api-keys",
        r#"{"name": "made", "role": "VIEWER"}"#,
    );
    let made: Value = post.send(&gateway).await.json().await.unwrap();
    assert_eq!(made["name"], "made");
    refused(post.send(&gateway).await, "a write sent again").await;
    let listed = good(call(&gateway, Some(&gateway.key), Method::GET, "/api-keys", None).await).await;
    assert!(!listed.to_string().contains(&post.secret));

    what_was_changed_on_the_way_is_refused(&gateway, &key).await;
}

async fn what_was_changed_on_the_way_is_refused(gateway: &Gateway, key: &Value) {
    let fresh = || {
        Signed::new(
            key,
            "POST",
            "/api/v1/api-keys",
            r#"{"name": "no", "role": "VIEWER"}"#,
        )
    };
    let one = fresh();
    refused(
        one.send_as(gateway, &one.header(), "POST", "/api/v1/invitations", &one.body)
            .await,
        "path",
    )
    .await;
    let one = fresh();
    let other = one.body.replace("VIEWER", "ADMIN");
    refused(
        one.send_as(gateway, &one.header(), "POST", &one.path, &other)
            .await,
        "body",
    )
    .await;
    let one = fresh();
    refused(
        one.send_as(
            gateway,
            &one.header(),
            "POST",
            &format!("{}?dryRun=true", one.path),
            &one.body,
        )
        .await,
        "query",
    )
    .await;
    let get = Signed::new(key, "GET", "/api/v1/api-keys", "");
    refused(
        get.send_as(gateway, &get.header(), "POST", &get.path, "").await,
        "method",
    )
    .await;
    for off in [-301_i64, 301, -100_000] {
        let mut one = fresh();
        one.timestamp += off;
        refused(one.send(gateway).await, "time").await;
    }
    let mut one = fresh();
    one.timestamp -= 290;
    assert_eq!(one.send(gateway).await.status(), 201, "within five minutes");
    let count = good(call(gateway, Some(&gateway.key), Method::GET, "/api-keys", None).await).await;
    assert_eq!(
        count["data"].as_array().unwrap().len(),
        4,
        "nothing else was made: {count}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_signed_request_sent_many_times_at_once_one_is_taken() {
    let gateway = Gateway::start().await;
    let key = key(&gateway, "OPTIONAL").await;
    for _ in 0..10 {
        let one = Signed::new(&key, "GET", "/api/v1/api-keys", "");
        let answers = futures::future::join_all((0..20).map(|_| one.send(&gateway))).await;
        assert_eq!(answers.iter().filter(|a| a.status() == 200).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_signatures_and_those_of_others_are_refused() {
    let gateway = Gateway::start().await;
    let (key, other) = (key(&gateway, "REQUIRED").await, key(&gateway, "REQUIRED").await);
    let one = Signed::new(&key, "GET", "/api/v1/api-keys", "");
    let header = one.header();
    let mut mixed = one.clone();
    mixed.secret = other["signingSecret"].as_str().unwrap().to_owned();
    let mut unknown = one.clone();
    unknown.key = "018f3c5e-0000-7000-8000-00000000abcd".to_owned();
    let mut short = one.clone();
    short.nonce = "x".to_owned();
    let changed = |from: &str, to: &str| header.replacen(from, to, 1);
    for bad in [
        mixed.header(),
        unknown.header(),
        short.header(),
        format!("{SCHEME} "),
        format!("{header}, nonce=0123456789abcdef"),
        format!("{header}, extra=1"),
        changed("timestamp=", "timestamp=-"),
        changed("timestamp=", "timestamp=9999999999999"),
        changed("nonce=", "nonce=é"),
        changed("key=", "key={"),
        header.to_uppercase(),
        format!("Bearer {}", key["key"].as_str().unwrap()),
    ] {
        refused(one.send_as(&gateway, &bad, "GET", &one.path, "").await, &bad).await;
    }
    let digits: Vec<usize> = (header.find("signature=").unwrap() + 10..header.len()).collect();
    for at in digits {
        let mut bytes = header.clone().into_bytes();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        let bad = String::from_utf8(bytes).unwrap();
        refused(one.send_as(&gateway, &bad, "GET", &one.path, "").await, "a digit").await;
    }
    assert_eq!(
        one.send(&gateway).await.status(),
        200,
        "none of these used the nonce up"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_sign_is_taken_either_way_and_others_are_not_taken_by_signature() {
    let gateway = Gateway::start().await;
    let may = key(&gateway, "OPTIONAL").await;
    let text = may["key"].as_str().unwrap();
    assert_eq!(
        call(&gateway, Some(text), Method::GET, "/api-keys", None)
            .await
            .status(),
        200
    );
    assert_eq!(
        Signed::new(&may, "GET", "/api/v1/api-keys", "")
            .send(&gateway)
            .await
            .status(),
        200
    );
    let body = json!({"name": "plain", "role": "ADMIN"});
    let mut plain = good(
        call(
            &gateway,
            Some(&gateway.key),
            Method::POST,
            "/api-keys",
            Some(body),
        )
        .await,
    )
    .await;
    assert_eq!(
        (plain["signing"].as_str(), plain.get("signingSecret")),
        (Some("NONE"), None)
    );
    assert_eq!(plain["version"], "2026-11-01");
    plain["signingSecret"] = json!("");
    refused(
        Signed::new(&plain, "GET", "/api/v1/api-keys", "")
            .send(&gateway)
            .await,
        "no secret",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_documentation_work() {
    let gateway = Gateway::start().await;
    let key = key(&gateway, "REQUIRED").await;
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples");
    let base = gateway.base.clone();
    for (program, file) in [
        ("node", "signed-request.mjs"),
        ("python3", "signed_request.py"),
        ("bash", "signed-request.sh"),
    ] {
        for (arguments, status) in [
            (vec!["GET", "/api/v1/api-keys?limit=1"], "200 "),
            (
                vec![
                    "POST",
                    "/api/v1/api-keys",
                    r#"{"name": "é 'made' \"x\"", "role": "VIEWER"}"#,
                ],
                "201 ",
            ),
        ] {
            let mut command = Command::new(program);
            command
                .arg(examples.join(file))
                .args(&arguments)
                .env("BASE", &base)
                .env("KEY_ID", key["id"].as_str().unwrap())
                .env("SIGNING_SECRET", key["signingSecret"].as_str().unwrap());
            let ran = tokio::task::spawn_blocking(move || command.output().unwrap())
                .await
                .unwrap();
            let told = String::from_utf8_lossy(&ran.stdout).into_owned();
            assert!(
                told.starts_with(status),
                "{program}: {told} {}",
                String::from_utf8_lossy(&ran.stderr)
            );
        }
    }
}
