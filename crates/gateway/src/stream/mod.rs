//! `GET /api/v1/events`: public events as server-sent events, resumable.
//!
//! Owns: one tail of the bus per gateway, its ring of the newest messages, and what a connection does with them. A
//! connection reads the ring at its own pace and has no queue of its own; one that falls behind the ring reads from the
//! broker until it is back. Must not: show an organization another one's message, or lose one in the switch.

mod catch_up;
mod connection;
mod cursor;
mod described;
mod hub;
mod open;
mod ring;

pub use described::described;
pub use open::{Parts, Streams};
