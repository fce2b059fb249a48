//! REST by descriptors.

use reqwest::Method;
use rpc::{Actor, Role};
use serde_json::{Value, json};

use crate::fakes::KNOWN;
use crate::harness::{Gateway, problem};

#[tokio::test(flavor = "multi_thread")]
async fn a_list_follows_the_conventions_and_its_parameters_reach_the_service() {
    let gateway = Gateway::start().await;
    let path = "/api/v1/accounts?limit=5&cursor=c&sort=-score&filter[tier]=HOT&filter%5Bcountry%5D=DE&include=totalCount";
    let response = gateway
        .get(path)
        .header("request-id", "mine")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers().get("request-id").unwrap(), "mine");
    assert_eq!(
        response.headers().get("x-content-type-options").unwrap(),
        "nosniff"
    );
    assert_eq!(response.headers().get("cache-control").unwrap(), "no-store");
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        body,
        json!({
            "data": [{"id": KNOWN, "name": "Acme", "tier": null, "trend": null, "contactCount": 3, "version": 1, "tags": []}],
            "nextCursor": "next", "hasMore": true,
        })
    );
    let seen = gateway.seen.lists.lock()[0].clone();
    assert_eq!(
        (seen.limit, seen.cursor.as_deref(), seen.sort.as_deref()),
        (Some(5), Some("c"), Some("-score"))
    );
    assert_eq!(
        (seen.filter["tier"].as_str(), seen.filter["country"].as_str()),
        ("HOT", "DE")
    );
    assert_eq!(gateway.seen.request_ids.lock()[0], "mine");
    let principal = gateway.seen.principals.lock()[0].clone();
    assert_eq!((principal.org, principal.role), (Some(gateway.org), Role::Owner));
    assert!(matches!(principal.actor, Actor::ApiKey(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_page_says_so_and_additional_bindings_are_routes() {
    let gateway = Gateway::start().await;
    for path in ["/api/v1/sources", "/api/v1/signals/sources"] {
        let body: Value = gateway.get(path).send().await.unwrap().json().await.unwrap();
        assert_eq!(
            (&body["nextCursor"], &body["hasMore"]),
            (&Value::Null, &json!(false)),
            "{path}"
        );
        assert!(body.as_object().unwrap().contains_key("nextCursor"));
        assert_eq!(body["data"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_has_an_etag_and_is_not_sent_twice() {
    let gateway = Gateway::start().await;
    let path = format!("/api/v1/accounts/{}", KNOWN.to_uppercase());
    let response = gateway.get(&path).send().await.unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            response.headers()["etag"].to_str().unwrap()
        ),
        (200, "\"7\"")
    );
    for known in ["\"7\"", "W/\"7\"", "\"1\", \"7\"", "*"] {
        let again = gateway
            .get(&path)
            .header("if-none-match", known)
            .send()
            .await
            .unwrap();
        assert_eq!(again.status(), 304, "{known}");
        assert_eq!(again.text().await.unwrap(), "");
    }
    assert_eq!(
        gateway
            .get(&path)
            .header("if-none-match", "\"8\"")
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    let head = gateway.request(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), head.headers()["etag"].to_str().unwrap()),
        (200, "\"7\"")
    );
    assert_eq!(head.text().await.unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn if_match_guards_a_change() {
    let gateway = Gateway::start().await;
    let path = format!("/api/v1/accounts/{KNOWN}");
    let patch = |tag: Option<&str>| {
        let request = gateway
            .request(Method::PATCH, &path)
            .header("content-type", "application/json")
            .body(r#"{"name":"New","industry":null}"#);
        match tag {
            Some(tag) => request.header("if-match", tag).send(),
            None => request.send(),
        }
    };
    for (tag, status) in [
        (None, 200),
        (Some("\"7\""), 200),
        (Some("*"), 200),
        (Some("\"6\""), 412),
    ] {
        assert_eq!(patch(tag).await.unwrap().status(), status, "{tag:?}");
    }
    for bad in [
        "7",
        "W/\"7\"",
        "\"x\"",
        "\"6\", \"7\"",
        "\"-1\"",
        "\"99999999999999999999\"",
    ] {
        assert_eq!(problem(patch(Some(bad)).await.unwrap()).await.0, 400, "{bad}");
    }
    let seen = gateway.seen.updates.lock()[0].clone();
    assert_eq!(
        (seen.account_id.as_str(), seen.name.as_deref(), seen.industry),
        (KNOWN, Some("New"), None)
    );
    let on_sources = gateway
        .request(Method::DELETE, &format!("/api/v1/sources/{KNOWN}"))
        .header("if-match", "\"1\"");
    assert_eq!(problem(on_sources.send().await.unwrap()).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn sparse_answers_hold_only_what_was_asked_for() {
    let gateway = Gateway::start().await;
    let list: Value = gateway
        .get("/api/v1/accounts?fields=id,name")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(list["data"], json!([{"id": KNOWN, "name": "Acme"}]));
    assert_eq!(list["hasMore"], true);
    let path = format!("/api/v1/accounts/{KNOWN}?fields=name");
    let response = gateway.get(&path).send().await.unwrap();
    assert_eq!(response.headers()["etag"], "\"7\"");
    assert_eq!(response.json::<Value>().await.unwrap(), json!({"name": "Acme"}));
    let (status, body) = problem(gateway.get("/api/v1/accounts?fields=nope").send().await.unwrap()).await;
    assert_eq!(
        (status, body["errors"][0]["pointer"].as_str()),
        (400, Some("?fields"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_created_and_deleted() {
    let gateway = Gateway::start().await;
    let made = gateway.post(
        "/api/v1/sources",
        r#"{"type":"github","name":"x","config":{"n":1}}"#,
    );
    let response = made.send().await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(
        response.headers()["location"],
        format!("/api/v1/sources/{KNOWN}").as_str()
    );
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        (&body["secret"], &body["createdAt"]),
        (&json!("shown-once"), &json!("2023-11-14T22:13:20Z"))
    );
    let gone = gateway
        .request(Method::DELETE, &format!("/api/v1/sources/{KNOWN}"))
        .send()
        .await
        .unwrap();
    assert_eq!(gone.status(), 204);
    assert_eq!(gone.text().await.unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_services_become_problems_without_their_insides() {
    let gateway = Gateway::start().await;
    for (name, status, code) in [
        ("crash", 500, "internal"),
        ("panic", 500, "internal"),
        ("away", 503, "unavailable"),
        ("", 400, "validation_failed"),
    ] {
        let request = gateway.post(
            "/api/v1/sources",
            format!(r#"{{"type":"github","name":"{name}"}}"#),
        );
        let (got, body) = problem(request.send().await.unwrap()).await;
        assert_eq!((got, body["code"].as_str()), (status, Some(code)), "{name}");
        if status == 400 {
            assert_eq!(body["errors"][0]["pointer"], "/name");
        }
    }
    let foreign = gateway
        .get("/api/v1/accounts/0197e1c8-1f2a-7b3c-8d4e-000000000000")
        .send()
        .await
        .unwrap();
    assert_eq!(problem(foreign).await.0, 404);
}
