//! Servers that answer as a test wants.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use outbound::{Client, Policy, Request, Settings, Target};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A listener on loopback whose connections are given to one function.
pub struct Peer {
    pub at: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Peer {
    pub async fn serve<F, Fut>(handler: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(handler(stream));
            }
        });
        Self { at, connections }
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }
}

/// Reads one request: its head as text, and its body by `content-length`. `None` when the connection is over.
pub async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut chunk = [0_u8; 4096];
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let length = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    let mut body = bytes[head_end..].to_vec();
    while body.len() < length {
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => body.extend_from_slice(&chunk[..n]),
        }
    }
    Some((head, body))
}

/// What development allows.
pub const OPEN: Policy = Policy {
    allow_http: true,
    allow_private: true,
};

pub fn open_settings() -> Settings {
    Settings {
        dangerous_allow_http: true,
        dangerous_allow_private_addresses: true,
        ..Settings::default()
    }
}

pub fn client(settings: &Settings) -> Client {
    Client::new(settings).unwrap()
}

pub fn post(url: &str, body: &'static [u8]) -> Request {
    Request {
        method: http::Method::POST,
        target: Target::parse(url, &OPEN).unwrap(),
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::from_static(body),
    }
}
