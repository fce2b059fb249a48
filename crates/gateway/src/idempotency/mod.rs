//! Writes that happen once however often they are sent: `Idempotency-Key`.
//!
//! Owns: the table `idempotency_records`. A record is made before the call and completed after it. What ends in 5xx is
//! not kept; what a dead gateway left behind is taken over once its lock has run out. Must not: know HTTP.

mod once;
mod records;

pub use once::{Idempotency, Outcome, Try};
