//! Writes with an Idempotency-Key.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use test_kit::wait_for;

use crate::fakes::KNOWN;
use crate::harness::{Gateway, problem};

async fn create(gateway: &Gateway, key: &str, name: &str) -> Response {
    let body = json!({"type": "github", "name": name}).to_string();
    gateway
        .post("/api/v1/sources", body)
        .header("idempotency-key", key)
        .send()
        .await
        .unwrap()
}

fn is_replay(response: &Response) -> bool {
    response
        .headers()
        .get("idempotent-replay")
        .is_some_and(|v| v == "true")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_first_answer_and_happens_once() {
    let gateway = Gateway::start().await;
    let first = create(&gateway, "k", "x").await;
    let (location, replay) = (first.headers()["location"].clone(), is_replay(&first));
    let (status, body) = (first.status(), first.json::<Value>().await.unwrap());
    let second = create(&gateway, "k", "x").await;
    assert!(!replay && is_replay(&second));
    assert_eq!(
        (second.status(), &second.headers()["location"]),
        (status, &location)
    );
    assert_eq!(second.json::<Value>().await.unwrap(), body);
    assert_eq!(gateway.seen.created.lock().len(), 1);

    let other_body = create(&gateway, "k", "y").await;
    let (status, body) = problem(other_body).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (422, Some("idempotency_key_reused"))
    );
    let other_path = gateway
        .request(Method::DELETE, &format!("/api/v1/sources/{KNOWN}"))
        .header("idempotency-key", "k");
    assert_eq!(other_path.send().await.unwrap().status(), 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_replayed_and_failures_are_not() {
    let gateway = Gateway::start().await;
    for (replayed, status) in [(false, 400), (true, 400)] {
        let response = create(&gateway, "bad", "").await;
        assert_eq!(
            (is_replay(&response), response.status().as_u16()),
            (replayed, status)
        );
        assert_eq!(problem(response).await.1["errors"][0]["pointer"], "/name");
    }
    assert_eq!(gateway.seen.created.lock().len(), 1);
    for name in ["crash", "away"] {
        let before = gateway.seen.created.lock().len();
        for _ in 0..2 {
            let response = create(&gateway, name, name).await;
            assert!(response.status().as_u16() >= 500 && !is_replay(&response));
        }
        assert_eq!(
            gateway.seen.created.lock().len(),
            before + 2,
            "{name} was tried again"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_request_is_not_joined() {
    let gateway = Gateway::start().await;
    let running = create(&gateway, "slow", "slow");
    let meanwhile = async {
        wait_for("the first arrived", Duration::from_secs(10), async || {
            (!gateway.seen.created.lock().is_empty()).then_some(())
        })
        .await;
        let second = create(&gateway, "slow", "slow").await;
        assert!(second.headers().contains_key("retry-after"));
        let (status, body) = problem(second).await;
        assert_eq!(
            (status, body["code"].as_str()),
            (409, Some("idempotency_in_progress"))
        );
        gateway.seen.go_on.notify_one();
    };
    let (first, ()) = tokio::join!(running, meanwhile);
    assert_eq!(first.status(), 201);
    assert!(is_replay(&create(&gateway, "slow", "slow").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_gateway_left_is_taken_over_after_its_lock() {
    let gateway = Gateway::start().await;
    assert_eq!(create(&gateway, "k", "x").await.status(), 201);
    let set = async |text: &'static str| {
        let mut tx = gateway.stores.pipeline.begin().await.unwrap();
        sqlx::query(text).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    };
    set("UPDATE idempotency_records SET completed_at = NULL, answer_sealed = NULL, locked_until = now() + '1 hour'").await;
    assert_eq!(create(&gateway, "k", "x").await.status(), 409);
    set("UPDATE idempotency_records SET locked_until = now() - '1 second'::interval").await;
    assert_eq!(
        create(&gateway, "k", "other").await.status(),
        422,
        "another request does not take it over"
    );
    assert_eq!(create(&gateway, "k", "x").await.status(), 201);
    assert!(is_replay(&create(&gateway, "k", "x").await));
    set("UPDATE idempotency_records SET created_at = now() - '25 hours'::interval").await;
    assert!(
        !is_replay(&create(&gateway, "k", "fresh").await),
        "after a day the key is free"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organization_has_its_own_keys_and_answers_are_sealed() {
    let gateway = Gateway::start().await;
    assert_eq!(create(&gateway, "k", "x").await.status(), 201);
    let (_, other) = gateway.other_organization().await;
    let request = gateway
        .client
        .post(format!("{}/api/v1/sources", gateway.base))
        .bearer_auth(other)
        .header("content-type", "application/json")
        .header("idempotency-key", "k")
        .body(r#"{"type":"github","name":"theirs"}"#);
    let response = request.send().await.unwrap();
    assert!(!is_replay(&response));
    assert_eq!(response.json::<Value>().await.unwrap()["name"], "theirs");
    let mut tx = gateway.stores.pipeline.begin().await.unwrap();
    let stored: Vec<Vec<u8>> = sqlx::query_scalar("SELECT answer_sealed FROM idempotency_records")
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    assert_eq!(stored.len(), 2);
    assert!(stored.iter().all(|s| !s.windows(10).any(|w| w == b"shown-once")));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_have_a_form() {
    let gateway = Gateway::start().await;
    for bad in ["", " ", "a b", &"k".repeat(256), &"k".repeat(1024), "é"] {
        let body = r#"{"type":"github","name":"x"}"#;
        for path in ["/api/v1/sources", "/api/v1/signals"] {
            let request = gateway.post(path, body).header("idempotency-key", bad.as_bytes());
            assert_eq!(problem(request.send().await.unwrap()).await.0, 400, "{bad:?}");
        }
    }
    assert!(gateway.untouched());
    assert_eq!(create(&gateway, &"k".repeat(255), "x").await.status(), 201);
}
