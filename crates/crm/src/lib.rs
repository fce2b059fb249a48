//! crm: what is recorded about companies and persons, editable, the deals with them, what is done about them, and their
//! timelines.
//!
//! Owns accounts, contacts, deals, pipelines, tasks, activities, notes, tags, own fields, and their history. Must not: decide who is who (identity-resolver does) or compute scores
//! (scoring does). `README.md` of this crate states the contract and names the test that holds each part of it.

pub mod api;
pub mod app;
mod backfill;
pub mod config;
pub mod domain;
pub mod error;
pub mod events;
pub mod metrics;
mod retention;
pub mod signals;
pub mod store;
pub mod transfer;
pub mod wire;
pub mod wire_imports;
mod wire_objects;

/// The service's name: in events, logs and metrics.
pub const SERVICE: &str = "crm";

/// What the service does with the broker.
pub const LOGIN: eventbus::Login = eventbus::Login {
    service: SERVICE,
    consumes: &[
        "contact.identified",
        "account.discovered",
        "identity.merged",
        "identity.account_linked",
        "identity.account_merged",
        "signals.recorded",
        "account.expansion_signal",
        "account.score_changed",
    ],
    serves_partners: false,
};

/// The service's schema in the database.
pub const SCHEMA: &str = "crm";

/// The schema's migrations, to be run with [`::store::migrate`].
pub static MIGRATOR: sqlx::migrate::Migrator = ::store::migrator!("../../migrations/crm");
