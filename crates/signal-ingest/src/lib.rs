//! signal-ingest: takes signals in, records what they were resolved to, and answers questions about them.
//!
//! Owns the stages accept and record, the sources, and the tables of both. Must not: decide who a person or a company
//! is. `README.md` of this crate states the contract and names the test that holds each part of it.

pub mod api;
pub mod app;
mod burst;
pub mod config;
pub mod domain;
pub mod error;
pub mod events;
pub mod github;
pub mod intake;
mod maintenance;
pub mod metrics;
pub mod sources;
pub mod store;

/// The service's name: in events, logs and metrics.
pub const SERVICE: &str = "signal-ingest";

/// What the service does with the broker.
pub const LOGIN: eventbus::Login = eventbus::Login {
    service: SERVICE,
    consumes: &["signals.resolved", "identity.merged", "identity.account_linked"],
    serves_partners: false,
};

/// The service's schema in the database.
pub const SCHEMA: &str = "signal_ingest";

/// The schema's migrations, to be run with [`::store::migrate`].
pub static MIGRATOR: sqlx::migrate::Migrator = ::store::migrator!("../../migrations/signal-ingest");
