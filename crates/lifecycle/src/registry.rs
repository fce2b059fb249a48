//! The process's one table of tasks and checks, shared by all handles.
//!
//! Invariant: a task is in the table from before its first poll until after its last, so an empty
//! phase is a stopped phase. A phase that was closed takes no new task.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, task::AbortHandle};
use tokio_util::sync::CancellationToken;

use crate::{Check, LifecycleError, Liveness, Observer, Phase, Readiness, TaskState, TaskStatus};

pub(crate) struct Registry {
    state: Mutex<State>,
    /// Woken whenever a task leaves the table.
    left: Notify,
    /// Shutdown was requested.
    pub(crate) stopping: CancellationToken,
    /// The ordered shutdown has ended.
    pub(crate) stopped: CancellationToken,
    phases: [CancellationToken; 3],
    pub(crate) observer: Option<Arc<dyn Observer>>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    tasks: HashMap<u64, Entry>,
    /// Name to the reason why it is not ready.
    checks: BTreeMap<Arc<str>, Option<String>>,
    first_death: Option<LifecycleError>,
}

struct Entry {
    name: Arc<str>,
    phase: Phase,
    state: TaskState,
    restarts: u64,
    /// Absent between the entry and the start.
    abort: Option<AbortHandle>,
}

impl Registry {
    pub(crate) fn new(observer: Option<Arc<dyn Observer>>) -> Self {
        Self {
            state: Mutex::default(),
            left: Notify::new(),
            stopping: CancellationToken::new(),
            stopped: CancellationToken::new(),
            phases: std::array::from_fn(|_| CancellationToken::new()),
            observer,
        }
    }

    pub(crate) fn phase_token(&self, phase: Phase) -> &CancellationToken {
        match phase {
            Phase::Edge => &self.phases[0],
            Phase::Work => &self.phases[1],
            Phase::Base => &self.phases[2],
        }
    }

    /// Enters a task that is about to start, or refuses because its phase has been closed. Under
    /// the same lock as [`Registry::close`], so that closing sees either the task or no task.
    pub(crate) fn enter(&self, name: &Arc<str>, phase: Phase) -> Option<u64> {
        let mut state = self.state.lock();
        if self.phase_token(phase).is_cancelled() {
            return None;
        }
        let id = state.next_id;
        state.next_id += 1;
        let entry = Entry {
            name: Arc::clone(name),
            phase,
            state: TaskState::Running,
            restarts: 0,
            abort: None,
        };
        state.tasks.insert(id, entry);
        Some(id)
    }

    /// The entered task has started.
    pub(crate) fn started(&self, id: u64, abort: AbortHandle) {
        if let Some(entry) = self.state.lock().tasks.get_mut(&id) {
            entry.abort = Some(abort);
        }
    }

    pub(crate) fn leave(&self, id: u64) {
        self.state.lock().tasks.remove(&id);
        self.left.notify_waiters();
    }

    pub(crate) fn set_state(&self, id: u64, task_state: TaskState) {
        if let Some(entry) = self.state.lock().tasks.get_mut(&id) {
            entry.state = task_state;
            if task_state == TaskState::Restarting {
                entry.restarts += 1;
            }
        }
    }

    /// Records that a task's end brings the process down; the first such end is the reason.
    pub(crate) fn die(&self, task: &str, reason: String) {
        self.state
            .lock()
            .first_death
            .get_or_insert_with(|| LifecycleError::TaskEnded {
                task: task.to_owned(),
                reason,
            });
        self.stopping.cancel();
    }

    pub(crate) fn take_death(&self) -> Option<LifecycleError> {
        self.state.lock().first_death.take()
    }

    /// Asks the phase to stop and lets nothing new into it.
    pub(crate) fn close(&self, phase: Phase) {
        let _entering_is_over = self.state.lock();
        self.phase_token(phase).cancel();
    }

    /// Completes when no task of the phase is left.
    pub(crate) async fn emptied(&self, phase: Phase) {
        loop {
            let left = self.left.notified();
            if !self.state.lock().tasks.values().any(|t| t.phase == phase) {
                return;
            }
            left.await;
        }
    }

    /// Aborts what is left of a phase and names it.
    pub(crate) fn abort(&self, phase: Phase) -> Vec<String> {
        let state = self.state.lock();
        let mut names: Vec<String> = state
            .tasks
            .values()
            .filter(|task| task.phase == phase)
            .map(|task| {
                if let Some(abort) = &task.abort {
                    abort.abort();
                }
                task.name.to_string()
            })
            .collect();
        names.sort();
        names
    }

    pub(crate) fn set_check(&self, name: &Arc<str>, not_ready: Option<String>) {
        self.state.lock().checks.insert(Arc::clone(name), not_ready);
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let checks: Vec<Check> = self
            .state
            .lock()
            .checks
            .iter()
            .map(|(name, reason)| Check {
                name: name.to_string(),
                ready: reason.is_none(),
                reason: reason.clone(),
            })
            .collect();
        let shutting_down = self.stopping.is_cancelled();
        Readiness {
            ready: !shutting_down && checks.iter().all(|check| check.ready),
            shutting_down,
            checks,
        }
    }

    pub(crate) fn liveness(&self) -> Liveness {
        let mut tasks: Vec<TaskStatus> = self
            .state
            .lock()
            .tasks
            .values()
            .map(|task| TaskStatus {
                name: task.name.to_string(),
                phase: task.phase,
                state: task.state,
                restarts: task.restarts,
            })
            .collect();
        tasks.sort_by(|a, b| a.name.cmp(&b.name));
        Liveness {
            alive: !self.stopped.is_cancelled(),
            tasks,
        }
    }
}
