//! The contract of the store, on a real Postgres.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod bootstrap_and_migrations;
mod catalog;
mod dead_letters;
mod frozen_backends;
mod inbox;
mod leadership;
mod list_requests;
mod lists;
mod outages;
mod outbox;
mod partitions;
mod poisoned_connections;
mod support;
mod tenancy;
mod transactions;
