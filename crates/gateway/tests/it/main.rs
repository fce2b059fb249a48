//! The gateway with real Postgres and NATS, in front of services that note what reaches them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::too_many_lines,
    reason = "tests: they fail by panicking, their tasks end with their runtime, and tables of cases are long"
)]

mod access;
mod audit;
mod authorization;
mod bad_input;
mod broker;
mod contract;
mod conventions;
mod events;
mod fake_batches;
mod fake_transfer;
mod fakes;
mod followers;
mod following;
mod graphql;
mod graphql_limits;
mod grpc;
mod grpc_bad_input;
mod harness;
mod hooks;
mod idempotency;
mod ingest;
mod mail;
mod members;
mod nats;
mod people;
mod races;
mod rest;
mod security;
mod signing;
mod smtp;
mod speed;
mod subscriptions;
mod surroundings;
mod transfer;
mod transport;
