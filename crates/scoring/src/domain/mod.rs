//! The rules of scoring, as values in and values out.
//!
//! Owns: what a signal adds to the roll-ups, the scoring model and its validation, the eight factors, points, tier,
//! trend. Must not: know the database, the bus, gRPC, the clock or randomness.

mod factors;
pub mod facts;
pub mod model;
pub mod pacing;
mod points;
pub mod rollup;
pub mod score;
pub mod signal;
pub mod title;
pub mod trend;
mod validate;

pub use facts::AccountFacts;
pub use model::{FactorName, Model, ModelError};
pub use score::{Factor, Score, Tier};
pub use trend::{Reference, Trend};
