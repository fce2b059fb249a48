//! Many concurrent single calls become few bulk calls.
//!
//! While a lane's bulk call is in flight, the next group forms in the queue; a rested lane takes a
//! call at once. Owns the bounded queue and the grouping; it must not know what a call does, and
//! spawns nothing: the caller runs each [`Lane`] in a task of its own.

mod coalescer;
mod lane;
mod queue;

pub use coalescer::{CallError, Coalescer, Options};
pub use lane::Lane;
