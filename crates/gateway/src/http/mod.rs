//! The public HTTP server: what surrounds every request, whoever answers it.
//!
//! Owns: request ids, problem documents, security headers, authentication, reading of bodies, the choice of the handler.
//! Must not: know what a request means.

mod answer;
mod auth;
mod body;
mod by_hand;
mod context;
mod dispatch;
mod headers;
mod server;
mod version;

pub use answer::{json, problem};
pub use body::{Limits as BodyLimits, json_body, raw_body};
pub use by_hand::{ByHand, HandRoutes};
pub use context::Context;
pub use dispatch::{AUDIT_EXPORT, Edge, JWKS};
pub use headers::{idempotency_key, invalid_header, no_parameters, unknown_parameter};
pub use server::serve_public;
pub use version::{NEWEST, VERSIONS, pinned};

/// The media type of all answers that are not problems or streams.
pub const JSON: &str = "application/json";
