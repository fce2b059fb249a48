//! Endpoints that want our time or our memory, a hundred at once.
//!
//! Times and memory are printed; what is asserted has wide bounds, since the machine is shared.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use outbound::{Answer, Failure, Phase, Settings};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::peer::{Peer, client, open_settings, post, read_request};

const AT_ONCE: usize = 100;
const DEADLINE: Duration = Duration::from_millis(1_000);
/// The deadline of endpoints that are given up for what they send, not for how long they take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How far a deadline may be missed before the test fails, on a machine that does other things too.
const SLACK: Duration = Duration::from_secs(10);

/// What must come of each of the hundred.
#[derive(Debug)]
enum Expected {
    Fails(&'static [Failure]),
    Answers { truncated: bool },
}

struct Case {
    name: &'static str,
    first: Vec<u8>,
    then: Then,
    expected: Expected,
}

/// What the endpoint does after its first bytes.
#[derive(Clone)]
enum Then {
    Hang,
    Close,
    Reset,
    /// The same bytes for ever, as fast as they are taken.
    Repeat(Vec<u8>),
    /// The same bytes for ever, ten times a second.
    Drip(Vec<u8>),
}

async fn endpoint(first: Vec<u8>, then: Then) -> Peer {
    let shared = Arc::new((first, then));
    Peer::serve(move |mut stream: TcpStream| {
        let shared = shared.clone();
        async move {
            if read_request(&mut stream).await.is_none() || stream.write_all(&shared.0).await.is_err() {
                return;
            }
            match &shared.1 {
                Then::Hang => std::future::pending().await,
                Then::Close => {}
                Then::Reset => stream.set_zero_linger().unwrap(),
                Then::Repeat(bytes) => while stream.write_all(bytes).await.is_ok() {},
                Then::Drip(bytes) => {
                    while stream.write_all(bytes).await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        }
    })
    .await
}

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}

fn ok(rest: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{rest}").into_bytes()
}

fn gzip_bomb() -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let body = encoder.finish().unwrap();
    let mut answer = ok(&format!(
        "content-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        body.len()
    ));
    answer.extend_from_slice(&body);
    answer
}

fn waiting() -> Vec<Case> {
    let in_head: &[Failure] = &[Failure::Timeout(Phase::Head)];
    let in_body: &[Failure] = &[Failure::Timeout(Phase::Body)];
    let case = |name, first: Vec<u8>, then, expected| Case {
        name,
        first,
        then,
        expected: Expected::Fails(expected),
    };
    vec![
        case("hangs before headers", Vec::new(), Then::Hang, in_head),
        case(
            "hangs in the status line",
            b"HTTP/1.1 2".to_vec(),
            Then::Hang,
            in_head,
        ),
        case("hangs in the headers", ok("content-le"), Then::Hang, in_head),
        case(
            "hangs after headers",
            ok("content-length: 5\r\n\r\n"),
            Then::Hang,
            in_body,
        ),
        case("drips its headers", ok("x: "), Then::Drip(b"y".to_vec()), in_head),
        case(
            "drips its body",
            ok("content-length: 500000\r\n\r\n"),
            Then::Drip(b"y".to_vec()),
            in_body,
        ),
        case(
            "drips its chunks",
            ok("transfer-encoding: chunked\r\n\r\n"),
            Then::Drip(b"1\r\ny\r\n".to_vec()),
            in_body,
        ),
        case(
            "hints for ever",
            Vec::new(),
            Then::Drip(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".to_vec()),
            in_head,
        ),
    ]
}

fn overflowing() -> Vec<Case> {
    let mut million = ok("");
    for n in 0..1_000_000 {
        million.extend_from_slice(format!("x-{n}: y\r\n").as_bytes());
    }
    million.extend_from_slice(b"\r\n");
    let long = format!("x-long: {}\r\ncontent-length: 0\r\n\r\n", "y".repeat(64 * 1024));
    let large: &[Failure] = &[Failure::HeadTooLarge];
    let closed: &[Failure] = &[Failure::Closed];
    let fails = |name, first: Vec<u8>, then, expected| Case {
        name,
        first,
        then,
        expected: Expected::Fails(expected),
    };
    let cut = |name, first: Vec<u8>, then| Case {
        name,
        first,
        then,
        expected: Expected::Answers { truncated: true },
    };
    let endless = vec![b'y'; 64 * 1024];
    let chunk = [b"10000\r\n".to_vec(), endless.clone(), b"\r\n".to_vec()].concat();
    vec![
        fails("a million headers", million, Then::Hang, large),
        fails(
            "headers for ever",
            ok(""),
            Then::Repeat(b"x-a: yyyyyyyyyyyyyyyyyyyyyyyyy\r\n".to_vec()),
            large,
        ),
        fails(
            "continues for ever",
            Vec::new(),
            Then::Repeat(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
            large,
        ),
        cut(
            "chunks of one byte for ever",
            ok("transfer-encoding: chunked\r\n\r\n"),
            Then::Repeat(b"0000000001\r\ny\r\n".to_vec()),
        ),
        fails(
            "one line for ever",
            ok("x-long: "),
            Then::Repeat(endless.clone()),
            large,
        ),
        fails("a line of 64 KiB", ok(&long), Then::Hang, large),
        fails(
            "trailers for ever",
            ok("transfer-encoding: chunked\r\n\r\n0\r\n"),
            Then::Repeat(b"x-a: y\r\n".to_vec()),
            closed,
        ),
        fails(
            "a chunk's extension for ever",
            ok("transfer-encoding: chunked\r\n\r\n5;"),
            Then::Repeat(endless.clone()),
            closed,
        ),
        cut(
            "ten gigabytes",
            ok("content-length: 10737418240\r\n\r\n"),
            Then::Repeat(endless.clone()),
        ),
        cut("a body without an end", ok("\r\n"), Then::Repeat(endless)),
        cut(
            "chunks without an end",
            ok("transfer-encoding: chunked\r\n\r\n"),
            Then::Repeat(chunk),
        ),
        // 64 MiB of zeros in 64 KiB: nothing is unpacked, so it is as small as it came.
        Case {
            name: "a gzip bomb",
            first: gzip_bomb(),
            then: Then::Hang,
            expected: Expected::Answers { truncated: false },
        },
    ]
}

fn breaking() -> Vec<Case> {
    let closed: &[Failure] = &[Failure::Closed];
    let malformed: &[Failure] = &[Failure::Malformed];
    let case = |name, first: &[u8], then, expected| Case {
        name,
        first: first.to_vec(),
        then,
        expected: Expected::Fails(expected),
    };
    vec![
        case("closes at once", b"", Then::Close, closed),
        case("resets at once", b"", Then::Reset, closed),
        case(
            "closes in the headers",
            b"HTTP/1.1 200 OK\r\ncont",
            Then::Close,
            closed,
        ),
        case(
            "resets in the body",
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
            Then::Reset,
            closed,
        ),
        case(
            "closes in the body",
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
            Then::Close,
            closed,
        ),
        case(
            "closes in a chunk",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc",
            Then::Close,
            closed,
        ),
        case(
            "is not HTTP",
            b"\x00\x01\x02 hello\r\n\r\n",
            Then::Close,
            malformed,
        ),
        case(
            "speaks HTTP/0.9",
            b"<html>hello</html>\r\n\r\n",
            Then::Close,
            malformed,
        ),
        case(
            "speaks HTTP/2",
            b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
            Then::Close,
            malformed,
        ),
        case(
            "a status of five digits",
            b"HTTP/1.1 20000 OK\r\n\r\n",
            Then::Close,
            malformed,
        ),
        case(
            "a negative length",
            b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            Then::Hang,
            malformed,
        ),
        case(
            "two lengths",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            Then::Hang,
            malformed,
        ),
        case(
            "a chunk of no size",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            Then::Hang,
            closed,
        ),
        case(
            "a chunk larger than numbers",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            Then::Hang,
            closed,
        ),
    ]
}

fn check(case: &Case, outcome: &Result<Answer, Failure>) {
    let name = case.name;
    match (&case.expected, outcome) {
        (Expected::Fails(failures), Err(failure)) => {
            assert!(failures.contains(failure), "{name}: {failure:?}")
        }
        (Expected::Answers { truncated }, Ok(answer)) => {
            assert_eq!(answer.truncated, *truncated, "{name}");
            assert!(answer.body.len() <= Settings::default().max_body_bytes, "{name}");
        }
        (expected, outcome) => panic!("{name}: expected {expected:?}, got {outcome:?}"),
    }
}

async fn run(cases: Vec<Case>, deadline: Duration) {
    let outbound = client(&open_settings());
    for case in cases {
        let peer = endpoint(case.first.clone(), case.then.clone()).await;
        let before = rss_kib();
        let started = Instant::now();
        let calls = (0..AT_ONCE).map(|_| async {
            let outcome = outbound.send(post(&peer.url("/"), b"x"), deadline).await;
            (outcome, started.elapsed())
        });
        let outcomes = join_all(calls).await;
        let grown = rss_kib().saturating_sub(before);
        let last = outcomes.iter().map(|(_, took)| *took).max().unwrap();
        println!(
            "{}: {AT_ONCE} at once, last after {last:?}, memory of both sides +{grown} KiB",
            case.name
        );
        for (outcome, took) in &outcomes {
            check(&case, outcome);
            assert!(*took < deadline + SLACK, "{}: {took:?}", case.name);
        }
        // Both sides run in this process, so this is generous to the client; 100 bodies alone are 6.4 MiB.
        assert!(grown < 64 * 1024, "{}: memory grew by {grown} KiB", case.name);
        assert_eq!(
            outbound.idle_connections(),
            if case.name == "a gzip bomb" {
                AT_ONCE.min(32)
            } else {
                0
            },
            "{}",
            case.name
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_that_let_wait_end_with_the_deadline() {
    run(waiting(), DEADLINE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_that_send_too_much_are_cut_off() {
    run(overflowing(), PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_that_break_off_or_babble_are_told_as_such() {
    run(breaking(), PATIENCE).await;
}

#[tokio::test]
async fn an_endpoint_that_never_reads_ends_with_the_deadline() {
    let peer = Peer::serve(|stream: TcpStream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let outbound = client(&open_settings());
    let body: &'static [u8] = Box::leak(vec![b'x'; 32 << 20].into_boxed_slice());
    let started = Instant::now();
    let calls = (0..AT_ONCE).map(|_| outbound.send(post(&peer.url("/"), body), DEADLINE));
    for outcome in join_all(calls).await {
        assert_eq!(outcome.unwrap_err(), Failure::Timeout(Phase::Head));
    }
    println!(
        "never reads: {AT_ONCE} at once, last after {:?}",
        started.elapsed()
    );
    assert!(started.elapsed() < DEADLINE + SLACK);
}

#[tokio::test]
async fn a_request_that_is_dropped_takes_its_connection_with_it() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let peer = Peer::serve(move |mut stream: TcpStream| {
        let tell = tell.clone();
        async move {
            tell.send("asked").unwrap();
            while read_request(&mut stream).await.is_some() {}
            tell.send("closed").unwrap();
        }
    })
    .await;
    let outbound = client(&open_settings());
    tokio::select! {
        _ = outbound.send(post(&peer.url("/"), b"x"), Duration::from_secs(600)) => panic!("answered"),
        asked = told.recv() => assert_eq!(asked, Some("asked")),
    }
    assert_eq!(told.recv().await, Some("closed"));
}
