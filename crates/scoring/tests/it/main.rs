//! scoring on a real Postgres and a real nats-server.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod api;
mod decay;
mod facts;
mod harness;
mod laws;
mod models;
mod moves;
mod orders;
mod pipeline;
mod plans;
mod reference;
mod rollups;
mod schedule;
mod scores;
mod tenancy;
mod told_companies;
mod told_people;
