//! crm on a real Postgres, a real nats-server, and a signal-ingest that speaks real gRPC.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod accounts;
mod contacts;
mod events;
mod harness;
mod lists;
mod orders;
mod pipeline;
mod plans;
mod signals_fake;
mod speed;
mod tenancy;
mod timeline;
