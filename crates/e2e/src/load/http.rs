//! A keep-alive HTTP/1.1 connection that costs the load generator as little as possible, because it shares the machine
//! with what it measures. Speaks only what our own gateway answers: status line, `content-length` or `chunked`, body.

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// The fixed part of a POST with a JSON body; the length and the body follow.
#[must_use]
pub fn post_head(host: &str, path: &str, api_key: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {api_key}\r\nContent-Type: application/json\r\nContent-Length: "
    )
}

/// A whole GET request.
#[must_use]
pub fn get(host: &str, path: &str, api_key: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {api_key}\r\n\r\n").into_bytes()
}

impl Connection {
    /// Connects to `host:port`.
    pub async fn open(host: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(host)
            .await
            .with_context(|| format!("cannot connect to {host}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(16 * 1024),
        })
    }

    /// Sends `head`, the body's length and the body; waits for the answer.
    pub async fn post(&mut self, head: &str, body: &[u8], scratch: &mut Vec<u8>) -> anyhow::Result<Answer> {
        scratch.clear();
        scratch.extend_from_slice(head.as_bytes());
        scratch.extend_from_slice(body.len().to_string().as_bytes());
        scratch.extend_from_slice(b"\r\n\r\n");
        scratch.extend_from_slice(body);
        self.send(scratch).await
    }

    /// Sends a whole request; waits for the answer.
    pub async fn send(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        self.stream.write_all(request).await?;
        let head_end = self
            .read_until(|buffer| buffer.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4))
            .await?;
        let head = std::str::from_utf8(&self.buffer[..head_end])
            .context("the head is not text")?
            .to_ascii_lowercase();
        let status: u16 = head.split(' ').nth(1).context("no status")?.parse()?;
        let header = |name: &str| {
            head.lines()
                .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        if let Some(length) = header("content-length") {
            let end = head_end + length.parse::<usize>()?;
            self.read_until(|buffer| (buffer.len() >= end).then_some(end))
                .await?;
            let body = self.buffer[head_end..end].to_vec();
            self.buffer.drain(..end);
            return Ok(Answer { status, body });
        }
        if header("transfer-encoding").is_none() {
            bail!("neither length nor chunks");
        }
        let end = self
            .read_until(|b| {
                b[head_end..]
                    .windows(5)
                    .position(|w| w == b"0\r\n\r\n")
                    .map(|at| head_end + at + 5)
            })
            .await?;
        let body = unchunk(&self.buffer[head_end..end])?;
        self.buffer.drain(..end);
        Ok(Answer { status, body })
    }

    async fn read_until(&mut self, done: impl Fn(&[u8]) -> Option<usize>) -> anyhow::Result<usize> {
        loop {
            if let Some(end) = done(&self.buffer) {
                return Ok(end);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
        }
    }
}

fn unchunk(mut rest: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest
            .windows(2)
            .position(|w| w == b"\r\n")
            .context("no chunk size")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line])?, 16)?;
        if size == 0 {
            return Ok(body);
        }
        let data = rest.get(line + 2..line + 2 + size).context("chunk is cut off")?;
        body.extend_from_slice(data);
        rest = &rest[line + 4 + size..];
    }
}
