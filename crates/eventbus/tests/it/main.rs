//! The event bus against a real nats-server and a real Postgres, with faults injected by killing them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod consumers;
mod faults;
mod harness;
mod partner_world;
mod partners;
mod poison;
mod regression;
mod relays;
mod speed;
mod stages;
mod streams;
mod tails;
