//! REST from descriptors: an annotated method is an endpoint, with no code of its own here.
//!
//! Owns: routes, requests from path, query and JSON, answers as JSON, and the conventions that hold for every endpoint
//! (ids, unknown fields, sparse answers, ETags, idempotency keys). Must not: know any message or service by name.

mod answer;
mod batch;
mod call;
mod conditional;
pub mod field_value;
mod json;
mod message;
mod output;
mod path;
mod plan;
mod prepare;
mod query;
mod routes;
mod shape;
mod sparse;
mod transcoder;

pub use answer::Answer;
pub use call::Call;
pub use conditional::IF_VERSION;
pub use json::Json;
pub use message::{fill, is_required};
pub use output::to_json;
pub use prepare::{OnBehalf, call, path_value};
pub use query::{CONTROL, allowed_of, decode_parameter};
pub use routes::{Route, Routes};
pub use transcoder::Transcoder;
