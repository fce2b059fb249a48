//! Credentials and consumers for reading events from the broker: by REST, and what the broker makes of them.

use std::time::{Duration, Instant};

use eventbus::partners::IssuerKey;
use local_stack::{Nats, NatsOptions};
use reqwest::{Method, Response};
use rpc::Role;
use serde_json::{Value, json};
use test_kit::wait_for;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::harness::{Gateway, problem};

struct World {
    gateway: Gateway,
    nats: Nats,
    _directory: tempfile::TempDir,
}

async fn world() -> World {
    let (directory, key) = (tempfile::tempdir().unwrap(), IssuerKey::generate());
    let options = NatsOptions::new(directory.path().join("nats")).with_partners(key.public(), "*");
    let nats = Nats::start(options).await.unwrap();
    let partners = json!({
        "enabled": true,
        "issuer_seed": key.seed().expose(),
        "system_url": nats.system_url(),
        "public_url": format!("nats://127.0.0.1:{}", nats.port()),
        "max_credentials": 3,
        "max_consumers": 2,
        "max_connections": 2,
    });
    let gateway = Gateway::at_broker(&nats.url(), json!({"partners": partners})).await;
    World {
        gateway,
        nats,
        _directory: directory,
    }
}

impl World {
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let request = self.gateway.request(method, &format!("/api/v1/nats{path}"));
        match body {
            Some(body) => request.json(&body).send().await.unwrap(),
            None => request.send().await.unwrap(),
        }
    }

    async fn credential(&self) -> Value {
        let made = self
            .call(Method::POST, "/credentials", Some(json!({"name": "warehouse"})))
            .await;
        assert_eq!(made.status(), 201);
        made.json().await.unwrap()
    }

    /// Says who it is to the broker; the connection if it was let in.
    async fn connect(&self, user: &str, password: &str) -> Option<BufReader<TcpStream>> {
        let stream = TcpStream::connect(("127.0.0.1", self.nats.port())).await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let options =
            json!({"user": user, "pass": password, "verbose": false, "lang": "test", "version": "1"});
        stream
            .write_all(format!("CONNECT {options}\r\nPING\r\n").as_bytes())
            .await
            .unwrap();
        line.clear();
        stream.read_line(&mut line).await.ok()?;
        (line.trim() == "PONG").then_some(stream)
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_lets_in_until_it_is_revoked() {
    let world = world().await;
    let made = world.credential().await;
    let (id, password) = (text(&made, "id"), text(&made, "password"));
    assert_eq!(
        (text(&made, "domain"), text(&made, "name")),
        ("DEVSIGNAL", "warehouse")
    );
    assert!(text(&made, "stream").ends_with("EVENTS") && text(&made, "url").starts_with("nats://"));
    assert_eq!(
        text(&made, "inboxPrefix"),
        format!("_INBOX_{}", id.replace('-', ""))
    );

    let listed: Value = world
        .call(Method::GET, "/credentials", None)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(listed["data"][0]["id"], made["id"]);
    assert!(
        listed["data"][0]["password"].is_null(),
        "the password is shown once"
    );

    let mut open = world.connect(id, password).await.expect("it is let in");
    assert!(world.connect(id, "wrong").await.is_none());
    assert!(world.connect(id, "").await.is_none());
    assert!(world.connect("x", password).await.is_none());

    let gone = world
        .call(Method::DELETE, &format!("/credentials/{id}"), None)
        .await;
    assert_eq!(gone.status(), 204);
    let revoked = Instant::now();
    let mut line = String::new();
    // The broker says nothing but pings until it closes.
    let closed = async { while open.read_line(&mut line).await.is_ok_and(|n| n > 0) {} };
    tokio::time::timeout(Duration::from_secs(20), closed)
        .await
        .expect("the connection ends");
    println!("revoked: the connection ended after {:?}", revoked.elapsed());
    assert!(world.connect(id, password).await.is_none());
    let again = world
        .call(Method::DELETE, &format!("/credentials/{id}"), None)
        .await;
    assert_eq!(problem(again).await.0, 404);
    let revoked: Value = world
        .call(Method::GET, "/credentials?filter[revoked]=true", None)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(revoked["data"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_credential_does_not_let_in() {
    let world = world().await;
    let soon = ids::Clock::now(&ids::SystemClock) + jiff::SignedDuration::from_secs(2);
    let body = json!({"name": "short", "expiresAt": soon.to_string()});
    let made: Value = world
        .call(Method::POST, "/credentials", Some(body))
        .await
        .json()
        .await
        .unwrap();
    assert!(
        world
            .connect(text(&made, "id"), text(&made, "password"))
            .await
            .is_some()
    );
    wait_for("it is refused", Duration::from_secs(20), async || {
        world
            .connect(text(&made, "id"), text(&made, "password"))
            .await
            .is_none()
            .then_some(())
    })
    .await;
    let past = json!({"name": "x", "expiresAt": "2020-01-01T00:00:00Z"});
    assert_eq!(
        problem(world.call(Method::POST, "/credentials", Some(past)).await)
            .await
            .0,
        400
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_is_made_at_the_broker_told_about_and_removed() {
    let world = world().await;
    let credential = world.credential().await;
    let body = json!({"credentialId": credential["id"], "eventTypes": ["deal.created", "deal.closed"], "ordered": true});
    let made = world.call(Method::POST, "/consumers", Some(body)).await;
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.unwrap();
    assert!(text(&made, "name").starts_with("partner_") && text(&made, "name").ends_with("_1"));
    let path = format!("/consumers/{}", text(&made, "id"));
    let told: Value = world.call(Method::GET, &path, None).await.json().await.unwrap();
    assert_eq!(
        (&told["pending"], &told["unacknowledged"]),
        (&json!(0), &json!(0)),
        "{told}"
    );
    assert_eq!(told["ordered"], true);
    assert_eq!(told["eventTypes"], json!(["deal.created", "deal.closed"]));
    let listed = format!("/consumers?filter[credentialId]={}", text(&credential, "id"));
    let listed: Value = world.call(Method::GET, &listed, None).await.json().await.unwrap();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert_eq!(world.call(Method::DELETE, &path, None).await.status(), 204);
    assert_eq!(world.call(Method::GET, &path, None).await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_by_name() {
    let world = world().await;
    let id = world.credential().await["id"].clone();
    for (path, body, pointer) in [
        ("/credentials", json!({"name": ""}), "/name"),
        ("/credentials", json!({}), "/name"),
        ("/consumers", json!({"credentialId": "x"}), "/credentialId"),
        (
            "/consumers",
            json!({"credentialId": "018f0000-0000-7000-8000-000000000000"}),
            "/credentialId",
        ),
        (
            "/consumers",
            json!({"credentialId": id, "eventTypes": ["deal.*"]}),
            "/eventTypes/0",
        ),
        (
            "/consumers",
            json!({"credentialId": id, "eventTypes": [">"]}),
            "/eventTypes/0",
        ),
        (
            "/consumers",
            json!({"credentialId": id, "eventTypes": ["signals.accepted"]}),
            "/eventTypes/0",
        ),
        (
            "/consumers",
            json!({"credentialId": id, "eventTypes": ["deal.created", "deal.created"]}),
            "/eventTypes/1",
        ),
        (
            "/consumers",
            json!({"credentialId": id, "from": "2090-01-01T00:00:00Z"}),
            "/from",
        ),
    ] {
        let (status, told) = problem(world.call(Method::POST, path, Some(body.clone())).await).await;
        assert_eq!(status, 400, "{path} {body}: {told}");
        assert_eq!(told["errors"][0]["pointer"], pointer, "{path} {body}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_hold_also_when_many_ask_at_once() {
    let world = world().await;
    let asked = (0..20).map(|_| world.call(Method::POST, "/credentials", Some(json!({"name": "x"}))));
    let mut made = Vec::new();
    for response in futures::future::join_all(asked).await {
        match response.status().as_u16() {
            201 => made.push(response.json::<Value>().await.unwrap()),
            429 => assert_eq!(problem(response).await.1["code"], "quota_exceeded"),
            other => panic!("{other}"),
        }
    }
    assert_eq!(made.len(), 3);
    let body = json!({"credentialId": made[0]["id"]});
    let asked = (0..10).map(|_| world.call(Method::POST, "/consumers", Some(body.clone())));
    let statuses: Vec<u16> = futures::future::join_all(asked)
        .await
        .iter()
        .map(|r| r.status().as_u16())
        .collect();
    assert_eq!(statuses.iter().filter(|s| **s == 201).count(), 2, "{statuses:?}");
    assert!(statuses.iter().all(|s| [201, 429].contains(s)));
    // What was revoked counts no more.
    let path = format!("/credentials/{}", text(&made[0], "id"));
    assert_eq!(world.call(Method::DELETE, &path, None).await.status(), 204);
    world.credential().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_organizations_credentials_and_consumers_do_not_exist_and_members_may_not() {
    let world = world().await;
    let credential = world.credential().await;
    let consumer = world
        .call(
            Method::POST,
            "/consumers",
            Some(json!({"credentialId": credential["id"]})),
        )
        .await;
    let consumer: Value = consumer.json().await.unwrap();
    let (other, key) = world.gateway.other_organization().await;
    assert_ne!(other, world.gateway.org);
    let (credential, consumer) = (text(&credential, "id"), text(&consumer, "id"));
    let as_other = |method: Method, path: String| {
        world
            .gateway
            .client
            .request(method, format!("{}/api/v1/nats{path}", world.gateway.base))
            .bearer_auth(&key)
    };
    for (method, path) in [
        (Method::DELETE, format!("/credentials/{credential}")),
        (Method::GET, format!("/consumers/{consumer}")),
        (Method::DELETE, format!("/consumers/{consumer}")),
    ] {
        assert_eq!(as_other(method, path).send().await.unwrap().status(), 404);
    }
    let body = json!({"credentialId": credential});
    let refused = as_other(Method::POST, "/consumers".into())
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(problem(refused).await.0, 400);
    for list in ["/credentials", "/consumers"] {
        let page: Value = as_other(Method::GET, list.into())
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(page["data"], json!([]));
    }
    let (_, member) = world.gateway.key(Role::Member, &[]).await;
    let url = format!("{}/api/v1/nats/credentials", world.gateway.base);
    let refused = world
        .gateway
        .client
        .get(url)
        .bearer_auth(member)
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_broker_takes_no_partners_there_are_no_credentials() {
    let gateway = Gateway::start().await;
    let refused = gateway
        .post("/api/v1/nats/credentials", r#"{"name":"x"}"#)
        .send()
        .await
        .unwrap();
    let (status, told) = problem(refused).await;
    assert_eq!((status, told["code"].as_str()), (501, Some("unimplemented")));
    let listed: Value = gateway
        .get("/api/v1/nats/credentials")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(listed["data"], json!([]));
}
