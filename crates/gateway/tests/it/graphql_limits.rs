//! GraphQL: what a query may not be; nothing of it reaches a service.

use serde_json::{Value, json};

use crate::harness::{Gateway, problem};

/// Code and places of the first error.
async fn refused(gateway: &Gateway, query: &str) -> (String, String) {
    let answer = gateway.graphql(query, json!({})).await;
    assert!(answer["data"].is_null(), "{query}: {answer}");
    let error = &answer["errors"][0];
    let text = answer.to_string();
    for inside in ["hunter2", "tonic", ".rs", "/work", "async"] {
        assert!(!text.contains(inside), "{inside} in {text}");
    }
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (
        word(&error["extensions"]["code"]),
        word(&error["extensions"]["errors"][0]["code"]),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn s_17_what_asks_for_too_much_is_refused_before_anything_is_read() {
    let gateway = Gateway::start().await;
    let nested = |n: usize| (0..n).fold("id".to_owned(), |inner, _| format!("account {{ {inner} }}"));
    let aliases: String = (0..10_000)
        .map(|n| format!("a{n}: accounts {{ hasMore }} "))
        .collect();
    let some_aliases: String = (0..31).map(|n| format!("a{n}: health ")).collect();
    let bomb: String = (0..30)
        .map(|n| format!("fragment f{n} on Account {{ ...f{} ...f{} }} ", n + 1, n + 1))
        .collect();
    for (query, codes) in [
        (
            format!("{{ contact(id: \"x\") {{ {} }} }}", nested(30)),
            ("validation_failed", "too_deep"),
        ),
        (format!("{{ {aliases} }}"), ("too_large", "")),
        (format!("{{ {some_aliases} }}"), ("validation_failed", "too_many")),
        (
            "{ accounts(limit: 200) { data { contacts(first: 200) { signals(last: 200) { id } } } } }"
                .to_owned(),
            ("validation_failed", "too_costly"),
        ),
        (
            format!("{{ accounts {{ hasMore {} }} }}", "@skip(if: false) ".repeat(30)),
            ("validation_failed", "too_many"),
        ),
        (
            format!("{{ accounts {{ data {{ ...f0 }} }} }} {bomb} fragment f30 on Account {{ id }}"),
            ("validation_failed", "too_many"),
        ),
        (
            format!("{{ accounts(filter: {}) }}", "[".repeat(60_000)),
            ("validation_failed", "too_deep"),
        ),
        (
            "{ accounts { data { ...a } } } fragment a on Account { ...b } fragment b on Account { ...a }"
                .to_owned(),
            ("validation_failed", ""),
        ),
    ] {
        let told = refused(&gateway, &query).await;
        let query: String = query.chars().take(80).collect();
        assert_eq!(told, (codes.0.to_owned(), codes.1.to_owned()), "{query}");
    }
    assert!(gateway.untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_query_of_this_schema_is_refused_without_hints() {
    let gateway = Gateway::start().await;
    for query in [
        "",
        "{",
        "{ accounts }",
        "{ account { name } }",
        "{ accounts { nope } }",
        "{ acounts { hasMore } }",
        "{ accounts(limit: \"x\") { hasMore } }",
        "{ accounts(nope: 1) { hasMore } }",
        "query A { accounts { hasMore } } query A { accounts { hasMore } }",
        "query A { accounts { hasMore } } query B { accounts { hasMore } }",
        "query($id: Int!) { account(id: $id) { name } }",
        "query($id: ID!) { account(id: $id) { name } }",
        "mutation { accounts { hasMore } }",
        "subscription { signals { id } }",
        "{ account(id: [\"x\"]) { name } }",
        "{ account(id: {a: 1}) { name } }",
        "{ accounts @unknown { hasMore } }",
    ] {
        let (code, _) = refused(&gateway, query).await;
        assert_eq!(code, "validation_failed", "{query}");
    }
    let answer = gateway.graphql("{ acounts { hasMore } }", json!({})).await;
    assert!(!answer.to_string().contains("Did you mean"));
    assert!(gateway.untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_request_are_problems() {
    let gateway = Gateway::start().await;
    let deep = format!(
        "{{\"query\":\"{{a}}\",\"variables\":{}1{}}}",
        "{\"a\":".repeat(200),
        "}".repeat(200)
    );
    for (body, status) in [
        (r#"[{"query":"{a}"},{"query":"{b}"}]"#, 400),
        ("{", 400),
        ("1", 400),
        (r"{}", 400),
        (r#"{"query":1}"#, 400),
        (r#"{"query":"{a}","variables":[]}"#, 400),
        (r#"{"query":"{a}","x":1}"#, 400),
        (
            r#"{"query":"{a}","extensions":{"persistedQuery":{"version":1,"sha256Hash":"x"}}}"#,
            400,
        ),
        (&*deep, 400),
    ] {
        let answer = gateway.post("/graphql", body.to_owned()).send().await.unwrap();
        assert_eq!(problem(answer).await.0, status, "{}", &body[..body.len().min(60)]);
    }
    let plain = gateway
        .post("/graphql", "{a}")
        .header("content-type", "application/graphql");
    assert_eq!(problem(plain.send().await.unwrap()).await.0, 415);
    let put = gateway
        .request(reqwest::Method::PUT, "/graphql")
        .send()
        .await
        .unwrap();
    assert_eq!(put.headers()["allow"], "GET, HEAD, OPTIONS, POST");
    let mutation = gateway
        .get("/graphql?query=mutation{deleteSource(id:1)}")
        .send()
        .await
        .unwrap();
    assert_eq!(problem(mutation).await.0, 400);
    assert!(gateway.untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_root_field_counts_against_the_rate_limit() {
    let limits = json!({"limits": {"read": {"per_minute": 1, "burst": 5}}});
    let gateway = Gateway::with(limits).await;
    let query = "{ a: accounts { hasMore } b: accounts { hasMore } c: accounts { hasMore } }";
    let answer = gateway.graphql(query, json!({})).await;
    assert_eq!(answer["data"]["c"]["hasMore"], true, "{answer}");
    let body = json!({ "query": query }).to_string();
    let refused = gateway.post("/graphql", body).send().await.unwrap();
    assert_eq!(problem(refused).await.0, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_can_be_asked_for_unless_it_is_switched_off() {
    let query = "{ __schema { types { name fields { name args { name type { kind name ofType { kind name ofType { kind
        name ofType { kind name ofType { kind name } } } } } } } } } }";
    let gateway = Gateway::start().await;
    let answer = gateway.graphql(query, json!({})).await;
    assert_eq!(answer.get("errors"), None, "{answer}");
    assert!(answer["data"]["__schema"]["types"].as_array().unwrap().len() > 20);
    let closed = Gateway::with(json!({"graphql": {"introspection": false}})).await;
    let answer = closed.graphql(query, json!({})).await;
    assert!(
        answer["errors"].is_array() || answer["data"]["__schema"].is_null(),
        "{answer}"
    );
}
