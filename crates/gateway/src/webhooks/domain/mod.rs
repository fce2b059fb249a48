//! What is pure about webhooks: when to try again, what fits a filter, how a delivery is signed, what an endpoint may be.
//!
//! Must not: do I/O, read a clock, or draw randomness.

pub mod filter;
pub mod headers;
pub mod outcome;
pub mod schedule;
pub mod signature;
pub mod stats;
pub mod thin;
pub mod types;
#[cfg(test)]
mod verified_elsewhere;
