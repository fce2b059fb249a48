//! Public events: which there are, and how one looks to whoever is told of it, by whatever interface.
//!
//! Owns: the catalogue, made from the descriptors; the one rendering of a message of the bus into events and their JSON
//! envelope; filters by type and object. Must not: know an event by name, or how events travel to a client.

mod catalogue;
mod filter;
mod render;
pub(crate) mod schema;

pub use catalogue::{Catalogue, EventType};
pub use filter::{Filter, Places};
pub use render::{Object, PublicEvent};
