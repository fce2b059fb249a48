//! The security checklist, where it takes the whole system; `docs/SECURITY.md` lists the tests of all rows.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::support::cluster;

#[tokio::test(flavor = "multi_thread")]
async fn s_04_no_schema_has_a_hole_in_the_walls_between_tenants() {
    let (cluster, _) = cluster().await;
    let mut sql = cluster.sql().await.unwrap();
    for schema in devsignal::wiring::SCHEMAS {
        let violations = store::catalog::violations(&mut sql, schema).await.unwrap();
        assert_eq!(violations, Vec::<String>::new(), "{schema}");
    }
    let loose: Vec<String> = sqlx::query_scalar(
        "SELECT rolname::text FROM pg_roles WHERE (rolbypassrls OR rolsuper) \
         AND (rolname LIKE '%\\_app' OR rolname LIKE '%\\_pipeline' OR rolname LIKE '%\\_owner')",
    )
    .fetch_all(&mut sql)
    .await
    .unwrap();
    assert_eq!(loose, Vec::<String>::new());
}

/// What the server says to a line.
async fn say(lines: &[&str], port: u16) -> (String, String) {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut stream = BufReader::new(stream);
    let mut info = String::new();
    stream.read_line(&mut info).await.unwrap();
    for line in lines {
        stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
    }
    let mut told = String::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_line(&mut told));
    read.await.expect("nats-server answers").unwrap();
    (info, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn s_08_nobody_uses_the_broker_without_its_password() {
    let (cluster, _) = cluster().await;
    let url = cluster.wiring().nats_url.clone();
    let port: u16 = url
        .rsplit_once(':')
        .unwrap()
        .1
        .trim_end_matches('/')
        .parse()
        .unwrap();
    for connect in [
        r#"CONNECT {"verbose":false}"#,
        r#"CONNECT {"user":"devsignal","pass":""}"#,
        r#"CONNECT {"user":"devsignal","pass":"wrong"}"#,
        r#"CONNECT {"auth_token":"x"}"#,
    ] {
        let (info, told) = say(&[connect, "PING"], port).await;
        assert!(told.contains("Authorization Violation"), "{connect}: {told}");
        let info: serde_json::Value = serde_json::from_str(info.trim_start_matches("INFO ").trim()).unwrap();
        assert_eq!(info["auth_required"], true, "{info}");
        let version = info["version"].as_str().unwrap();
        let numbers: Vec<u32> = version.split('.').take(2).map(|n| n.parse().unwrap()).collect();
        assert!(numbers >= vec![2, 12], "{version}");
        assert!(info.get("ws_connect_urls").is_none(), "no WebSocket");
    }
}
