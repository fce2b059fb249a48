//! identity-resolver: works out who did it and for which company, and tells what became known.
//!
//! Owns: which identities are one person, which traces are one company, the ids of both, and the lineage of every such
//! decision. Must not: know what else is recorded about persons and companies (that is crm's). `README.md` of this crate
//! states the rules and the contract, and names the test that holds each part of it.

pub mod app;
pub mod config;
pub mod domain;
pub mod error;
pub mod events;
mod lanes;
mod memory;
mod metrics;
pub mod resolver;
mod store;

/// The service's name: in events, logs and metrics.
pub const SERVICE: &str = "identity-resolver";

/// What the service does with the broker.
pub const LOGIN: eventbus::Login = eventbus::Login {
    service: SERVICE,
    consumes: &["signals.accepted", "people.stated", "companies.stated"],
    serves_partners: false,
};

/// The service's schema in the database.
pub const SCHEMA: &str = "identity_resolver";

/// The name under which batches are claimed; that of the consumer of `signals.accepted`.
pub const CONSUMER: &str = "identity-resolver_signals_accepted";

/// The schema's migrations, to be run with [`::store::migrate`].
pub static MIGRATOR: sqlx::migrate::Migrator = ::store::migrator!("../../migrations/identity-resolver");
