//! REST from descriptors: an annotated method is an endpoint, with no code of its own here.
//!
//! Owns: routes, requests from path, query and JSON, answers as JSON, and the conventions that hold for every endpoint
//! (ids, unknown fields, sparse answers, ETags, idempotency keys). Must not: know any message or service by name.

mod answer;
mod call;
mod conditional;
mod field_value;
mod json;
mod message;
mod output;
mod path;
mod query;
mod routes;
mod sparse;
mod transcoder;

pub use answer::Answer;
pub use json::Json;
pub use output::to_json;
pub use query::decode_parameter;
pub use transcoder::Transcoder;
