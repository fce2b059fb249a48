//! Endpoints: one that answers at once and counts, and those that want our time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use ids::{Clock as _, SystemClock};
use jiff::Timestamp;
use lifecycle::{Lifecycle, OnExit, Phase};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What arrived at good endpoints.
#[derive(Default)]
pub struct Arrived {
    /// Requests.
    pub count: AtomicUsize,
    /// Since the event was told, of each request.
    pub latencies: Mutex<Vec<Duration>>,
}

/// What an endpoint does with a request.
#[derive(Clone)]
pub enum Manner {
    /// An empty 200.
    Answers(Arc<Arrived>),
    /// Not a byte.
    Hangs,
    /// A head that never ends, a line each tenth of a second.
    Drips,
    /// The connection is closed.
    Closes,
    /// A body without end, as fast as it is taken.
    Floods,
    /// 500, at once.
    Fails,
}

/// Starts an endpoint; gives its URL.
pub async fn endpoint(lifecycle: &Lifecycle, manner: Manner) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    let listener = Arc::new(listener);
    lifecycle.spawn("receiver", Phase::Base, OnExit::Finish, move |shutdown| {
        let (manner, listener) = (manner.clone(), Arc::clone(&listener));
        async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = tokio::select! {
                    accepted = listener.accept() => accepted?,
                    () = shutdown.requested() => return Ok(()),
                };
                while connections.try_join_next().is_some() {}
                let manner = manner.clone();
                connections.spawn(async move { serve(stream, &manner).await });
            }
        }
    });
    Ok(url)
}

async fn serve(mut stream: TcpStream, manner: &Manner) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let (mut buffer, mut piece) = (Vec::new(), vec![0; 16 << 10]);
    loop {
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        buffer.extend_from_slice(&piece[..read]);
        while let Some((head, whole)) = request_bytes(&buffer) {
            match manner {
                Manner::Answers(arrived) => {
                    arrived.note(&buffer[head..whole]);
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                        .await
                        .ok()?;
                }
                Manner::Hangs => std::future::pending().await,
                Manner::Closes => return None,
                Manner::Fails => stream
                    .write_all(b"HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n")
                    .await
                    .ok()?,
                Manner::Drips => loop {
                    stream.write_all(b"x-more: x\r\n").await.ok()?;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                },
                Manner::Floods => {
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n")
                        .await
                        .ok()?;
                    loop {
                        stream.write_all(&piece).await.ok()?;
                    }
                }
            }
            buffer.drain(..whole);
        }
    }
}

impl Arrived {
    fn note(&self, body: &[u8]) {
        let event: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let told = event["timestamp"]
            .as_str()
            .and_then(|at| at.parse::<Timestamp>().ok());
        if let Some(told) = told {
            let took = SystemClock.now().duration_since(told).unsigned_abs();
            self.latencies.lock().push(took);
        }
        self.count.fetch_add(1, Ordering::SeqCst);
    }
}

/// The lengths of the first request's head and of all of it, if it is there whole.
fn request_bytes(buffer: &[u8]) -> Option<(usize, usize)> {
    let head = buffer.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).ok()?.to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(Some(0), |text| text.trim().parse().ok())?;
    (buffer.len() >= head + length).then_some((head, head + length))
}
