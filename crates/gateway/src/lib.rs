//! The gateway: the only public side of DevSignal.
//!
//! Owns: organizations, API keys, idempotency records; authentication, rate limits, the public HTTP and gRPC servers, the
//! translation of REST to the services' gRPC, the event stream, the receivers of foreign webhooks. Must not: hold any rule
//! of a service, or know a resource by name outside of the ingest path.

pub mod access;
pub mod app;
mod audit;
mod backends;
pub mod config;
mod contract;
mod docs;
mod error;
pub mod events;
mod graphql;
mod grpc;
mod health;
mod home;
mod http;
mod idempotency;
mod ingest;
mod limits;
pub mod mail;
mod members;
mod metrics;
mod openapi;
mod receiver;
mod secrets;
mod stream;
mod transcode;
mod transfer;
pub mod webhooks;

pub use app::{Deps, Listeners, start};
pub use config::Settings;
pub use error::StartError;

/// The OpenAPI document of everything that this gateway serves, as committed in `docs/openapi.json`.
///
/// # Errors
/// The descriptors do not hold together.
pub fn openapi_document() -> Result<serde_json::Value, StartError> {
    let contract = contract::Contract::load()?;
    let routes = transcode::Routes::new(&contract)?;
    Ok(openapi::document(&contract, &routes, &app::hand_routes()))
}

/// The AsyncAPI document of the events that this gateway tells, as committed in `docs/asyncapi.json`.
///
/// # Errors
/// The descriptors do not hold together.
pub fn asyncapi_document() -> Result<serde_json::Value, StartError> {
    stream::asyncapi_document(&contract::Contract::load()?)
}

/// The GraphQL schema, as committed in `docs/schema.graphql`.
///
/// # Errors
/// The descriptors or the types do not hold together.
pub fn graphql_schema(settings: &Settings) -> Result<String, StartError> {
    let contract = contract::Contract::load()?;
    let routes = transcode::Routes::new(&contract)?;
    Ok(graphql::build(&contract, &routes, &settings.graphql)?
        .schema
        .sdl())
}

/// The gateway's schema.
pub const SCHEMA: &str = "gateway";

/// What the service does with the broker.
pub const LOGIN: eventbus::Login = eventbus::Login {
    service: SCHEMA,
    consumes: &[],
    serves_partners: true,
};

/// The gateway's migrations.
pub static MIGRATOR: sqlx::migrate::Migrator = store::migrator!("../../migrations/gateway");
