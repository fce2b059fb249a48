//! Free ports, chosen before anything is started, so that a restarted process is where it was.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context;

/// Below the ephemeral ports: a client that reconnects while its server is down must not be given the server's port.
const RANGE: std::ops::Range<u16> = 20_000..32_000;
const ATTEMPTS: usize = 500;

/// Different ports that were free a moment ago.
pub(super) fn free<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    // Held until all are chosen.
    let taken: Vec<TcpListener> = (0..ATTEMPTS)
        .filter_map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, rand::random_range(RANGE))).ok())
        .take(N)
        .collect();
    let addresses: Vec<SocketAddr> = taken
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?;
    addresses
        .try_into()
        .ok()
        .context("there are not enough free ports")
}
