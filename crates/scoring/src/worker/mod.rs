//! Re-scoring: a loop per process, any number of processes.
//!
//! Owns the rounds: claim what is due, load, compute, store, tell. Must not hold any rule of scoring (that is `domain`).

mod compute;
mod run;
mod scorer;

pub use run::{prune, run};
pub(crate) use scorer::chain;
pub use scorer::{Scorer, ScorerDeps};
