//! The runtime on which connections live.
//!
//! HTTP is served by single-threaded runtimes of their own. A database connection belongs to the runtime that opened it,
//! so whatever touches one is run here, and is not cut in half when the client goes away.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// A handle on that runtime. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Home(Handle);

impl Home {
    /// The runtime that this is called on.
    #[must_use]
    pub fn here() -> Self {
        Self(Handle::current())
    }

    /// Runs a short, bounded section there, to its end.
    pub fn run<T: Send + 'static>(
        &self,
        name: &'static str,
        section: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let _on_it = self.0.enter();
        lifecycle::detach(name, section)
    }
}
