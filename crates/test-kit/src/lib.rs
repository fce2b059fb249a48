//! What tests of every crate share: a real Postgres and a real nats-server, a fresh database, and
//! waiting without sleeping.
//!
//! Must not be a dependency of product code; only `[dev-dependencies]` and `e2e` name it.

mod database;
mod stack;
mod stores;
mod wait;

pub use database::{TestDatabase, ensure_template};
pub use stack::{STACK_VARIABLE, Servers, TestStack, unique_prefix};
pub use stores::{TEST_PASSWORD, TestStores, database_settings};
pub use wait::wait_for;
