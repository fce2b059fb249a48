//! What a task is given to learn that it should stop.

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Tells one task that its phase stops. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    pub(crate) fn new(token: CancellationToken) -> Self {
        Self(token)
    }

    /// Completes when the task should stop; at once if that is already so. Cancellation-safe.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }

    /// The same as a future of its own, for servers that take one.
    pub fn requested_owned(&self) -> WaitForCancellationFutureOwned {
        self.0.clone().cancelled_owned()
    }

    /// Whether the task should stop.
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// The token behind it, for code that does not know this crate. Cancelling it has no effect
    /// on other tasks.
    pub fn token(&self) -> CancellationToken {
        self.0.child_token()
    }
}
