//! The real servers: start, stop, kill, restart, left-overs, hostile directories.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows test functions, but not their helpers"
)]

mod nats;
mod owner;
mod postgres;
mod support;
