//! identity-resolver on a real Postgres and a real nats-server.

#![expect(clippy::unwrap_used, reason = "also the tests' helpers fail by panicking")]

mod catalogue;
mod concurrency;
mod harness;
mod lineage;
mod replicas;
mod service;
mod stated;
mod units;
