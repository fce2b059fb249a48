//! The usual way: what is sent, what comes back, when a connection is used again.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use outbound::{Failure, Settings, TargetError};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::peer::{Peer, client, open_settings, post, read_request};

const LONG: Duration = Duration::from_secs(30);

/// Answers every request of a connection with what it was sent.
async fn echo(mut stream: TcpStream) {
    while let Some((head, body)) = read_request(&mut stream).await {
        let answer = [head.as_bytes(), body.as_slice()].concat();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-a: 1\r\nx-a: 2\r\n\r\n",
            answer.len()
        );
        stream
            .write_all(&[head.as_bytes(), &answer].concat())
            .await
            .unwrap();
    }
}

/// Answers every connection once with these bytes and closes it.
async fn once(answer: Vec<u8>) -> Peer {
    Peer::serve(move |mut stream: TcpStream| {
        let answer = answer.clone();
        async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(&answer).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_request_arrives_as_it_was_given_with_host_and_length() {
    let peer = Peer::serve(echo).await;
    let mut request = post(&peer.url("/hook/a?b=c"), b"{\"x\":1}");
    request
        .headers
        .insert("webhook-id", HeaderValue::from_static("msg_1"));
    let answer = client(&open_settings()).send(request, LONG).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers.get_all("x-a").iter().count(), 2);
    assert!(!answer.truncated && answer.took < LONG);
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook/a?b=c HTTP/1.1\r\n"), "{head}");
    let lines: Vec<&str> = head.lines().skip(1).collect();
    for expected in [
        format!("host: {}", peer.at),
        "content-length: 7".into(),
        "webhook-id: msg_1".into(),
    ] {
        assert!(lines.contains(&expected.as_str()), "{expected} in {head}");
    }
    assert!(
        head.contains("user-agent: DevSignal/")
            && !head.contains("accept-encoding")
            && !head.contains("cookie")
    );
    assert_eq!(body, "{\"x\":1}");
}

#[tokio::test]
async fn a_connection_is_used_again_and_only_while_it_is_young_and_open() {
    let peer = Peer::serve(echo).await;
    let outbound = client(&open_settings());
    for _ in 0..20 {
        outbound.send(post(&peer.url("/"), b"x"), LONG).await.unwrap();
    }
    assert_eq!(peer.connections(), 1);
    assert_eq!(outbound.idle_connections(), 1);

    let settings = Settings {
        idle_per_origin: 0,
        ..open_settings()
    };
    let never = client(&settings);
    for _ in 0..3 {
        never.send(post(&peer.url("/"), b"x"), LONG).await.unwrap();
    }
    assert_eq!((peer.connections(), never.idle_connections()), (4, 0));

    let settings = Settings {
        max_connection_age_secs: 0,
        ..open_settings()
    };
    let aged = client(&settings);
    for _ in 0..3 {
        aged.send(post(&peer.url("/"), b"x"), LONG).await.unwrap();
    }
    assert_eq!(peer.connections(), 7);
}

#[tokio::test]
async fn a_peer_that_closes_after_each_answer_harms_no_request() {
    let peer = once(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec()).await;
    let outbound = client(&open_settings());
    for _ in 0..50 {
        match outbound.send(post(&peer.url("/"), b"x"), LONG).await {
            Ok(answer) => assert_eq!(&answer.body[..], b"ok"),
            // The close was on its way when the next request was written: told, never repeated by itself.
            Err(failure) => assert_eq!(failure, Failure::Closed),
        }
    }
}

#[tokio::test]
async fn many_requests_at_once_keep_no_more_idle_connections_than_set() {
    let peer = Peer::serve(echo).await;
    let settings = Settings {
        idle_per_origin: 4,
        ..open_settings()
    };
    let outbound = client(&settings);
    let calls = (0..64).map(|_| outbound.send(post(&peer.url("/"), b"x"), LONG));
    for answer in futures::future::join_all(calls).await {
        answer.unwrap();
    }
    assert!(
        outbound.idle_connections() <= 4,
        "{}",
        outbound.idle_connections()
    );
}

#[tokio::test]
async fn redirects_are_answers_and_nobody_goes_there() {
    let canary = Peer::serve(echo).await;
    for status in [301, 302, 303, 307, 308] {
        let answer = format!(
            "HTTP/1.1 {status} X\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
            canary.url("/")
        );
        let peer = once(answer.into_bytes()).await;
        let answer = client(&open_settings())
            .send(post(&peer.url("/"), b"x"), LONG)
            .await
            .unwrap();
        assert_eq!(answer.status.as_u16(), status);
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn bodies_are_cut_at_the_bound_and_the_connection_is_dropped() {
    let limit = Settings::default().max_body_bytes;
    for (length, truncated) in [(0, false), (limit, false), (limit + 1, true), (5 * limit, true)] {
        let mut bytes = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes();
        bytes.resize(bytes.len() + length, b'y');
        let peer = once(bytes).await;
        let outbound = client(&open_settings());
        let answer = outbound.send(post(&peer.url("/"), b"x"), LONG).await.unwrap();
        assert_eq!(
            (answer.body.len(), answer.truncated),
            (length.min(limit), truncated),
            "{length}"
        );
        if truncated {
            assert_eq!(outbound.idle_connections(), 0);
        }
    }
}

#[tokio::test]
async fn headers_that_frame_or_route_a_message_cannot_be_set() {
    let peer = Peer::serve(echo).await;
    for name in [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "keep-alive",
        "proxy-authorization",
    ] {
        let mut request = post(&peer.url("/"), b"x");
        let name = HeaderName::from_static(name);
        assert!(!outbound::header_may_be_set(&name));
        request.headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("1"))]);
        let failure = client(&open_settings()).send(request, LONG).await.unwrap_err();
        assert_eq!(failure, Failure::Header(name.to_string()));
        assert!(failure.is_refusal());
    }
    let mut request = post(&peer.url("/"), b"x");
    request.method = http::Method::CONNECT;
    assert_eq!(
        client(&open_settings()).send(request, LONG).await.unwrap_err(),
        Failure::Method
    );
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn a_target_of_a_laxer_policy_is_refused_by_a_client_of_production() {
    let peer = Peer::serve(echo).await;
    let production = client(&Settings::default());
    let failure = production
        .send(post(&peer.url("/"), b"x"), LONG)
        .await
        .unwrap_err();
    assert_eq!(failure, Failure::Target(TargetError::Scheme));
    let tls = peer.url("/").replace("http:", "https:");
    let failure = production.send(post(&tls, b"x"), LONG).await.unwrap_err();
    assert_eq!(failure, Failure::Target(TargetError::NotPublic));
    assert!(failure.is_refusal());
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn networks_of_ones_own_can_be_refused_too() {
    let peer = Peer::serve(echo).await;
    let settings = Settings {
        refused_networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..open_settings()
    };
    let failure = client(&settings)
        .send(post(&peer.url("/"), b"x"), LONG)
        .await
        .unwrap_err();
    assert_eq!((failure, peer.connections()), (Failure::NotPublic, 0));
}

#[tokio::test]
async fn names_of_the_hosts_file_are_known() {
    let peer = Peer::serve(echo).await;
    let url = format!("http://localhost:{}/", peer.at.port());
    client(&open_settings())
        .send(post(&url, b"x"), LONG)
        .await
        .unwrap();
}

#[tokio::test]
async fn nobody_listening_is_told_as_such() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let failure = client(&open_settings())
        .send(post(&format!("http://{at}/"), b"x"), LONG)
        .await
        .unwrap_err();
    assert_eq!(failure, Failure::ConnectionRefused);
}
