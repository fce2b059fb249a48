//! Signals by HTTP.

use std::io::Write as _;
use std::sync::atomic::Ordering;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::fakes::KNOWN;
use crate::harness::{Gateway, problem};

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_and_a_batch_get_their_verdicts() {
    let gateway = Gateway::start().await;
    let response = gateway
        .post("/api/v1/signals", r#"{"type":"a"}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 202);
    assert_eq!(
        response.headers().get("content-type").unwrap(),
        "application/json"
    );
    assert!(response.headers().contains_key("ratelimit-remaining"));
    let body: Value = response.json().await.unwrap();
    let one = json!({"batchId": "batch", "accepted": 1, "duplicates": 0, "rejected": 0,
        "results": [{"index": 0, "status": "accepted", "id": "a"}]});
    assert_eq!(body, one);

    let batch = r#"{"signals":[{"type":"a"},{"type":"bad"}]}"#;
    let response = gateway.post("/api/v1/signals/batch", batch).send().await.unwrap();
    assert_eq!(response.status(), 202);
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        (body["accepted"].as_i64(), body["rejected"].as_i64()),
        (Some(1), Some(1))
    );
    assert_eq!(
        body["results"][1]["error"],
        json!({"code": "required", "pointer": "/type", "message": "no"})
    );

    let all_bad = gateway
        .post("/api/v1/signals/batch", r#"{"signals":[{"type":"bad"}]}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(all_bad.status(), 202);
    let body: Value = all_bad.json().await.unwrap();
    assert_eq!((&body["batchId"], &body["rejected"]), (&Value::Null, &json!(1)));
    let intakes = gateway.seen.intakes.lock();
    assert_eq!(intakes[0].organization_id.as_ref(), gateway.org.uuid().as_bytes());
    assert_eq!((intakes[0].batch, intakes[1].batch), (false, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_signal_is_a_problem_and_so_is_a_body_that_cannot_be_read() {
    let gateway = Gateway::start().await;
    let (status, body) = problem(
        gateway
            .post("/api/v1/signals", r#"{"type":"bad"}"#)
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!((status, body["code"].as_str()), (400, Some("validation_failed")));
    assert_eq!(body["errors"][0]["pointer"], "/type");
    let (status, body) = problem(gateway.post("/api/v1/signals", "{").send().await.unwrap()).await;
    assert_eq!((status, body["code"].as_str()), (400, Some("malformed_json")));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_share_few_calls_and_each_gets_its_own_answer() {
    let gateway = Gateway::start().await;
    let posts = (0..500).map(|n| {
        let request = gateway.post("/api/v1/signals", format!(r#"{{"type":"t{n}"}}"#));
        async move {
            let body: Value = request.send().await.unwrap().json().await.unwrap();
            assert_eq!(body["results"][0]["id"], format!("t{n}"));
        }
    });
    join_all(posts).await;
    assert_eq!(gateway.seen.intakes.lock().len(), 500);
    assert!(gateway.seen.groups.load(Ordering::Relaxed) < 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_is_read_and_an_idempotency_key_is_handed_on() {
    let gateway = Gateway::start().await;
    let plain = br#"{"type":"zipped"}"#;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(plain).unwrap();
    let request = gateway
        .post("/api/v1/signals", packer.finish().unwrap())
        .header("content-encoding", "gzip")
        .header("idempotency-key", "k-1");
    assert_eq!(request.send().await.unwrap().status(), 202);
    let intakes = gateway.seen.intakes.lock();
    assert_eq!(intakes[0].body.as_ref(), plain);
    assert_eq!(intakes[0].idempotency_key.as_deref(), Some("k-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_four_mebibytes_passes_and_a_larger_one_does_not() {
    let gateway = Gateway::start().await;
    let filled = |bytes: usize| {
        let mut body = br#"{"signals":[{"type":"a"}],"x":""#.to_vec();
        body.resize(bytes - 2, b'x');
        body.extend_from_slice(br#""}"#);
        body
    };
    let posted = gateway
        .post("/api/v1/signals/batch", filled(4 << 20))
        .send()
        .await
        .unwrap();
    assert_eq!(posted.status(), 202);
    let too_large = gateway
        .post("/api/v1/signals/batch", filled(5 << 20))
        .send()
        .await
        .unwrap();
    assert_eq!(problem(too_large).await.0, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_signal_ingest_nothing_is_accepted() {
    let gateway = Gateway::alone().await;
    let response = gateway
        .post("/api/v1/signals", r#"{"type":"a"}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers().get("retry-after").unwrap(), "1");
    let (status, body) = problem(response).await;
    assert_eq!(
        (status, body["code"].as_str(), body["retryable"].as_bool()),
        (503, Some("unavailable"), Some(true))
    );
    let (status, _) = problem(gateway.get("/api/v1/accounts").send().await.unwrap()).await;
    assert_eq!(status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_and_deliveries_need_no_port_where_signal_ingest_is_in_the_process() {
    let gateway = Gateway::with_intake().await;
    let posted = join_all((0..20).map(|_| gateway.post("/api/v1/signals", r#"{"type":"a"}"#).send())).await;
    for response in posted {
        assert_eq!(response.unwrap().status(), 202);
    }
    assert_eq!(gateway.seen.intakes.lock().len(), 20);
    let delivered = gateway
        .client
        .post(format!("{}/hooks/github/{KNOWN}", gateway.base))
        .header("content-type", "application/json")
        .header("X-GitHub-Event", "star")
        .header("X-GitHub-Delivery", "1")
        .header("X-Hub-Signature-256", "sha256=good")
        .body("{}");
    assert_eq!(delivered.send().await.unwrap().status(), 202);
    assert_eq!(gateway.seen.hooks.lock().len(), 1);
}
