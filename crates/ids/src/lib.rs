//! Typed identifiers and the two seams every service takes time and randomness through.
//!
//! Owns: newtypes over UUIDv7, [`Clock`], [`IdGen`]. Must not: do I/O, or know any other crate of this workspace.

mod clock;
mod generate;
mod kinds;

pub use jiff::SignedDuration as Duration;

pub use clock::{Clock, ManualClock, SystemClock};
pub use generate::{IdGen, SeededIds, SystemIds};
pub use kinds::{
    AccountId, ActorId, ApiKeyId, BatchId, ContactId, EventId, OrgId, ParseIdError, RequestId, SignalId,
    SourceId, derived,
};
