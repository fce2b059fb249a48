//! Layered configuration: built-in defaults, an optional file, the environment, overrides.
//!
//! Owns the order of the layers, the refusal of unknown keys and the [`Secret`] type. It must not
//! know any service's settings: those are structs of the services, and it must not read the
//! process environment by itself except through [`process_env`].

mod error;
mod layers;
mod load;
mod secret;

pub use error::SettingsError;
pub use load::{Validate, load, process_env};
pub use secret::Secret;
