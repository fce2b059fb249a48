//! Making, changing and deleting webhooks.

use reqwest::Method;
use rpc::Role as KeyRole;
use serde_json::{Value, json};

use super::{call, edge_only, get, hook, ok, post};
use crate::harness::{Gateway, problem};

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_made_shown_changed_and_deleted_and_its_secret_shown_once() {
    let gateway = edge_only().await;
    let body = json!({"url": "http://127.0.0.1:19999/h", "events": ["signal.received", "deal.*"], "description": " mine ",
        "filter": {"data.score": {"$gte": 80}}, "headers": {"X-Api-Key": "sesame-open"}});
    let trial = call(&gateway, Method::POST, "?dryRun=true", body.clone()).await;
    assert_eq!(
        (trial.status().as_u16(), &trial.headers()["devsignal-dry-run"]),
        (200, &"true".parse().unwrap())
    );
    let made = call(&gateway, Method::POST, "", body).await;
    assert_eq!(made.status(), 201);
    let location = made.headers()["location"].to_str().unwrap().to_owned();
    let etag = made.headers()["etag"].clone();
    let made = ok(made).await;
    let id = made["id"].as_str().unwrap();
    assert!(location.ends_with(id), "{location}");
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() > 40);
    assert_eq!(made["headerNames"], json!(["x-api-key"]));
    assert_eq!(
        (&made["status"], &made["payload"], &made["schemaVersion"]),
        (&json!("enabled"), &json!("full"), &json!(1))
    );

    let read = get(&gateway, &format!("/{id}")).await;
    assert_eq!(
        (&read["secret"], &read["description"]),
        (&Value::Null, &json!("mine"))
    );
    assert_eq!(read["filter"], json!({"data.score": {"$gte": 80}}));
    let all = get(&gateway, "?include=totalCount&filter[status]=enabled").await;
    assert_eq!(
        (all["totalCount"].as_i64(), &all["data"][0]["id"]),
        (Some(1), &json!(id))
    );

    let path = format!("/api/v1/webhooks/{id}");
    let change = |tag: &str, body: Value| {
        gateway
            .request(Method::PATCH, &path)
            .header("if-match", tag)
            .json(&body)
    };
    let body = json!({"url": "http://127.0.0.1:19999/other", "events": [], "ratePerSecond": 5, "filter": {}, "headers": {}});
    let changed = ok(change(etag.to_str().unwrap(), body.clone()).send().await.unwrap()).await;
    assert_eq!(
        (&changed["url"], &changed["ratePerSecond"], changed.get("filter")),
        (&json!("http://127.0.0.1:19999/other"), &json!(5), None)
    );
    assert_eq!(changed["version"], 2);
    let late = problem(change(etag.to_str().unwrap(), body).send().await.unwrap()).await;
    assert_eq!(
        (late.0, late.1["code"].as_str()),
        (412, Some("precondition_failed"))
    );
    let same = ok(call(
        &gateway,
        Method::PATCH,
        &format!("/{id}"),
        json!({"ratePerSecond": 5}),
    )
    .await)
    .await;
    assert_eq!(same["version"], 2, "what changes nothing is no change");

    assert_eq!(
        call(&gateway, Method::DELETE, &format!("/{id}"), Value::Null)
            .await
            .status(),
        204
    );
    assert_eq!(
        problem(call(&gateway, Method::GET, &format!("/{id}"), Value::Null).await)
            .await
            .0,
        404
    );
    nothing_in_plain(&gateway, &[secret.trim_start_matches("whsec_"), "sesame-open"]).await;
}

/// No secret stands in a table or in the audit log as it is.
async fn nothing_in_plain(gateway: &Gateway, secrets: &[&str]) {
    let audit = ok(gateway.get("/api/v1/audit?limit=200").send().await.unwrap())
        .await
        .to_string();
    let mut tx = gateway.stores.pipeline.begin().await.unwrap();
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT w::text FROM webhooks w UNION ALL SELECT s::text FROM webhook_secrets s \
         UNION ALL SELECT encode(s.sealed, 'base64') FROM webhook_secrets s UNION ALL SELECT encode(payload, 'escape') FROM outbox",
    )
    .fetch_all(&mut *tx)
    .await
    .unwrap();
    tx.rollback().await;
    for secret in secrets {
        assert!(!audit.contains(secret), "{secret} in the audit log");
        assert!(
            rows.iter().all(|row| !row.contains(secret)),
            "{secret} in a table"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_may_not_be_is_refused_at_its_place() {
    // The settings of production.
    let gateway = Gateway::with(json!({"roles": {"deliver": false}})).await;
    let good = "https://example.com/h";
    for (body, pointer) in [
        (json!({}), "/url"),
        (json!({"url": "http://example.com/h"}), "/url"),
        (json!({"url": "https://127.0.0.1/h"}), "/url"),
        (json!({"url": "https://[::ffff:10.0.0.1]/h"}), "/url"),
        (json!({"url": "https://169.254.169.254/latest"}), "/url"),
        (json!({"url": "https://0x7f000001/"}), "/url"),
        (json!({"url": "https://localhost/"}), "/url"),
        (json!({"url": "https://user:pass@example.com/"}), "/url"),
        (json!({"url": "ftp://example.com/"}), "/url"),
        (json!({"url": "example.com"}), "/url"),
        (
            json!({"url": format!("https://example.com/{}", "a".repeat(2000))}),
            "/url",
        ),
        (json!({"url": good, "events": ["signals.recorded"]}), "/events/0"),
        (
            json!({"url": good, "events": ["deal.created", "nope.*"]}),
            "/events/1",
        ),
        (
            json!({"url": good, "events": ["deal.created", "deal.created"]}),
            "/events/1",
        ),
        (
            json!({"url": good, "filter": {"data.a": {"$regex": "x"}}}),
            "/filter/data.a/$regex",
        ),
        (json!({"url": good, "payload": "fat"}), "/payload"),
        (json!({"url": good, "signature": "rsa"}), "/signature"),
        (json!({"url": good, "schemaVersion": 2}), "/schemaVersion"),
        (
            json!({"url": good, "headers": {"webhook-id": "x"}}),
            "/headers/webhook-id",
        ),
        (json!({"url": good, "ratePerSecond": 0}), "/ratePerSecond"),
        (json!({"url": good, "ratePerSecond": -1}), "/ratePerSecond"),
        (json!({"url": good, "maxInFlight": 257}), "/maxInFlight"),
        (json!({"url": good, "secret": "whsec_AAAA"}), "/secret"),
        (
            json!({"url": good, "secret": "x", "signature": "ed25519"}),
            "/secret",
        ),
        (
            json!({"url": good, "description": "x".repeat(501)}),
            "/description",
        ),
        (json!({"url": good, "nope": 1}), "/nope"),
    ] {
        let (status, told) = problem(call(&gateway, Method::POST, "", body.clone()).await).await;
        assert_eq!(
            (
                status,
                told["code"].as_str(),
                told["errors"][0]["pointer"].as_str()
            ),
            (400, Some("validation_failed"), Some(pointer)),
            "{body}: {told}"
        );
    }
    let all = get(&gateway, "").await;
    assert_eq!(all["data"], json!([]));
    let (id, secret) = hook(&gateway, good.to_owned(), json!({"signature": "ed25519"})).await;
    assert_eq!(secret, "", "a private key is never shown");
    let read = get(&gateway, &format!("/{id}")).await;
    assert!(read["publicKey"].as_str().unwrap().starts_with("whpk_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organizations_webhook_is_not_there_by_any_way() {
    let gateway = edge_only().await;
    let (id, _) = hook(&gateway, "http://127.0.0.1:19999/h".to_owned(), json!({})).await;
    let delivery = post(&gateway, &format!("/{id}/test"), json!({})).await;
    let delivery = delivery["id"].as_str().unwrap();
    let range = json!({"from": "2020-01-01T00:00:00Z"});
    let replay = post(&gateway, &format!("/{id}/replays"), range.clone()).await;
    let replay = replay["id"].as_str().unwrap();
    let (_, stranger) = gateway.other_organization().await;
    let (other, _) = hook(&gateway, "http://127.0.0.1:19999/h".to_owned(), json!({})).await;
    let mut cases = vec![(
        other.clone(),
        gateway.key.clone(),
        "deliveries/".to_owned() + delivery,
    )];
    for (method, path, body) in [
        (Method::GET, String::new(), Value::Null),
        (Method::PATCH, String::new(), json!({"ordered": true})),
        (Method::DELETE, String::new(), Value::Null),
        (Method::POST, "/rotate-secret".to_owned(), json!({})),
        (Method::POST, "/enable".to_owned(), json!({})),
        (Method::POST, "/disable".to_owned(), json!({})),
        (Method::POST, "/test".to_owned(), json!({})),
        (Method::GET, "/stats".to_owned(), Value::Null),
        (Method::GET, "/deliveries".to_owned(), Value::Null),
        (Method::GET, format!("/deliveries/{delivery}"), Value::Null),
        (Method::POST, format!("/deliveries/{delivery}/resend"), json!({})),
        (Method::POST, "/replays".to_owned(), range),
        (Method::GET, format!("/replays/{replay}"), Value::Null),
    ] {
        let url = format!("{}/api/v1/webhooks/{id}{path}", gateway.base);
        let request = gateway.client.request(method.clone(), url).bearer_auth(&stranger);
        let request = if body.is_null() {
            request
        } else {
            request.json(&body)
        };
        let (status, told) = problem(request.send().await.unwrap()).await;
        assert_eq!(
            (status, told["code"].as_str()),
            (404, Some("not_found")),
            "{method} {path}"
        );
    }
    // Nor is a delivery there under another webhook of the same organization.
    cases.push((other, gateway.key.clone(), format!("replays/{replay}")));
    for (hook, key, path) in cases {
        let url = format!("{}/api/v1/webhooks/{hook}/{path}", gateway.base);
        let answer = gateway.client.get(url).bearer_auth(key).send().await.unwrap();
        assert_eq!(problem(answer).await.0, 404, "{path}");
    }
    let (_, member) = gateway.key(KeyRole::Member, &[]).await;
    let url = format!("{}/api/v1/webhooks", gateway.base);
    let refused = gateway
        .client
        .post(url)
        .bearer_auth(member)
        .json(&json!({"url": "http://127.0.0.1:19999/"}));
    assert_eq!(problem(refused.send().await.unwrap()).await.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_would_be_the_last_one_is_made() {
    let gateway = Gateway::with(super::open(
        json!({"roles": {"deliver": false}, "webhooks": {"max_per_organization": 3}}),
    ))
    .await;
    for _ in 0..2 {
        hook(&gateway, "http://127.0.0.1:19999/h".to_owned(), json!({})).await;
    }
    let tries = (0..30).map(|_| {
        call(
            &gateway,
            Method::POST,
            "",
            json!({"url": "http://127.0.0.1:19999/h"}),
        )
    });
    let answers = futures::future::join_all(tries).await;
    let made = answers.iter().filter(|answer| answer.status() == 201).count();
    assert_eq!(made, 1);
    for answer in answers.into_iter().filter(|answer| answer.status() != 201) {
        assert_eq!(problem(answer).await.1["code"], "quota_exceeded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_table_of_webhooks_is_open_to_others() {
    let gateway = edge_only().await;
    let mut tx = gateway.stores.owner.begin().await.unwrap();
    let found = store::catalog::violations(&mut tx, gateway::SCHEMA)
        .await
        .unwrap();
    assert_eq!(found, Vec::<String>::new());
    tx.rollback().await;
}
