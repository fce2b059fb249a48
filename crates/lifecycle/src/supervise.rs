//! The loop around one registered task: run, catch, judge by policy, restart.

use std::{any::Any, future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use tokio::time::Instant;

use crate::{Backoff, OnExit, Phase, Shutdown, TaskError, TaskState, registry::Registry};

/// One task's place in the registry; leaves it on drop, also when the task is aborted.
pub(crate) struct Seat {
    pub(crate) registry: Arc<Registry>,
    pub(crate) id: u64,
    pub(crate) name: Arc<str>,
    pub(crate) phase: Phase,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.registry.leave(self.id);
    }
}

/// How one run of a task ended.
enum End {
    Returned,
    Failed(String),
    Panicked(String),
}

impl Seat {
    /// Runs the task until it has ended for good.
    pub(crate) async fn supervise<F, Fut>(self, on_exit: OnExit, mut task: F)
    where
        F: FnMut(Shutdown) -> Fut,
        Fut: Future<Output = Result<(), TaskError>>,
    {
        let shutdown = Shutdown::new(self.registry.phase_token(self.phase).clone());
        let mut failures = 0u32;
        loop {
            let started = Instant::now();
            let end = self.run_once(&mut task, shutdown.clone()).await;
            if shutdown.is_requested() {
                self.log_end_in_shutdown(&end);
                return;
            }
            let OnExit::Restart { backoff } = on_exit else {
                self.judge(on_exit, end);
                return;
            };
            failures = failures_after(failures, started.elapsed(), backoff);
            let pause = backoff.pause(failures);
            tracing::warn!(task = %self.name, reason = %end.reason(), ?pause, "task ended and restarts");
            self.registry.set_state(self.id, TaskState::Restarting);
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(pause) => {}
            }
            self.registry.set_state(self.id, TaskState::Running);
            if let Some(observer) = &self.registry.observer {
                observer.task_restarted(&self.name);
            }
        }
    }

    async fn run_once<F, Fut>(&self, task: &mut F, shutdown: Shutdown) -> End
    where
        F: FnMut(Shutdown) -> Fut,
        Fut: Future<Output = Result<(), TaskError>>,
    {
        // Unwind-safe: after a panic the run's own state is dropped, never looked at again.
        let run = AssertUnwindSafe(async { task(shutdown).await }).catch_unwind();
        match run.await {
            Ok(Ok(())) => End::Returned,
            Ok(Err(error)) => End::Failed(chain(&*error)),
            Err(payload) => {
                let message = panic_message(&*payload);
                tracing::error!(task = %self.name, %message, "task panicked");
                if let Some(observer) = &self.registry.observer {
                    observer.task_panicked(&self.name);
                }
                End::Panicked(message)
            }
        }
    }

    fn judge(&self, on_exit: OnExit, end: End) {
        // While earlier phases stop, a later task may run out of work and return.
        let may_return = on_exit == OnExit::Finish || self.registry.stopping.is_cancelled();
        if may_return && matches!(end, End::Returned) {
            tracing::debug!(task = %self.name, "task finished");
            return;
        }
        let reason = end.reason();
        tracing::error!(task = %self.name, %reason, "task ended before shutdown; the process stops");
        self.registry.die(&self.name, reason);
    }

    fn log_end_in_shutdown(&self, end: &End) {
        match end {
            End::Returned => tracing::debug!(task = %self.name, "task stopped"),
            End::Failed(_) | End::Panicked(_) => {
                tracing::warn!(task = %self.name, reason = %end.reason(), "task failed while stopping");
            }
        }
    }
}

impl End {
    fn reason(&self) -> String {
        match self {
            Self::Returned => "it returned".to_owned(),
            Self::Failed(chain) => chain.clone(),
            Self::Panicked(message) => format!("panic: {message}"),
        }
    }
}

/// Consecutive failures, counting this one; a long run starts the count anew.
fn failures_after(before: u32, lasted: Duration, backoff: Backoff) -> u32 {
    if lasted > backoff.max {
        1
    } else {
        before.saturating_add(1)
    }
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
