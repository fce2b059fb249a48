//! The services of `devsignal.webhooks.v1`: check, call, convert.

mod deliveries;
mod draft;
mod manage;
mod parts;
mod told;
mod webhooks;

pub use parts::{Api, Parts};
