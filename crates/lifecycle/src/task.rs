//! What a registered task is: its phase, what its end means, and who hears of its failures.

use std::time::Duration;

use serde::Serialize;

/// How a task reports its own failure. `anyhow::Error` and every `std` error convert into it.
pub type TaskError = Box<dyn std::error::Error + Send + Sync>;

/// When a task is asked to stop. Phases stop in this order, each after the one before has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Servers: stop accepting, answer what was accepted.
    Edge,
    /// Consumers, relays, batch lanes: finish what is in hand.
    Work,
    /// What the others stand on: connections, exporters, child processes.
    Base,
}

impl Phase {
    /// All phases in the order in which they stop.
    pub const ORDER: [Self; 3] = [Self::Edge, Self::Work, Self::Base];
}

/// What the end of a task before its shutdown (return, error or panic) means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExit {
    /// The process shuts down in order and reports the task.
    Shutdown,
    /// The task starts again after a pause.
    Restart {
        /// How long the pauses are.
        backoff: Backoff,
    },
    /// `Ok` is a regular end (a task with an end of its own); an error or a panic shuts down.
    Finish,
}

impl OnExit {
    /// Restart with the usual pauses, see [`Backoff::default`].
    pub fn restart() -> Self {
        Self::Restart {
            backoff: Backoff::default(),
        }
    }
}

/// Pauses between restarts: doubling from `initial` to `max`, and back to `initial` once a run has
/// lasted longer than `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub initial: Duration,
    /// The longest pause.
    pub max: Duration,
}

impl Default for Backoff {
    /// 100 ms doubling to 30 s: quick after a blip, no busy loop against a dead dependency.
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// The pause before restart number `failures` (1 is the first).
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
        self.initial.saturating_mul(doubled).min(self.max)
    }
}

/// Hears of what should be counted; a service maps it to metrics. Called on the task's own
/// thread, so it must return at once.
pub trait Observer: Send + Sync {
    /// A task panicked.
    fn task_panicked(&self, task: &str);
    /// A task is about to start again.
    fn task_restarted(&self, task: &str);
}
