//! A network of the test's own, where private addresses and the metadata service exist and count who comes.
//!
//! The network is a namespace made by `unshare`; the test binary runs itself inside it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use outbound::{Failure, Policy, Settings, Target};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::dns::{NameServer, Reply};
use crate::peer::{OPEN, client, read_request};
use crate::targets::SPELLINGS;

const PUBLIC: &str = "93.184.215.14";
const CANARIES: &[&str] = &[
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "203.0.113.1",
    "fd00:ec2::254",
    "fd00::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "64:ff9b::7f00:1",
    "2a00:1450::5efe:7f00:1",
];
const PORTS: &[u16] = &[80, 443, 8443];

#[test]
fn no_spelling_no_name_and_no_rebinding_reaches_a_canary() {
    let mut script = "set -e; ip link set lo up;".to_owned();
    for address in CANARIES.iter().chain([&PUBLIC]) {
        let family = if address.contains(':') { "-6 " } else { "" };
        let length = if address.contains(':') { 128 } else { 32 };
        script.push_str(&format!(" ip {family}addr add {address}/{length} dev lo;"));
    }
    if !run_in_namespace("ip link set lo up") {
        println!(
            "SKIPPED: `unshare --net` or `ip` cannot be used on this machine; the canaries were not asked"
        );
        return;
    }
    script.push_str(" exec \"$TEST_BINARY\" --exact canary::inside --ignored --nocapture");
    assert!(run_in_namespace(&script), "the test inside the namespace failed");
}

fn run_in_namespace(script: &str) -> bool {
    Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", "-c", script])
        .env("TEST_BINARY", std::env::current_exe().unwrap())
        .status()
        .is_ok_and(|status| status.success())
}

type Hits = Arc<Mutex<BTreeMap<IpAddr, usize>>>;

/// Listens on every address of the namespace and counts by the address that was connected to.
async fn listen(port: u16, hits: Hits) {
    let listener = TcpListener::bind(("::", port)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let ip = stream.local_addr().unwrap().ip().to_canonical();
            *hits.lock().unwrap().entry(ip).or_default() += 1;
            tokio::spawn(async move {
                while read_request(&mut stream).await.is_some() {
                    // Whoever followed this would be counted too.
                    let answer =
                        "HTTP/1.1 307 X\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n";
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
}

/// The name's first question is answered with a public address, every further one with a private one.
fn rebinding(name: &str, before: usize) -> Reply {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let Some((first, _)) = name.split_once('.') else {
        return Reply::NoSuchName;
    };
    if first == "rebind" {
        return Reply::Addresses(vec![ip(if before == 0 { PUBLIC } else { "169.254.169.254" })]);
    }
    if first == "flip" {
        return Reply::Addresses(vec![ip(if before.is_multiple_of(2) {
            PUBLIC
        } else {
            "10.0.0.1"
        })]);
    }
    match first.strip_prefix("c").and_then(|n| n.parse::<usize>().ok()) {
        Some(n) if n < CANARIES.len() => Reply::Addresses(vec![ip(CANARIES[n])]),
        Some(n) if n < 2 * CANARIES.len() => {
            Reply::Addresses(vec![ip(PUBLIC), ip(CANARIES[n - CANARIES.len()])])
        }
        Some(n) => Reply::Alias("inside.example.net.", vec![ip(CANARIES[n % CANARIES.len()])]),
        None => Reply::NoSuchName,
    }
}

#[test]
#[ignore = "run by `no_spelling_no_name_and_no_rebinding_reaches_a_canary` inside its namespace"]
fn inside() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let hits = Hits::default();
        for port in PORTS {
            listen(*port, hits.clone()).await;
        }
        spellings(&hits).await;
        names(&hits).await;
    });
}

fn canary_hits(hits: &Hits) -> usize {
    let public: IpAddr = PUBLIC.parse().unwrap();
    let hits = hits.lock().unwrap();
    println!("hits: {hits:?}");
    hits.iter().filter(|(ip, _)| **ip != public).map(|(_, n)| n).sum()
}

/// Every spelling that any policy lets through is sent to by a client that allows `http` and no private address.
async fn spellings(hits: &Hits) {
    let settings = Settings {
        dangerous_allow_http: true,
        ..Settings::default()
    };
    let outbound = client(&settings);
    let (mut parsed, mut refused) = (0, 0);
    let canaries = CANARIES.iter().map(|c| {
        if c.contains(':') {
            format!("[{c}]")
        } else {
            (*c).to_owned()
        }
    });
    for host in SPELLINGS.iter().map(|s| (*s).to_owned()).chain(canaries) {
        for (scheme, port) in [("http", 80), ("https", 443), ("http", 8443)] {
            let url = format!("{scheme}://{host}:{port}/latest/meta-data/");
            for policy in [OPEN, settings.policy(), Policy::default()] {
                let Ok(target) = Target::parse(&url, &policy) else {
                    refused += 1;
                    continue;
                };
                parsed += 1;
                let outcome = outbound.send(request(target), Duration::from_secs(3)).await;
                assert!(outcome.is_err(), "{url} answered");
            }
        }
    }
    println!("spellings: {refused} refused at once, {parsed} refused by the client");
    assert_eq!(canary_hits(hits), 0);
}

async fn names(hits: &Hits) {
    let server = NameServer::start(rebinding).await;
    let settings = Settings {
        dangerous_allow_http: true,
        name_servers: vec![server.at],
        // Every request asks and connects anew, and nothing is remembered longer than its TTL of 0.
        idle_per_origin: 0,
        max_dns_ttl_secs: 0,
        ..Settings::default()
    };
    let outbound = client(&settings);
    let send = |name: String| {
        let target = Target::parse(&format!("http://{name}.example.com/"), &settings.policy()).unwrap();
        let outbound = outbound.clone();
        async move { outbound.send(request(target), Duration::from_secs(5)).await }
    };
    // The first answer is public and is gone to; its redirect is not followed.
    assert_eq!(send("rebind".into()).await.unwrap().status.as_u16(), 307);
    for _ in 0..50 {
        assert_eq!(send("rebind".into()).await.unwrap_err(), Failure::NotPublic);
    }
    for n in 0..3 * CANARIES.len() {
        assert_eq!(
            send(format!("c{n}")).await.unwrap_err(),
            Failure::NotPublic,
            "c{n}"
        );
    }
    // Answers that change from question to question, two hundred at once.
    let outcomes: Vec<_> = futures::stream::iter(0..1_000)
        .map(|_| send("flip".into()))
        .buffer_unordered(200)
        .collect()
        .await;
    let reached = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(Failure::NotPublic)))
        .count();
    println!("flip: {reached} reached the public address, {refused} were refused");
    assert_eq!(reached + refused, 1_000);
    assert!(reached > 0 && refused > 0);
    assert_eq!(canary_hits(hits), 0);
}

fn request(target: Target) -> outbound::Request {
    outbound::Request {
        method: http::Method::POST,
        target,
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::from_static(b"x"),
    }
}
