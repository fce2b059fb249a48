//! Keys: which are good, and for what.

use std::time::{Duration, Instant};

use gateway::access::{NewSecret, revoke_key};
use ids::{ApiKeyId, IdGen as _, SystemClock, SystemIds};
use reqwest::Method;
use rpc::Role;
use serde_json::Value;
use test_kit::wait_for;

use crate::harness::{Gateway, problem};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_the_credentials_is_401_and_reaches_nobody() {
    let gateway = Gateway::start().await;
    let never_made = NewSecret::generate("test", ApiKeyId(SystemIds.next()))
        .text
        .expose()
        .clone();
    let url = format!("{}/api/v1/accounts", gateway.base);
    let with = |values: &[&str]| {
        let mut request = gateway.client.get(&url);
        for value in values {
            request = request.header("authorization", *value);
        }
        request
    };
    let good = format!("Bearer {}", gateway.key);
    let cases = [
        with(&[]),
        with(&[""]),
        with(&["Bearer"]),
        with(&["Bearer "]),
        with(&["Bearer x"]),
        with(&["Basic dXNlcjpwYXNz"]),
        with(&[&gateway.key]),
        with(&[&format!("{good}x")]),
        with(&[&good, &good]),
        with(&[&good, "Bearer x"]),
        with(&[&format!("Bearer {never_made}")]),
        with(&["Bearer eyJhbGciOiJub25lIn0.e30."]),
        gateway.client.get(format!("{url}?apiKey={}", gateway.key)),
        gateway.client.get(format!("{url}?access_token={}", gateway.key)),
    ];
    for case in cases {
        let response = case.send().await.unwrap();
        assert!(
            response
                .headers()
                .get("www-authenticate")
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("Bearer")
        );
        let (status, body) = problem(response).await;
        assert_eq!((status, body["code"].as_str()), (401, Some("unauthenticated")));
    }
    assert!(gateway.untouched());
    assert_eq!(
        with(&[&good.replace("Bearer", "bearer")])
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_and_a_wrong_secret_get_the_same_answer() {
    let gateway = Gateway::start().await;
    let (id, _) = gateway.key(Role::Member, &[]).await;
    let mut bodies = Vec::new();
    for id in [id, ApiKeyId(SystemIds.next())] {
        let key = NewSecret::generate("test", id).text.expose().clone();
        let request = gateway
            .client
            .get(format!("{}/api/v1/accounts", gateway.base))
            .bearer_auth(key);
        let response = request.header("request-id", "same").send().await.unwrap();
        bodies.push(problem(response).await);
    }
    assert_eq!(bodies[0], bodies[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_13_a_revoked_key_is_refused_within_five_seconds() {
    let gateway = Gateway::start().await;
    let (id, key) = gateway.key(Role::Member, &[]).await;
    let ask = async || {
        let request = gateway
            .client
            .get(format!("{}/api/v1/accounts", gateway.base))
            .bearer_auth(&key);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask().await, 200);
    assert!(
        revoke_key(&gateway.stores, &SystemClock, gateway.org, id)
            .await
            .unwrap()
    );
    let revoked = Instant::now();
    wait_for("the key is refused", Duration::from_secs(10), async || {
        (ask().await == 401).then_some(())
    })
    .await;
    assert!(
        revoked.elapsed() < Duration::from_secs(5),
        "{:?}",
        revoked.elapsed()
    );
    assert!(
        !revoke_key(&gateway.stores, &SystemClock, gateway.org, id)
            .await
            .unwrap(),
        "once is enough"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_scopes_limit_what_the_gateway_does_itself() {
    let gateway = Gateway::start().await;
    let cases = [
        (Role::Viewer, vec![], 403, 200),
        (Role::Member, vec![], 202, 200),
        (Role::Member, vec!["signals:write"], 202, 403),
        (Role::Member, vec!["signals:read", "events:read"], 403, 200),
        (Role::Owner, vec!["*:read"], 403, 200),
    ];
    for (role, scopes, ingest, events) in cases {
        let (_, key) = gateway.key(role, &scopes).await;
        let send = |method: Method, path: &str| {
            let request = gateway.client.request(method, format!("{}{path}", gateway.base));
            request
                .bearer_auth(&key)
                .header("content-type", "application/json")
        };
        let posted = send(Method::POST, "/api/v1/signals")
            .body(r#"{"type":"a"}"#)
            .send()
            .await
            .unwrap();
        assert_eq!(posted.status(), ingest, "{role:?} {scopes:?}");
        let streamed = wait_for("events are served", Duration::from_secs(10), async || {
            let response = send(Method::HEAD, "/api/v1/events").send().await.unwrap();
            (response.status() != 503).then(|| response.status())
        });
        assert_eq!(streamed.await, events, "{role:?} {scopes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_09_a_key_notes_its_use_and_its_secret_is_stored_nowhere() {
    let gateway = Gateway::start().await;
    assert_eq!(
        gateway.get("/api/v1/accounts").send().await.unwrap().status(),
        200
    );
    wait_for("last_used_at is set", Duration::from_secs(10), async || {
        let mut tx = gateway.stores.pipeline.begin().await.unwrap();
        let used: i64 = sqlx::query_scalar("SELECT count(*) FROM api_keys WHERE last_used_at IS NOT NULL")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        (used == 1).then_some(())
    })
    .await;
    let mut tx = gateway.stores.pipeline.begin().await.unwrap();
    let row: Value = sqlx::query_scalar("SELECT to_jsonb(k) FROM api_keys k")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    let secret = gateway.key.split('_').nth(3).unwrap();
    assert!(!row.to_string().contains(secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_keeps_the_walls_between_tenants() {
    let gateway = Gateway::start().await;
    let url = gateway.stores.database().url();
    let mut admin = <sqlx::PgConnection as sqlx::Connection>::connect(&url)
        .await
        .unwrap();
    let violations = store::catalog::violations(&mut admin, gateway::SCHEMA)
        .await
        .unwrap();
    assert_eq!(violations, Vec::<String>::new());
}
