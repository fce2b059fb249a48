//! Rows Content, JSON, Strings, Ids, Paging and Batch of the bad-input matrix: a precise 4xx, and nothing reaches a
//! service.

use std::io::Write as _;

use reqwest::Method;

use crate::fakes::KNOWN;
use crate::harness::{Gateway, problem};

const SOURCE: &str = r#"{"type":"github","name":"x"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn content() {
    let gateway = Gateway::start().await;
    for path in ["/api/v1/sources", "/api/v1/signals"] {
        let post = || gateway.request(Method::POST, path).body(SOURCE);
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonx",
            "application",
            "*/*",
            "application/json; charset=utf-16",
            "application/json; charset=latin1",
            "",
        ] {
            let response = post().header("content-type", kind).send().await.unwrap();
            let (status, body) = problem(response).await;
            assert_eq!(
                (status, body["code"].as_str()),
                (415, Some("unsupported_media_type")),
                "{path} {kind:?}"
            );
        }
        assert_eq!(
            problem(post().send().await.unwrap()).await.0,
            415,
            "no content type"
        );
        let twice = post()
            .header("content-type", "application/json")
            .header("content-type", "text/plain");
        assert_eq!(problem(twice.send().await.unwrap()).await.0, 415);
        for encoding in ["br", "zstd", "deflate", "gzip, gzip", "x"] {
            let response = gateway
                .post(path, SOURCE)
                .header("content-encoding", encoding)
                .send()
                .await
                .unwrap();
            assert_eq!(problem(response).await.0, 415, "{encoding}");
        }
        assert!(gateway.untouched());
        for kind in [
            "application/json; charset=utf-8",
            "Application/JSON;charset=\"UTF-8\"",
        ] {
            let response = post().header("content-type", kind).send().await.unwrap();
            assert!(response.status().is_success(), "{kind}");
        }
        gateway.seen.intakes.lock().clear();
        gateway.seen.principals.lock().clear();
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(plain).unwrap();
    packer.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn encodings() {
    let gateway = Gateway::start().await;
    let bomb = gzip(&vec![b' '; 200 << 20]);
    let whole = gzip(SOURCE.as_bytes());
    let truncated = whole[..whole.len() - 5].to_vec();
    let trailing = [whole.clone(), b"more".to_vec()].concat();
    for path in ["/api/v1/sources", "/api/v1/signals"] {
        for (name, body, status) in [
            ("bomb", bomb.clone(), 413),
            ("truncated", truncated.clone(), 400),
            ("trailing", trailing.clone(), 400),
            ("not gzip", SOURCE.as_bytes().to_vec(), 400),
            ("empty", Vec::new(), 400),
        ] {
            let response = gateway
                .post(path, body)
                .header("content-encoding", "gzip")
                .send()
                .await
                .unwrap();
            assert_eq!(problem(response).await.0, status, "{path} {name}");
        }
    }
    let huge = gateway
        .post("/api/v1/sources", vec![b' '; 2 << 20])
        .send()
        .await
        .unwrap();
    assert_eq!(problem(huge).await.0, 413);
    assert!(gateway.untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn json() {
    let gateway = Gateway::start().await;
    let deep = format!("{{\"config\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let malformed: &[&str] = &[
        "",
        " ",
        "{",
        "{} {}",
        "{}x",
        "\u{feff}{}",
        "{\"type\":NaN}",
        "{'a':1}",
        "{\"type\":1e400}",
        r#"{"type":"\ud800"}"#,
        r#"{"type":"a","type":"b"}"#,
        "{\"type\":\"a\u{0}b\"}",
        "{\"type\":01}",
        "{\"a\":1,}",
        &deep,
    ];
    for body in malformed {
        let (status, problem) = problem(
            gateway
                .post("/api/v1/sources", (*body).to_owned())
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(
            (status, problem["code"].as_str()),
            (400, Some("malformed_json")),
            "{body:.60}"
        );
    }
    let not_utf8 = gateway
        .post("/api/v1/sources", b"{\"type\":\"\xff\"}".to_vec())
        .send()
        .await
        .unwrap();
    assert_eq!(problem(not_utf8).await.0, 400);
    assert!(gateway.untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn shapes() {
    let gateway = Gateway::start().await;
    let many = format!(
        "{{{}}}",
        (0..50_000)
            .map(|n| format!("\"k{n}\":1"))
            .collect::<Vec<_>>()
            .join(",")
    );
    for (body, pointer) in [
        ("[]", ""),
        ("null", ""),
        ("\"x\"", ""),
        (r#"{"type":1,"name":"x"}"#, "/type"),
        (r#"{"type":["github"],"name":"x"}"#, "/type"),
        (r#"{"type":"github","name":{"a":1}}"#, "/name"),
        (r#"{"type":"github","name":"x","nope":1}"#, "/nope"),
        (r#"{"type":"github","name":"x","__proto__":{}}"#, "/__proto__"),
        (r#"{"type":"github","name":"x","constructor":1}"#, "/constructor"),
        (r#"{"type":"github","name":"x","config":[]}"#, "/config"),
        (
            r#"{"type":"github","name":"x","config":{"n":9007199254740993}}"#,
            "/config/n",
        ),
        (&many, "/k0"),
        // Fields that only the server sets.
        (r#"{"type":"github","name":"x","id":"y"}"#, "/id"),
        (r#"{"type":"github","name":"x","orgId":"y"}"#, "/orgId"),
        (
            r#"{"type":"github","name":"x","createdAt":"2024-01-01T00:00:00Z"}"#,
            "/createdAt",
        ),
        (
            r#"{"type":"github","name":"x","webhook_path":"/x"}"#,
            "/webhook_path",
        ),
    ] {
        let (status, problem) = problem(
            gateway
                .post("/api/v1/sources", body.to_owned())
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(
            (status, problem["code"].as_str()),
            (400, Some("validation_failed")),
            "{body:.60}"
        );
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body:.60}");
    }
    let immutable = gateway
        .request(Method::PATCH, &format!("/api/v1/accounts/{KNOWN}"))
        .header("content-type", "application/json")
        .body(format!(r#"{{"accountId":"{KNOWN}","name":"x","score":100}}"#));
    let (status, body) = problem(immutable.send().await.unwrap()).await;
    let at: Vec<_> = body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["pointer"].as_str().unwrap())
        .collect();
    assert_eq!((status, at), (400, vec!["/accountId", "/score"]));
    assert!(gateway.untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn strings() {
    let gateway = Gateway::start().await;
    let nul = gateway.post(
        "/api/v1/sources",
        r#"{"type":"github","name":"a\u0000b","config":{"k\u0000":"\u0000"}}"#,
    );
    let (status, body) = problem(nul.send().await.unwrap()).await;
    assert_eq!((status, body["errors"].as_array().unwrap().len()), (400, 3));
    assert!(gateway.untouched());
    for name in [
        "\u{202e}x",
        "a\u{200b}b",
        "👩‍👩‍👧‍👦",
        "' OR 1=1--",
        "{{7*7}}",
        "${jndi:ldap://x}",
        "<script>",
        "=1+1",
        "a\r\nb: c",
        "𝒳",
    ] {
        let body = serde_json::json!({"type": "github", "name": name}).to_string();
        let response = gateway.post("/api/v1/sources", body).send().await.unwrap();
        assert_eq!(response.status(), 201);
        assert_eq!(
            response.json::<serde_json::Value>().await.unwrap()["name"],
            name,
            "text is carried, not changed"
        );
        assert_eq!(gateway.seen.created.lock().last().unwrap().name, name);
    }
    for id in ["a b", "é", "a\tb", &"x".repeat(129)] {
        let response = gateway
            .get("/api/v1/accounts")
            .header("request-id", id.as_bytes())
            .send()
            .await
            .unwrap();
        assert_ne!(
            response.headers()["request-id"].as_bytes(),
            id.as_bytes(),
            "{id:?} is not taken over"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids() {
    let gateway = Gateway::start().await;
    for id in [
        "x",
        "1",
        "-1",
        "99999999999999999999",
        "null",
        "0197e1c81f2a7b3c8d4e5f6071829304",
        "%7B0197e1c8-1f2a-7b3c-8d4e-5f6071829304%7D",
        "0197e1c8-1f2a-7b3c-8d4e-5f607182930g",
        "' OR 1=1--",
        "0197e1c8-1f2a-7b3c-8d4e-5f6071829304%20",
        "urn:uuid:0197e1c8-1f2a-7b3c-8d4e-5f6071829304",
    ] {
        for path in [
            format!("/api/v1/accounts/{id}"),
            format!("/api/v1/signals/{id}"),
            format!("/api/v1/accounts/{id}/score"),
        ] {
            let (status, body) = problem(gateway.get(&path).send().await.unwrap()).await;
            assert_eq!(
                (status, body["code"].as_str()),
                (400, Some("invalid_id")),
                "{path}"
            );
        }
    }
    for path in [
        "/api/v1/accounts/%00",
        "/api/v1/accounts/%ff",
        "/api/v1/accounts/%c0%80",
        "/api/v1/accounts/%zz",
        "/api/v1/accounts/a%0d%0ab",
    ] {
        assert_eq!(
            problem(gateway.get(path).send().await.unwrap()).await.0,
            400,
            "{path}"
        );
    }
    assert!(gateway.untouched());
    let long = gateway
        .get(&format!("/api/v1/accounts/{}", "a".repeat(8_000)))
        .send()
        .await
        .unwrap();
    assert_eq!(problem(long).await.0, 400);
    let nil = gateway
        .get("/api/v1/accounts/00000000-0000-0000-0000-000000000000")
        .send()
        .await
        .unwrap();
    assert_eq!(problem(nil).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn paging() {
    let gateway = Gateway::start().await;
    for (query, pointer) in [
        ("limit=2147483648", "?limit"),
        ("limit=1.5", "?limit"),
        ("limit=abc", "?limit"),
        ("limit=", "?limit"),
        ("limit=1&limit=1", "?limit"),
        ("page=2", "?page"),
        ("offset=2", "?offset"),
        ("dryRun=true", "?dryRun"),
        ("orgId=x", "?orgId"),
        ("filter[tier]=HOT&filter[tier]=COLD", "?filter[tier]"),
        ("filter=HOT", "?filter"),
        ("total_count=1", "?total_count"),
        ("__proto__=1", "?__proto__"),
    ] {
        let (status, body) = problem(
            gateway
                .get(&format!("/api/v1/accounts?{query}"))
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(
            (status, body["code"].as_str()),
            (400, Some("invalid_parameter")),
            "{query}"
        );
        assert_eq!(body["errors"][0]["pointer"], pointer, "{query}");
    }
    for query in ["cursor=%00", "cursor=%ff", "cursor=%z", &"a=1&".repeat(200)] {
        let (status, _) = problem(
            gateway
                .get(&format!("/api/v1/accounts?{query}"))
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(status, 400, "{query:.30}");
    }
    let on_ingest = gateway
        .post("/api/v1/signals?dryRun=true", r#"{"type":"a"}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(problem(on_ingest).await.1["errors"][0]["pointer"], "?dryRun");
    assert!(gateway.untouched());
}
