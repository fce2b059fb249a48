//! Who calls: organizations, API keys, and turning a key into a principal.
//!
//! Owns: the tables `organizations` and `api_keys`, the text form of keys, the cache of known keys. Must not: decide what
//! a principal may do with a record (the services do), or let a secret into a log.

mod admin;
mod authenticate;
pub mod by_hand;
mod key;

pub use admin::{NewKey, create_key, create_organization, revoke_key};
pub use authenticate::{Authenticator, Credential};
pub use key::{ApiKey, NewSecret};
