//! Following public events: server-sent events, long poll, WebSocket, gRPC; and durable subscriptions.
//!
//! Owns: one tail of the bus per gateway, its ring of the newest messages, cursors, and what a reader does with them; the
//! table `event_subscriptions`. A reader reads the ring at its own pace and has no queue of its own; one that falls behind
//! the ring reads from the broker until it is back. All interfaces read by the same reader. Must not: show an
//! organization another one's message, or lose one in the switch.

mod asyncapi;
mod catch_up;
mod cursor;
mod described;
mod frames;
mod grpc;
mod hub;
mod open;
mod query;
mod reader;
mod ring;
mod service;
mod socket;
mod sse;
mod subscriptions;
mod told;

pub use asyncapi::document as asyncapi_document;
pub use described::described;
pub use grpc::{SUBSCRIBE, Subscribe};
pub use open::{Parts, Streams};
pub use service::EventApi;
