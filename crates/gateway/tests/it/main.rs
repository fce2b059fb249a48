//! The gateway with real Postgres and NATS, in front of services that note what reaches them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests"
)]

mod access;
mod bad_input;
mod events;
mod fakes;
mod grpc;
mod harness;
mod idempotency;
mod ingest;
mod rest;
mod speed;
mod surroundings;
mod transport;
