//! The gateway with real Postgres and NATS, in front of services that note what reaches them.

mod access;
mod bad_input;
mod events;
mod fakes;
mod grpc;
mod harness;
mod idempotency;
mod ingest;
mod rest;
mod surroundings;
mod transport;
