//! How many single signals pass per second, with a service that does nothing. A measurement, not a test:
//! `cargo nextest run --release -p gateway --run-ignored only speed --no-capture`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::harness::Gateway;

/// One connection of a client thread.
struct Connection {
    socket: TcpStream,
    sent: Instant,
}

/// Drives `connections` in turn on one thread: write to all, then read from all.
fn drive(
    http: SocketAddr,
    request: &[u8],
    connections: usize,
    done: &AtomicU64,
    stop: &AtomicBool,
) -> Vec<u64> {
    let mut all: Vec<_> = (0..connections)
        .map(|_| {
            let socket = TcpStream::connect(http).unwrap();
            socket.set_nodelay(true).unwrap();
            Connection {
                socket,
                sent: Instant::now(),
            }
        })
        .collect();
    let (mut micros, mut buffer) = (Vec::new(), [0; 4096]);
    while !stop.load(Ordering::Relaxed) {
        for connection in &mut all {
            connection.sent = Instant::now();
            connection.socket.write_all(request).unwrap();
        }
        for connection in &mut all {
            let read = connection.socket.read(&mut buffer).unwrap();
            assert!(
                buffer[..read].starts_with(b"HTTP/1.1 202"),
                "{}",
                String::from_utf8_lossy(&buffer[..read])
            );
            micros.push(u64::try_from(connection.sent.elapsed().as_micros()).unwrap());
        }
        done.fetch_add(u64::try_from(connections).unwrap(), Ordering::Relaxed);
    }
    micros
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn ingest_throughput() {
    let gateway = Gateway::start().await;
    let body = format!(
        r#"{{"type":"package_install","actor":{{"email":"dev@acme.com"}},"metadata":{{"x":"{}"}}}}"#,
        "y".repeat(250)
    );
    let request = Arc::new(
        format!(
            "POST /api/v1/signals HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            gateway.key,
            body.len()
        )
        .into_bytes(),
    );
    let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (request, done, stop) = (Arc::clone(&request), Arc::clone(&done), Arc::clone(&stop));
            let http = gateway.http;
            std::thread::spawn(move || drive(http, &request, 32, &done, &stop))
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, started) = (done.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let count = done.load(Ordering::Relaxed) - before;
    let per_second = count / u64::try_from(started.elapsed().as_millis()).unwrap().max(1) * 1000;
    stop.store(true, Ordering::Relaxed);
    let mut micros: Vec<u64> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
    micros.sort_unstable();
    let groups = gateway.seen.groups.load(Ordering::Relaxed);
    let total = usize::try_from(done.load(Ordering::Relaxed)).unwrap();
    println!(
        "{per_second} requests/s, p50 {} us, p99 {} us, {} requests per call",
        micros[micros.len() / 2],
        micros[micros.len() * 99 / 100],
        total / groups.max(1)
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn idle_stream_memory() {
    const STREAMS: usize = 1_000;
    let gateway = Gateway::start().await;
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        gateway.key
    );
    let open = || {
        let mut socket = TcpStream::connect(gateway.http).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let read = socket.read(&mut [0; 1024]).unwrap();
        assert!(read > 0);
        socket
    };
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(open());
    let before = resident_kib();
    let streams: Vec<_> = (0..STREAMS).map(|_| open()).collect();
    tokio::time::sleep(Duration::from_secs(12)).await;
    println!(
        "{} KiB per idle stream",
        (resident_kib() - before) / streams.len()
    );
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
