//! JetStream for our services: streams, relay, consumers, tails. The only user of async-nats.
//!
//! Owns: what the streams and consumers look like at the broker, the way of an outbox row to its stream, the way of a
//! message to its handler, what happens to messages that cannot be handled, and how far all this is behind. Must not:
//! know any service's events beyond their type, or be the only place where a fact exists (that is Postgres).

mod attach;
mod bus;
mod consumer;
mod error;
mod grouped;
mod login;
mod message;
mod metrics;
mod names;
mod outbox;
pub mod partners;
mod position;
mod pull;
mod relay;
mod settings;
mod stage;
mod streams;
mod tail;
mod time;

pub use bus::{Bus, StreamEdges};
pub use consumer::{ConsumerSpec, Delivery, Handler, HandlerError, spawn_consumer};
pub use error::BusError;
pub use grouped::{GroupError, GroupWork, Grouped, Grouping};
pub use login::{Login, Permissions};
pub use outbox::{enqueue, enqueue_all};
pub use position::{ParsePositionError, Position};
pub use relay::Relay;
pub use settings::BusSettings;
pub use stage::StageReporter;
pub use tail::{Tail, TailError, TailFilter, TailStart};
