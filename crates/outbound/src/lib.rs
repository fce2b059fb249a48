//! HTTP requests to addresses that strangers chose.
//!
//! Owns the judgement of URLs and addresses ([`address`], [`Target`]), the resolving, connecting and
//! TLS of requests to them, and every bound on what such a peer can make us do or keep. It must not
//! know why a request is made, must not repeat one, and must not follow where an answer points.

pub mod address;
mod answer;
mod client;
mod connect;
mod failure;
mod meter;
mod pool;
mod resolve;
mod settings;
mod target;
mod text;
mod wire;

pub use answer::{Answer, Request, header_may_be_set};
pub use client::Client;
pub use failure::{Failure, Phase, TlsProblem};
pub use settings::{Policy, Settings, SettingsProblem};
pub use target::{MAX_URL_BYTES, Target, TargetError};
