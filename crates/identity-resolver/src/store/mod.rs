//! What the resolver knows, in Postgres: set-based statements, one file per operation.
//!
//! Every function works in the caller's transaction for one organization. Must not: decide anything.

mod decode;
pub mod epochs;
mod load;
mod load_accounts;
mod write;
mod write_accounts;

pub use load::{Wanted, load};
pub use write::write;
