//! Readiness (may traffic come?) and liveness (is the process itself in order?).

use std::sync::Arc;

use serde::Serialize;

use crate::{Phase, registry::Registry};

/// One named condition of readiness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The check's name, with the names of its lifecycles in front (`crm/postgres`).
    pub name: String,
    /// Whether the condition holds.
    pub ready: bool,
    /// Why it does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whether traffic may come. False from the first moment of shutdown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Every check holds and no shutdown has begun.
    pub ready: bool,
    /// Whether a shutdown has begun.
    pub shutting_down: bool,
    /// All checks in name order.
    pub checks: Vec<Check>,
}

/// What a registered task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It runs.
    Running,
    /// It ended and waits for its restart.
    Restarting,
}

/// One registered task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskStatus {
    /// The task's name, with the names of its lifecycles in front.
    pub name: String,
    /// When it stops.
    pub phase: Phase,
    /// What it is doing.
    pub state: TaskState,
    /// How often it was started again.
    pub restarts: u64,
}

/// The process's own state. Being able to answer is liveness; `alive` turns false only when the
/// ordered shutdown has ended, so that a supervisor never kills a process that is draining.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Liveness {
    /// Whether the process still does anything.
    pub alive: bool,
    /// All registered tasks in name order.
    pub tasks: Vec<TaskStatus>,
}

/// Sets one check of readiness. The check starts as not ready ("starting") and stays registered
/// when the handle is dropped.
#[derive(Clone)]
pub struct CheckHandle {
    pub(crate) registry: Arc<Registry>,
    pub(crate) name: Arc<str>,
}

impl CheckHandle {
    /// The condition holds.
    pub fn set_ready(&self) {
        self.registry.set_check(&self.name, None);
    }

    /// The condition does not hold; the reason is shown to operators and must hold no secret.
    pub fn set_not_ready(&self, reason: impl Into<String>) {
        self.registry.set_check(&self.name, Some(reason.into()));
    }
}
