//! GraphQL at `/graphql`: the same gRPC methods by the same descriptors, with relations between their records.
//!
//! Owns: the schema made from the contract, the relations, the loaders that turn many reads into few calls, the limits of a
//! query, HTTP and WebSocket around it. Must not: hold a rule of authorisation (every call carries the caller's principal, and the
//! services decide), or know a message by name outside of [`relations`].

mod arguments;
mod errors;
mod limits;
mod loader;
mod relations;
mod root;
mod schema;
mod serve;
mod socket;
mod types;

pub use schema::build;
pub use serve::{Graphql, described};
pub use socket::open;
