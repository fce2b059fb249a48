//! signal-ingest on a real Postgres and a real nats-server, called by real gRPC.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod accept;
mod failures;
mod github;
mod harness;
mod identity;
mod lists;
mod pipeline;
mod plans;
mod record;
mod retention;
mod sources;
mod tenancy;
