//! Short sections that must finish although their caller goes away.

use std::{future::Future, panic::AssertUnwindSafe};

use futures::FutureExt as _;
use tokio::task::JoinHandle;

/// Runs a short, bounded section on its own, so that dropping the caller cannot cut it in half
/// (a transaction's begin, for instance). Not for anything that loops or waits for shutdown: that
/// is [`crate::Lifecycle::spawn`]. A panic is logged with the name and reported by the handle.
pub fn detach<T: Send + 'static>(
    name: &'static str,
    section: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let watched = async move {
        match AssertUnwindSafe(section).catch_unwind().await {
            Ok(value) => value,
            Err(payload) => {
                let message = crate::supervise::panic_message(&*payload);
                tracing::error!(section = name, %message, "detached section panicked");
                std::panic::resume_unwind(payload)
            }
        }
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "one of the two seams for spawning, the other is Lifecycle::spawn"
    )]
    tokio::spawn(watched)
}
