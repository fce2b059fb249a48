//! identity-resolver: works out who did it and for which company, and tells what became known.
//!
//! Owns: which identities are one person, which traces are one company, the ids of both, and the lineage of every such
//! decision. Must not: know what else is recorded about persons and companies (that is crm's).

pub mod app;
pub mod config;
pub mod domain;
pub mod error;
pub mod events;
pub mod memory;
pub mod metrics;
pub mod resolver;
pub mod store;
mod wire;

/// The service's name: in events, logs and metrics.
pub const SERVICE: &str = "identity-resolver";

/// The service's schema in the database.
pub const SCHEMA: &str = "identity_resolver";

/// The schema's migrations, to be run with [`::store::migrate`].
pub static MIGRATOR: sqlx::migrate::Migrator = ::store::migrator!("../../migrations/identity-resolver");
