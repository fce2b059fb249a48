//! Names whose servers are hostile.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures::future::join_all;
use outbound::{Failure, Phase, Settings};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::dns::{NameServer, Reply};
use crate::peer::{Peer, client, open_settings, post, read_request};

const LONG: Duration = Duration::from_secs(30);

async fn receiver() -> Peer {
    Peer::serve(|mut stream: TcpStream| async move {
        while read_request(&mut stream).await.is_some() {
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await
}

fn asking(server: &NameServer, settings: Settings) -> Settings {
    Settings {
        name_servers: vec![server.at],
        ..settings
    }
}

/// Names are allowed, private addresses are not: production but for the scheme.
fn only_http() -> Settings {
    Settings {
        dangerous_allow_http: true,
        ..Settings::default()
    }
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_name_with_any_address_that_is_not_public_is_never_connected_to() {
    let canary = receiver().await;
    let server = NameServer::start(|name, _| match name.split('.').next().unwrap() {
        "loopback" => Reply::Addresses(ips(&["127.0.0.1"])),
        "metadata" => Reply::Addresses(ips(&["169.254.169.254"])),
        "mixed" => Reply::Addresses(ips(&["93.184.215.14", "127.0.0.1"])),
        "mixedv6" => Reply::Addresses(ips(&["93.184.215.14", "::1"])),
        "onlyv6" => Reply::Addresses(ips(&["::1"])),
        "mapped" => Reply::Addresses(ips(&["::ffff:127.0.0.1"])),
        "nat64" => Reply::Addresses(ips(&["64:ff9b::7f00:1"])),
        "sixtofour" => Reply::Addresses(ips(&["2002:7f00:1::1"])),
        "alias" => Reply::Alias("target.example.net.", ips(&["127.0.0.1"])),
        // More than any message holds: cut off over TCP too, and then nothing of it is used.
        "too-many" => Reply::Addresses(vec!["127.0.0.1".parse().unwrap(); 10_000]),
        "many" => {
            let mut all: Vec<IpAddr> = (0..1_500_u32)
                .map(|n| IpAddr::from((0x0808_0000 + n).to_be_bytes()))
                .collect();
            all.push("127.0.0.1".parse().unwrap());
            Reply::Addresses(all)
        }
        _ => Reply::NoSuchName,
    })
    .await;
    let outbound = client(&asking(&server, only_http()));
    for name in [
        "loopback",
        "metadata",
        "mixed",
        "mixedv6",
        "onlyv6",
        "mapped",
        "nat64",
        "sixtofour",
        "alias",
        "many",
    ] {
        let url = format!("http://{name}.example.com:{}/", canary.at.port());
        let failure = outbound.send(post(&url, b"x"), LONG).await.unwrap_err();
        assert_eq!(failure, Failure::NotPublic, "{name}");
        assert!(!failure.to_string().contains("127"), "the text tells no address");
    }
    let url = format!("http://too-many.example.com:{}/", canary.at.port());
    assert_eq!(
        outbound.send(post(&url, b"x"), LONG).await.unwrap_err(),
        Failure::Dns
    );
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn failures_of_name_servers_are_told_apart_and_end_with_the_deadline() {
    let server = NameServer::start(|name, _| match name.split('.').next().unwrap() {
        "empty" => Reply::Addresses(Vec::new()),
        "broken" => Reply::ServFail,
        "silent" => Reply::Silence,
        "slow" => Reply::After(Duration::from_secs(600), Box::new(Reply::NoSuchName)),
        "garbage" => Reply::Garbage,
        _ => Reply::NoSuchName,
    })
    .await;
    let outbound = client(&asking(&server, only_http()));
    let ask = |name: &str, deadline: Duration| {
        let request = post(&format!("http://{name}.example.com/"), b"x");
        let outbound = outbound.clone();
        async move { outbound.send(request, deadline).await.unwrap_err() }
    };
    assert_eq!(ask("unknown", LONG).await, Failure::NoSuchName);
    assert_eq!(ask("empty", LONG).await, Failure::NoSuchName);
    assert_eq!(ask("broken", LONG).await, Failure::Dns);
    for name in ["silent", "slow", "garbage"] {
        let deadline = Duration::from_millis(700);
        let started = Instant::now();
        let failures = join_all((0..100).map(|_| ask(name, deadline))).await;
        let took = started.elapsed();
        println!("{name}: 100 at once ended after {took:?} of {deadline:?}");
        assert!(
            failures.iter().all(|f| *f == Failure::Timeout(Phase::Resolve)),
            "{name}: {failures:?}"
        );
        assert!(took < Duration::from_secs(20));
    }
}

#[tokio::test]
async fn a_name_goes_where_it_says_with_its_own_host_header_and_is_remembered_for_a_while() {
    let peer = Peer::serve(|mut stream: TcpStream| async move {
        if let Some((head, _)) = read_request(&mut stream).await {
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{head}",
                head.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let server = NameServer::start(|_, _| Reply::Addresses(ips(&["127.0.0.1"]))).await;
    let outbound = client(&asking(&server, open_settings()));
    let url = format!("http://Hook.Example.COM.:{}/x", peer.at.port());
    let answer = outbound.send(post(&url, b"x"), LONG).await.unwrap();
    let head = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(
        head.contains(&format!("host: hook.example.com:{}\r\n", peer.at.port())),
        "{head}"
    );
    assert!(server.questions() >= 1);
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_does_not_answer() {
    let peer = receiver().await;
    // Nobody listens at that port of the first one.
    let server = NameServer::start(|_, _| Reply::Addresses(ips(&["127.0.0.9", "127.0.0.1"]))).await;
    let outbound = client(&asking(&server, open_settings()));
    let url = format!("http://two.example.com:{}/", peer.at.port());
    let answer = outbound.send(post(&url, b"x"), LONG).await.unwrap();
    assert_eq!(answer.status.as_u16(), 204);
}
