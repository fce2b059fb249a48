//! Files in and out by HTTP.

use futures::StreamExt as _;
use reqwest::Method;
use rpc::Role;
use serde_json::json;

use crate::fake_transfer::{PART, PARTS};
use crate::fakes::KNOWN;
use crate::harness::*;

const PATH: &str = "/api/v1/imports?object=contact&fileName=a%20b.csv";

#[tokio::test]
async fn a_file_passes_through_part_by_part() {
    let gateway = Gateway::start().await;
    let line = "x".repeat(999) + "\n";
    let body = line.repeat(6_000);
    let answer = gateway
        .request(Method::POST, PATH)
        .body(body)
        .header("content-type", "text/csv")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["location"], format!("/api/v1/imports/{KNOWN}"));
    let import: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(
        (import["fileName"].as_str(), import["bytes"].as_i64()),
        (Some("a b.csv"), Some(6_000_000))
    );
    assert_eq!(*gateway.seen.uploaded.lock(), [6_000_000]);
}

#[tokio::test]
async fn uploads_that_cannot_be_are_refused() {
    let gateway = Gateway::with(json!({"http": {"max_import_bytes": 5_000}})).await;
    let send = async |path: &str, kind: &str, body: Vec<u8>| {
        let sent = gateway
            .request(Method::POST, path)
            .body(body)
            .header("content-type", kind)
            .send()
            .await
            .unwrap();
        problem(sent).await.0
    };
    assert_eq!(send(PATH, "text/csv", vec![b'x'; 6_000]).await, 413);
    assert_eq!(send(PATH, "application/json", vec![b'x']).await, 415);
    assert_eq!(
        send("/api/v1/imports?object=thing", "text/csv", vec![b'x']).await,
        400
    );
    assert_eq!(
        send("/api/v1/imports?object=contact&what=1", "text/csv", vec![b'x']).await,
        400
    );
    let keyed = gateway
        .request(Method::POST, PATH)
        .body("x")
        .header("content-type", "text/csv")
        .header("idempotency-key", "k");
    assert_eq!(problem(keyed.send().await.unwrap()).await.0, 400);
    let (_, viewer) = gateway.key(Role::Viewer, &[]).await;
    let request = gateway
        .client
        .post(format!("{}{PATH}", gateway.base))
        .bearer_auth(viewer)
        .header("content-type", "text/csv")
        .body("x");
    assert_eq!(problem(request.send().await.unwrap()).await.0, 403);
    // A body that grows beyond the limit without saying so.
    let chunks = futures::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1_000])));
    let request = gateway
        .request(Method::POST, PATH)
        .body(reqwest::Body::wrap_stream(chunks))
        .header("content-type", "text/csv");
    assert_eq!(problem(request.send().await.unwrap()).await.0, 413);
    // Likewise, when crm has long begun to read.
    let late = futures::stream::iter(0..20).then(async |n| {
        if n == 1 {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
        Ok::<_, std::io::Error>(vec![b'x'; 1_000])
    });
    let request = gateway
        .request(Method::POST, PATH)
        .body(reqwest::Body::wrap_stream(late))
        .header("content-type", "text/csv");
    assert_eq!(problem(request.send().await.unwrap()).await.0, 413);
    assert!(
        gateway.seen.uploaded.lock().is_empty(),
        "no half file was taken for a whole one"
    );
}

#[tokio::test]
async fn downloads_are_streamed_and_never_end_short_unnoticed() {
    let gateway = Gateway::start().await;
    let answer = gateway
        .get("/api/v1/contacts/export?filter[tag]=vip")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    assert!(
        answer.headers()["content-disposition"]
            .to_str()
            .unwrap()
            .contains("contacts.csv")
    );
    assert_eq!(answer.bytes().await.unwrap().len(), PARTS * PART);
    let broken = gateway
        .get("/api/v1/deals/export?format=ndjson")
        .send()
        .await
        .unwrap();
    assert!(broken.bytes().await.is_err(), "what broke off is no whole file");
    let head = gateway
        .request(Method::HEAD, "/api/v1/deals/export?format=ndjson")
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-type"], "application/x-ndjson");
    assert_eq!(
        head.bytes().await.unwrap().len(),
        0,
        "only the head was asked for"
    );
    let refused = gateway
        .get("/api/v1/accounts/export?filter[nothing]=1")
        .send()
        .await
        .unwrap();
    assert_eq!(problem(refused).await.0, 400);
    let refused = gateway
        .get("/api/v1/accounts/export?what=1")
        .send()
        .await
        .unwrap();
    assert_eq!(problem(refused).await.0, 400);
    let report = gateway
        .get(&format!("/api/v1/imports/{KNOWN}/report"))
        .send()
        .await
        .unwrap();
    assert_eq!(report.text().await.unwrap(), "row,outcome\r\n1,created\r\n");
    let unknown = gateway
        .get("/api/v1/imports/0197e1c8-1f2a-7b3c-8d4e-5f6071829305/report")
        .send()
        .await
        .unwrap();
    assert_eq!(problem(unknown).await.0, 404);
}
