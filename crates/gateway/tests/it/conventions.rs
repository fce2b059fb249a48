//! The conventions of the public API, whatever the endpoint.

use reqwest::Method;
use serde_json::{Value, json};

use crate::fakes::KNOWN;
use crate::harness::{Gateway, problem};

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_tells_its_version_and_an_unknown_one_is_refused() {
    let gateway = Gateway::start().await;
    for path in ["/health", "/api/v1/accounts", "/nowhere", "/docs"] {
        let answer = gateway.get(path).send().await.unwrap();
        assert_eq!(answer.headers()["devsignal-version"], "2026-11-01", "{path}");
    }
    let asked = |version: &str| {
        gateway
            .get("/api/v1/accounts")
            .header("devsignal-version", version)
    };
    assert_eq!(asked("2026-11-01").send().await.unwrap().status(), 200);
    let (status, body) = problem(asked("1999-01-01").send().await.unwrap()).await;
    assert_eq!(
        (status, body["code"].as_str().unwrap()),
        (400, "invalid_parameter")
    );
    assert_eq!(body["errors"][0]["pointer"], "DevSignal-Version");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_tells_the_methods_and_gives_other_sites_nothing() {
    let gateway = Gateway::start().await;
    for (path, allow) in [
        ("/api/v1/sources", "GET, HEAD, OPTIONS, POST"),
        (
            &*format!("/api/v1/sources/{KNOWN}"),
            "DELETE, GET, HEAD, OPTIONS, PATCH",
        ),
        ("/api/v1/sources/query", "OPTIONS, POST"),
        ("/api/v1/accounts/export", "GET, HEAD, OPTIONS"),
        ("/api/v1/imports", "GET, HEAD, OPTIONS, POST"),
        ("/api/v1/signals", "GET, HEAD, OPTIONS, POST"),
        ("/api/v1/events", "GET, HEAD, OPTIONS"),
        ("/health", "GET, HEAD, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
    ] {
        let url = format!("{}{path}", gateway.base);
        let answer = gateway
            .client
            .request(Method::OPTIONS, url)
            .header("origin", "https://evil.example")
            .header("access-control-request-method", "POST")
            .send()
            .await
            .unwrap();
        assert_eq!(
            (
                answer.status().as_u16(),
                answer.headers()["allow"].to_str().unwrap()
            ),
            (204, allow)
        );
        assert!(
            !answer
                .headers()
                .keys()
                .any(|name| name.as_str().starts_with("access-control"))
        );
    }
    let url = format!("{}/nowhere", gateway.base);
    let answer = gateway.client.request(Method::OPTIONS, url).send().await.unwrap();
    assert_eq!(problem(answer).await.0, 404);
    assert!(gateway.untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_reaches_the_service_as_such_and_says_so() {
    let gateway = Gateway::start().await;
    let body = r#"{"type":"github","name":"x"}"#;
    let answer = gateway
        .post("/api/v1/sources?dryRun=true", body)
        .header("idempotency-key", "one")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["devsignal-dry-run"], "true");
    assert!(answer.headers().get("location").is_none());
    assert!(gateway.seen.created.lock()[0].dry_run());
    // The real request may have the key that its trial had.
    let real = gateway
        .post("/api/v1/sources", body)
        .header("idempotency-key", "one")
        .send()
        .await
        .unwrap();
    assert_eq!(real.status(), 201);
    assert!(real.headers().get("devsignal-dry-run").is_none());
    assert!(!gateway.seen.created.lock()[1].dry_run());
    for (path, body) in [
        // A body says what, not how.
        ("/api/v1/sources", r#"{"type":"github","name":"x","dryRun":true}"#),
        ("/api/v1/sources?dryRun=maybe", body),
        ("/api/v1/sources?name=x", body),
    ] {
        assert_eq!(
            problem(gateway.post(path, body).send().await.unwrap()).await.0,
            400
        );
    }
    assert_eq!(gateway.seen.created.lock().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_body_must_have_is_required_at_its_place() {
    let gateway = Gateway::start().await;
    let answer = gateway
        .post("/api/v1/sources", r#"{"name":null}"#)
        .send()
        .await
        .unwrap();
    let (status, body) = problem(answer).await;
    assert_eq!(
        (status, body["code"].as_str().unwrap()),
        (400, "validation_failed")
    );
    let places: Vec<_> = body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (&e["pointer"], &e["code"]))
        .collect();
    assert_eq!(
        places,
        [
            (&json!("/type"), &json!("required")),
            (&json!("/name"), &json!("required"))
        ]
    );
    assert!(gateway.untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_item_of_a_batch_has_its_own_verdict_and_the_whole_is_replayed() {
    let gateway = Gateway::start().await;
    let body = json!({"items": [
        {"type": "github", "name": "one"},
        {"type": "github", "name": 1},
        {"type": "github", "name": "away"},
        {"type": "github", "name": "two", "id": KNOWN},
        {"type": "github", "name": "three"},
    ]});
    let send = || {
        gateway
            .post("/api/v1/sources/batch", body.to_string())
            .header("idempotency-key", "all")
            .send()
    };
    let answer = send().await.unwrap();
    assert_eq!(answer.status(), 207);
    let told: Value = answer.json().await.unwrap();
    let results = told["results"].as_array().unwrap();
    let statuses: Vec<_> = results.iter().map(|r| r["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 400, 503, 400, 201]);
    assert_eq!(
        results[0],
        json!({"index": 0, "status": 201, "id": KNOWN, "outcome": "created"})
    );
    assert_eq!(results[1]["error"]["errors"][0]["pointer"], "/name");
    assert_eq!(results[2]["error"]["retryable"], true);
    assert_eq!(results[3]["error"]["errors"][0]["code"], "unknown_field");
    let again = send().await.unwrap();
    assert_eq!(
        (again.status().as_u16(), &again.headers()["idempotent-replay"]),
        (207, &"true".parse().unwrap())
    );
    assert_eq!(again.json::<Value>().await.unwrap(), told);
    assert_eq!(gateway.seen.created.lock().len(), 3, "nothing was done twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_changes_names_its_records() {
    let gateway = Gateway::start().await;
    let body = json!({"items": [
        {"id": KNOWN, "name": "a"},
        {"name": "c"},
        {"id": "x", "name": "d"},
        {"id": KNOWN, "sourceId": KNOWN},
        7,
    ]});
    let change = || gateway.request(Method::PATCH, "/api/v1/sources/batch");
    let answer = change().json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 207);
    let told: Value = answer.json().await.unwrap();
    let statuses: Vec<_> = told["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [200, 400, 400, 400, 400]);
    assert_eq!(told["results"][0]["outcome"], "updated");
    let header = change().header("if-match", "\"7\"");
    assert_eq!(problem(header.json(&body).send().await.unwrap()).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upsert_tells_what_it_did_and_needs_its_key() {
    let gateway = Gateway::start().await;
    let put = |query: &str, domain: &str| {
        let path = format!("/api/v1/accounts{query}");
        gateway
            .request(Method::PUT, &path)
            .json(&json!({"domain": domain, "name": "x"}))
            .send()
    };
    let made = put("?match=domain", "new.com").await.unwrap();
    assert_eq!(made.status(), 201);
    assert_eq!(made.headers()["location"], format!("/api/v1/accounts/{KNOWN}"));
    assert_eq!(made.headers()["etag"], "\"2\"");
    let made: Value = made.json().await.unwrap();
    assert_eq!(
        (&made["outcome"], &made["account"]["id"]),
        (&json!("created"), &json!(KNOWN))
    );
    assert_eq!(put("?match=domain", "old.com").await.unwrap().status(), 200);
    let (status, body) = problem(put("?match=domain", "two.com").await.unwrap()).await;
    assert_eq!((status, body["code"].as_str().unwrap()), (409, "ambiguous_match"));
    let (status, body) = problem(put("", "new.com").await.unwrap()).await;
    assert_eq!(
        (status, body["errors"][0]["pointer"].as_str().unwrap()),
        (400, "?match")
    );
    let tried = put("?match=domain&dryRun=true", "new.com").await.unwrap();
    assert_eq!(
        (tried.status().as_u16(), tried.headers().get("location")),
        (200, None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_none_fails_whole() {
    let gateway = Gateway::start().await;
    let many = json!({"items": vec![json!({}); 1001]}).to_string();
    for (body, status) in [
        (r#"{"items":[]}"#, 400),
        (r"[]", 400),
        (r#"{"items":{}}"#, 400),
        (r#"{}"#, 400),
        (r#"{"items":[1],"x":1}"#, 400),
        (&*many, 413),
    ] {
        let answer = gateway
            .post("/api/v1/sources/batch", body.to_owned())
            .send()
            .await
            .unwrap();
        assert_eq!(problem(answer).await.0, status, "{}", &body[..body.len().min(40)]);
    }
    let upserts = gateway.request(Method::PUT, "/api/v1/accounts/batch");
    let body = json!({"items": [{"domain": "new.com"}]});
    let (status, problem) = problem(upserts.json(&body).send().await.unwrap()).await;
    assert_eq!(
        (status, problem["errors"][0]["pointer"].as_str().unwrap()),
        (400, "?match")
    );
    assert!(gateway.untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_a_read_and_takes_its_parameters_from_the_body() {
    let gateway = Gateway::start().await;
    let body = r#"{"where":{"$or":[{"name":{"$contains":"a"}}]},"sort":"name","limit":2}"#;
    let query = |path: &str| gateway.post(path, body).header("idempotency-key", "q");
    let answer = query("/api/v1/sources/query?fields=id").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    // The bucket of reads, not that of writes.
    let read = gateway.get("/api/v1/sources").send().await.unwrap().headers()["ratelimit-limit"].clone();
    assert_eq!(answer.headers()["ratelimit-limit"], read);
    let page: Value = answer.json().await.unwrap();
    assert_eq!(page["data"][0], json!({"id": KNOWN}));
    assert!(
        query("/api/v1/sources/query")
            .send()
            .await
            .unwrap()
            .headers()
            .get("idempotent-replay")
            .is_none()
    );
    assert_eq!(
        problem(query("/api/v1/sources/query?limit=1").send().await.unwrap())
            .await
            .0,
        400
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_without_a_body_takes_none() {
    let gateway = Gateway::start().await;
    let answer = gateway.get("/api/v1/accounts").body("{}").send().await.unwrap();
    assert_eq!(problem(answer).await.0, 400);
    let empty = gateway
        .get("/api/v1/accounts")
        .header("content-length", "0")
        .send()
        .await
        .unwrap();
    assert_eq!(empty.status(), 200);
}
