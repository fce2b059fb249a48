//! scoring: adds recorded signals up and tells how ready each account is, with the reasons.
//!
//! Owns roll-ups, scoring models, scores with their evidence and history. Must not: decide who is who
//! (identity-resolver does) or what is recorded about a company (crm does). `README.md` of this crate states the contract
//! and names the test that holds each part of it.

pub mod api;
pub mod app;
pub mod config;
pub mod domain;
pub mod error;
pub mod events;
pub mod metrics;
pub mod store;
pub mod wire;
pub mod worker;

/// The service's name: in events, logs and metrics.
pub const SERVICE: &str = "scoring";

/// What the service does with the broker.
pub const LOGIN: eventbus::Login = eventbus::Login {
    service: SERVICE,
    consumes: &[
        "signals.recorded",
        "identity.merged",
        "identity.account_linked",
        "contact.identified",
        "account.discovered",
        "account.created",
        "account.updated",
    ],
    serves_partners: false,
};

/// The service's schema in the database.
pub const SCHEMA: &str = "scoring";

/// The schema's migrations, to be run with [`::store::migrate`].
pub static MIGRATOR: sqlx::migrate::Migrator = ::store::migrator!("../../migrations/scoring");
