//! What surrounds every request: limits, health, metrics, receivers, methods.

use reqwest::Method;
use serde_json::{Value, json};

use crate::fakes::KNOWN;
use crate::harness::{Gateway, problem};

#[tokio::test(flavor = "multi_thread")]
async fn s_15_a_key_is_limited_and_told_so() {
    let rate = json!({"per_minute": 60, "burst": 3});
    let gateway = Gateway::with(json!({"limits": {"read": rate, "ingest": rate}})).await;
    for left in ["2", "1", "0"] {
        let response = gateway.get("/api/v1/accounts").send().await.unwrap();
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(
            (header("ratelimit-limit"), header("ratelimit-remaining")),
            ("3".into(), left.into())
        );
        assert_eq!(header("ratelimit-policy"), "60;w=60;burst=3");
        assert!(header("ratelimit-reset").parse::<u64>().unwrap() <= 3);
    }
    let refused = gateway.get("/api/v1/accounts").send().await.unwrap();
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.headers()["ratelimit-remaining"], "0");
    let (status, body) = problem(refused).await;
    assert_eq!((status, body["code"].as_str()), (429, Some("rate_limited")));
    let write = gateway
        .post("/api/v1/sources", r#"{"type":"github","name":"x"}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(write.status(), 201, "writes have a bucket of their own");
    for _ in 0..3 {
        assert_eq!(
            gateway
                .post("/api/v1/signals", r#"{"type":"a"}"#)
                .send()
                .await
                .unwrap()
                .status(),
            202
        );
    }
    assert_eq!(
        gateway
            .post("/api/v1/signals", r#"{"type":"a"}"#)
            .send()
            .await
            .unwrap()
            .status(),
        429
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_public_and_tells_how_far_each_stage_is() {
    let gateway = Gateway::start().await;
    let response = gateway
        .client
        .get(format!("{}/health", gateway.base))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["status"], &body["ready"]), (&json!("ok"), &json!(true)));
    assert!(
        body["checks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|c| c.get("reason").is_none())
    );
    let response = gateway
        .client
        .get(format!("{}/health/signals", gateway.base))
        .send()
        .await
        .unwrap();
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        (&body["status"], &body["lag"], &body["deadLetters"]),
        (&json!("ok"), &json!(8), &json!(4))
    );
    assert_eq!(
        body["stages"][0],
        json!({"name": "x/outbox", "lag": 2, "oldestAgeMs": 30, "deadLetters": 1})
    );
    assert_eq!(body["services"].as_array().unwrap().len(), 4);
    let alone = Gateway::alone().await;
    let body: Value = alone
        .client
        .get(format!("{}/health/signals", alone.base))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&body["status"], &body["services"][0]["reachable"]),
        (&json!("degraded"), &json!(false))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_and_metrics_are_not_public() {
    let gateway = Gateway::start().await;
    gateway.get("/api/v1/accounts").send().await.unwrap();
    let text = gateway.metrics.render().unwrap();
    assert!(
        text.contains("devsignal_gateway_http_requests_total{class=\"2xx\",kind=\"rest\"}"),
        "{text}"
    );
    assert_eq!(
        problem(gateway.get("/metrics").send().await.unwrap()).await.0,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_handed_over_as_it_came() {
    let gateway = Gateway::start().await;
    let deliver = |source: &str, signature: Option<&str>| {
        let url = format!("{}/hooks/github/{source}", gateway.base);
        let request = gateway
            .client
            .post(url)
            .header("x-github-event", "push")
            .header("x-github-delivery", "d-1")
            .header("content-type", "application/x-www-form-urlencoded")
            .body("{ \"raw\" : 1 }\n");
        match signature {
            Some(signature) => request.header("x-hub-signature-256", signature).send(),
            None => request.send(),
        }
    };
    let response = deliver(KNOWN, Some("sha256=good")).await.unwrap();
    assert_eq!(response.status(), 202);
    assert_eq!(
        response.json::<Value>().await.unwrap(),
        json!({"status": "accepted", "signalId": KNOWN})
    );
    let seen = gateway.seen.hooks.lock()[0].clone();
    assert_eq!(
        (seen.event.as_str(), seen.delivery.as_str(), seen.body.as_ref()),
        ("push", "d-1", &b"{ \"raw\" : 1 }\n"[..])
    );
    for (source, signature, status, code) in [
        (KNOWN, Some("sha256=bad"), 401, "invalid_signature"),
        (KNOWN, None, 401, "invalid_signature"),
        (
            "0197e1c8-1f2a-7b3c-8d4e-000000000000",
            Some("sha256=good"),
            404,
            "not_found",
        ),
        ("nope", Some("sha256=good"), 404, "not_found"),
    ] {
        let (got, body) = problem(deliver(source, signature).await.unwrap()).await;
        assert_eq!(
            (got, body["code"].as_str()),
            (status, Some(code)),
            "{source} {signature:?}"
        );
    }
    let url = format!("{}/hooks/github/{KNOWN}", gateway.base);
    let bare = gateway
        .client
        .post(&url)
        .header("x-hub-signature-256", "sha256=good")
        .send()
        .await
        .unwrap();
    assert_eq!(problem(bare).await.0, 400);
    let large = vec![b'x'; 20 << 20];
    let request = gateway
        .client
        .post(&url)
        .header("x-github-event", "push")
        .header("x-github-delivery", "d-2");
    let response = request
        .header("x-hub-signature-256", "sha256=good")
        .body(large)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 202, "20 MiB are within GitHub's limit");
    assert_eq!(gateway.seen.hooks.lock().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_and_paths_that_do_not_exist_are_told_apart() {
    let gateway = Gateway::start().await;
    for (method, path, allow) in [
        (
            Method::PUT,
            "/api/v1/signals".to_owned(),
            "GET, HEAD, OPTIONS, POST",
        ),
        (Method::GET, "/hooks/github/x".to_owned(), "OPTIONS, POST"),
        (Method::POST, "/health".to_owned(), "GET, HEAD, OPTIONS"),
        (
            Method::PATCH,
            "/api/v1/contacts/export".to_owned(),
            "GET, HEAD, OPTIONS",
        ),
        (
            Method::DELETE,
            "/api/v1/accounts".to_owned(),
            "GET, HEAD, OPTIONS, POST, PUT",
        ),
        (
            Method::PUT,
            format!("/api/v1/sources/{KNOWN}"),
            "DELETE, GET, HEAD, OPTIONS, PATCH",
        ),
        (
            Method::TRACE,
            "/api/v1/accounts".to_owned(),
            "GET, HEAD, OPTIONS, POST, PUT",
        ),
    ] {
        let response = gateway.request(method.clone(), &path).send().await.unwrap();
        assert_eq!(response.headers()["allow"], allow, "{method} {path}");
        assert_eq!(problem(response).await.0, 405);
    }
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/accounts/",
        "/api/v1//accounts",
        "/API/v1/accounts",
        "/api/v1/accounts;x=1",
        "/api/v2/accounts",
        "/devsignal.signals.v1.IntakeService/AcceptJson",
        "/hooks/github/",
        "/hooks/github/a/b",
        "/api/v1/%2e%2e/accounts",
    ] {
        let response = gateway.get(path).send().await.unwrap();
        assert_eq!(problem(response).await.0, 404, "{path}");
    }
    assert!(gateway.untouched());
}
