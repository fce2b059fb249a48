//! The gateway with real Postgres and NATS, in front of services that note what reaches them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests"
)]

mod access;
mod authorization;
mod bad_input;
mod contract;
mod conventions;
mod events;
mod fake_batches;
mod fakes;
mod graphql;
mod graphql_limits;
mod grpc;
mod grpc_bad_input;
mod harness;
mod hooks;
mod idempotency;
mod ingest;
mod people;
mod rest;
mod speed;
mod surroundings;
mod transport;
