//! Registered tasks, ordered shutdown, readiness and liveness of one process.
//!
//! Owns every long-lived task: its name, its [`Phase`], what its end means ([`OnExit`]), and the
//! order in which phases stop. It must not know what a task does, and must not export metrics by
//! itself: an [`Observer`] does.

mod detach;
mod error;
mod health;
mod lifecycle;
mod registry;
mod shutdown;
mod signals;
mod supervise;
mod task;

pub use detach::detach;
pub use error::LifecycleError;
pub use health::{Check, CheckHandle, Liveness, Readiness, TaskState, TaskStatus};
pub use lifecycle::Lifecycle;
pub use shutdown::Shutdown;
pub use task::{Backoff, Observer, OnExit, Phase, TaskError};
