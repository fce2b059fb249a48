//! The gateway: the only public side of DevSignal.
//!
//! Owns: organizations, API keys, idempotency records; authentication, rate limits, the public HTTP and gRPC servers, the
//! translation of REST to the services' gRPC, the event stream, the receivers of foreign webhooks. Must not: hold any rule
//! of a service, or know a resource by name outside of the ingest path.

pub mod access;
pub mod app;
mod backends;
pub mod config;
mod contract;
mod error;
mod grpc;
mod health;
mod home;
mod http;
mod idempotency;
mod ingest;
mod limits;
mod metrics;
mod receiver;
mod secrets;
mod stream;
mod transcode;

pub use app::{Deps, Listeners, start};
pub use config::Settings;
pub use error::StartError;

/// The gateway's schema.
pub const SCHEMA: &str = "gateway";

/// The gateway's migrations.
pub static MIGRATOR: sqlx::migrate::Migrator = store::migrator!("../../migrations/gateway");
