//! Signals by HTTP: the hot path.
//!
//! Owns: handing bodies over to signal-ingest in groups, and writing its verdicts as JSON. Must not: look into a body;
//! signal-ingest alone reads and validates signals.

mod described;
mod lanes;
mod receive;
mod verdicts;

pub use described::described;
pub use receive::Ingest;
