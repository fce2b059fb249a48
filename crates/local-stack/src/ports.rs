//! Choice of TCP ports on 127.0.0.1. Must not hold a port: the server binds it a moment later, and
//! the caller tries again with another one when somebody was faster.

use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

use crate::StackError;

/// Below every usual ephemeral range (Linux 32768.., macOS and Windows 49152..). With a port inside
/// that range, a client that reconnects while the server is down can be given that very port as its
/// own, connect to itself, and keep the server from coming back.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// Ports tried before giving up; each try costs microseconds.
const ATTEMPTS: usize = 200;

/// How long a port that must be used is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// True when nobody listens on the port now.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A port that was free a moment ago.
pub(crate) fn pick(server: &'static str) -> Result<u16, StackError> {
    let span = u64::from(RANGE.end - RANGE.start);
    (0..ATTEMPTS)
        .filter_map(|_| u16::try_from(random() % span).ok())
        .map(|offset| RANGE.start + offset)
        .find(|port| is_free(*port))
        .ok_or(StackError::PortTaken {
            server,
            port: RANGE.start,
        })
}

/// Waits for a port that must be used.
pub(crate) async fn wait_until_free(server: &'static str, port: u16) -> Result<(), StackError> {
    let deadline = Instant::now() + PATIENCE;
    while !is_free(port) {
        if Instant::now() > deadline {
            return Err(StackError::PortTaken { server, port });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Different in every call and process; not for secrets.
fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
