//! The contract of `lifecycle`: phases in order, what a death means, readiness, signals.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod policies;
mod process;
mod stopping;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

/// Long enough to never be reached by a test that passes.
const BUDGET: Duration = Duration::from_secs(20);

/// What happened, in order.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    fn write(&self, line: impl Into<String>) {
        self.0.lock().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

/// Waits for a condition; a deadline makes a failure readable instead of a hang.
async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let reached = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BUDGET, reached)
        .await
        .unwrap_or_else(|_| panic!("not reached: {what}"));
}
