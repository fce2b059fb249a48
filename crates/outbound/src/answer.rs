//! What is sent and what came back.
//!
//! Owns the two shapes and which headers a caller may set. It must not read or write a connection.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};

use crate::Target;

/// One request. The body is sent as it is, with its length.
#[derive(Debug, Clone)]
pub struct Request {
    /// Usually `POST`.
    pub method: Method,
    /// Where to.
    pub target: Target,
    /// See [`header_may_be_set`]; others fail the request.
    pub headers: HeaderMap,
    /// May be empty.
    pub body: Bytes,
}

/// One answer. A redirect is an answer like any other.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Any status except informational ones.
    pub status: StatusCode,
    /// Bounded in number and bytes.
    pub headers: HeaderMap,
    /// As it came: compressed bodies are not unpacked.
    pub body: Bytes,
    /// Whether there was more of the body than is read.
    pub truncated: bool,
    /// From the call to the last byte that was read.
    pub took: Duration,
}

/// Whether a caller may set the header. Not those that frame the message, name the receiver or speak to
/// the next hop: with them one request could be read as two, or as one to somebody else.
#[must_use]
pub fn header_may_be_set(name: &HeaderName) -> bool {
    const OURS: &[HeaderName] = &[
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
        header::EXPECT,
        header::PROXY_AUTHORIZATION,
        header::PROXY_AUTHENTICATE,
    ];
    !OURS.contains(name)
        && !matches!(
            name.as_str(),
            "keep-alive" | "proxy-connection" | "http2-settings"
        )
}
