//! How a process's life can end badly.

use crate::Phase;

/// Why a run did not end well. Several deaths: the first one is reported, the others are logged.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// A task ended before shutdown and its policy brings the process down.
    #[error("task `{task}` ended before shutdown: {reason}")]
    TaskEnded {
        /// The task's name, with the names of its lifecycles in front (`crm/relay`).
        task: String,
        /// Its error chain, its panic message, or that it just returned.
        reason: String,
    },
    /// Tasks did not stop within their phase's budget and were aborted.
    #[error("tasks {tasks:?} of phase {phase:?} overran the shutdown budget and were aborted")]
    Overran {
        /// The first phase that overran.
        phase: Phase,
        /// The names of the aborted tasks, of all phases.
        tasks: Vec<String>,
    },
    /// The handlers of SIGINT and SIGTERM could not be installed.
    #[error("signal handlers cannot be installed")]
    Signals(#[source] std::io::Error),
}
