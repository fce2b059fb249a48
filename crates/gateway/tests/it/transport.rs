//! The Transport row of the bad-input matrix, on raw sockets: no hang, no 5xx, and the server lives on.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::Gateway;

/// Sends bytes and reads what comes until the server closes or is silent.
async fn raw(gateway: &Gateway, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(gateway.http).await.unwrap();
    // The server may close before it has read everything.
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(read)) = timeout(Duration::from_millis(700), socket.read(&mut buffer)).await {
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
}

type Cases = Vec<(&'static str, String)>;

/// `post` makes a request from further headers and a body.
fn broken(post: &dyn Fn(&str, &str) -> String) -> Cases {
    let many_headers: String = (0..10_000).map(|n| format!("X-{n}: y\r\n")).collect();
    vec![
        ("garbage", "\x01\x02\x03\r\n\r\n".to_owned()),
        ("HTTP/0.9", "GET /health\r\n\r\n".to_owned()),
        (
            "two lengths",
            post("Content-Length: 2\r\nContent-Length: 3\r\n", "{}"),
        ),
        (
            "length and chunks",
            post("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ),
        (
            "chunked, identity",
            post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        ),
        ("negative length", post("Content-Length: -1\r\n", "{}")),
        (
            "huge length",
            post("Content-Length: 99999999999999999999\r\n", "{}"),
        ),
        (
            "chunk overflow",
            post(
                "Transfer-Encoding: chunked\r\n",
                "fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
            ),
        ),
        (
            "bad chunk",
            post("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n"),
        ),
        (
            "10 k headers",
            format!("GET /health HTTP/1.1\r\nHost: x\r\n{many_headers}\r\n"),
        ),
        (
            "large header",
            format!(
                "GET /health HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
                "y".repeat(200_000)
            ),
        ),
        (
            "obs-fold",
            "GET /health HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n".to_owned(),
        ),
        (
            "NUL in path",
            "GET /he\0alth HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        ),
        ("CONNECT", "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_requests_are_refused_and_the_server_lives() {
    let gateway = Gateway::start().await;
    let auth = format!("Authorization: Bearer {}\r\n", gateway.key);
    let post = |headers: &str, body: &str| {
        format!(
            "POST /api/v1/signals HTTP/1.1\r\nHost: x\r\n{auth}Content-Type: application/json\r\n{headers}\r\n{body}"
        )
    };
    let cases = broken(&post);
    for (name, bytes) in cases {
        let answer = raw(&gateway, bytes.as_bytes()).await;
        let status = status(&answer);
        assert!(
            status == 0 || (400..500).contains(&status),
            "{name}: {answer:.200}"
        );
    }
    assert!(gateway.untouched());
    let pipelined = "GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(
        raw(&gateway, pipelined.as_bytes())
            .await
            .matches("HTTP/1.1 200")
            .count(),
        2
    );
    let expecting = post(
        "Content-Length: 12\r\nExpect: 100-continue\r\n",
        r#"{"type":"a"}"#,
    );
    assert!(raw(&gateway, expecting.as_bytes()).await.contains("202"));
    assert_eq!(
        gateway.get("/api/v1/accounts").send().await.unwrap().status(),
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_senders_are_cut_off() {
    let gateway = Gateway::with(json!({"http": {"head_timeout_ms": 1_000, "body_timeout_ms": 100}})).await;
    let started = Instant::now();
    let mut head = TcpStream::connect(gateway.http).await.unwrap();
    head.write_all(b"GET /health HTTP/1.1\r\nHost:").await.unwrap();
    let mut rest = Vec::new();
    timeout(Duration::from_secs(10), head.read_to_end(&mut rest))
        .await
        .unwrap()
        .unwrap();
    let mut body = TcpStream::connect(gateway.http).await.unwrap();
    let request = format!(
        "POST /api/v1/signals HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: 1000\r\n\r\n{{",
        gateway.key
    );
    body.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = [0; 256];
    let read = timeout(Duration::from_secs(10), body.read(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    let answer = String::from_utf8_lossy(&buffer[..read]).into_owned();
    assert_eq!(status(&answer), 400, "{answer}");
    assert!(started.elapsed() < Duration::from_secs(9));
    assert!(gateway.untouched());
}
