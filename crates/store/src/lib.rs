//! Postgres for one service: pools per role, tenancy, migrations, outbox, inbox, dead letters, partitions, paging.
//!
//! Owns every connection of a service to its schema. Must not: know any service's tables, or talk to the broker.
//! `README.md` of this crate states the contract and names the test that holds each part of it.

pub mod bootstrap;
pub mod catalog;
pub mod dead_letters;
mod error;
pub mod inbox;
mod leader;
pub mod list;
mod maintenance;
mod migrate;
pub mod outbox;
pub mod paging;
pub mod partitions;
mod pool;
mod retry;
mod scope;
mod settings;
mod stores;
mod tx;

pub use error::{Class, StoreError};
/// A `timestamptz` to bind and to decode: `ts.to_sqlx()` and `ts.to_jiff()`.
pub use jiff_sqlx::{Timestamp as Ts, ToSqlx};
pub use leader::Leadership;
pub use migrate::migrate;
pub use retry::{Transient, retry};
pub use scope::OrgScope;
pub use settings::DbSettings;
pub use stores::{Db, OwnerDb, PipelineDb, Stores};
pub use tx::Tx;

/// The migrations of a service, read at compile time from a folder relative to the service's `Cargo.toml`. Versions
/// start at 100: 1 to 99 are those of this crate, which [`migrate`] adds.
#[macro_export]
macro_rules! migrator {
    ($dir:literal) => {
        ::sqlx::migrate!($dir)
    };
}
