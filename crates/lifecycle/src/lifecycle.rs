//! The handle that services hold: registering tasks and checks, and stopping in order.

use std::{future::Future, sync::Arc, time::Duration};

use crate::{
    CheckHandle, LifecycleError, Liveness, Observer, OnExit, Phase, Readiness, Shutdown, TaskError, health,
    registry::Registry, signals, supervise::Seat,
};

/// One process's life. Clones and children share it; a clone is cheap.
#[derive(Clone)]
pub struct Lifecycle {
    registry: Arc<Registry>,
    /// Put before the names of tasks and checks; empty at the root.
    prefix: Arc<str>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    /// A life without an observer of panics and restarts.
    pub fn new() -> Self {
        Self::with(None)
    }

    /// A life whose panics and restarts are told to `observer`.
    pub fn with_observer(observer: Arc<dyn Observer>) -> Self {
        Self::with(Some(observer))
    }

    fn with(observer: Option<Arc<dyn Observer>>) -> Self {
        Self {
            registry: Arc::new(Registry::new(observer)),
            prefix: Arc::from(""),
        }
    }

    /// A handle on the same life whose tasks and checks are named `name/…`: several services in
    /// one process. They live and stop together.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self {
            registry: Arc::clone(&self.registry),
            prefix: Arc::from(format!("{}{name}/", self.prefix)),
        }
    }

    /// Registers and starts a task. The task ends itself soon after its [`Shutdown`] is
    /// requested; if it ends earlier, `on_exit` says what that means. Registered after its phase
    /// was stopped, it does not start (logged).
    pub fn spawn<F, Fut>(&self, name: &'static str, phase: Phase, on_exit: OnExit, task: F)
    where
        F: FnMut(Shutdown) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), TaskError>> + Send + 'static,
    {
        let name = self.full_name(name);
        let Some(id) = self.registry.enter(&name, phase) else {
            tracing::info!(task = %name, ?phase, "task not started: its phase has stopped");
            return;
        };
        let seat = Seat {
            registry: Arc::clone(&self.registry),
            id,
            name,
            phase,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "one of the two seams for spawning, the other is detach"
        )]
        let running = tokio::spawn(seat.supervise(on_exit, task));
        self.registry.started(id, running.abort_handle());
    }

    /// Registers and starts a task that cannot be started twice; its early end shuts down.
    pub fn spawn_once<F, Fut>(&self, name: &'static str, phase: Phase, task: F)
    where
        F: FnOnce(Shutdown) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), TaskError>> + Send + 'static,
    {
        let mut task = Some(task);
        self.spawn(name, phase, OnExit::Shutdown, move |shutdown| {
            // Taken once: `OnExit::Shutdown` never runs a task again.
            let run = task.take().map(|task| task(shutdown));
            async move {
                match run {
                    Some(run) => run.await,
                    None => Ok(()),
                }
            }
        });
    }

    /// Registers a condition of readiness, not ready at first. A second registration of a name
    /// resets it.
    pub fn register_check(&self, name: &str) -> CheckHandle {
        let handle = CheckHandle {
            registry: Arc::clone(&self.registry),
            name: self.full_name(name),
        };
        handle.set_not_ready("starting");
        handle
    }

    /// Whether traffic may come.
    pub fn readiness(&self) -> Readiness {
        self.registry.readiness()
    }

    /// The process's own state, with its tasks.
    pub fn liveness(&self) -> Liveness {
        self.registry.liveness()
    }

    /// Asks for the ordered shutdown: readiness turns false at once; the phases stop in
    /// [`Lifecycle::run`]. May be called often and from anywhere.
    pub fn shutdown(&self) {
        self.registry.stopping.cancel();
    }

    /// Completes when a shutdown has been asked for, for start-up code that can be interrupted.
    pub async fn stopping(&self) {
        self.registry.stopping.cancelled().await;
    }

    /// Completes when the ordered shutdown has ended.
    pub async fn stopped(&self) {
        self.registry.stopped.cancelled().await;
    }

    /// Installs the handlers of SIGINT and SIGTERM: the first signal is [`Lifecycle::shutdown`],
    /// a second one exits the process at once with status 130. To be called by a program that has
    /// something to clean up already while it starts; once per process.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn watch_signals(&self) -> Result<(), LifecycleError> {
        signals::watch(&self.registry)
    }

    /// [`Lifecycle::watch_signals`], then [`Lifecycle::run`].
    ///
    /// # Errors
    /// As both.
    pub async fn run_until_signal(self, budget: Duration) -> Result<(), LifecycleError> {
        self.watch_signals()?;
        self.run(budget).await
    }

    /// [`Lifecycle::shutdown`], then [`Lifecycle::run`].
    ///
    /// # Errors
    /// As [`Lifecycle::run`].
    pub async fn stop(&self, budget: Duration) -> Result<(), LifecycleError> {
        self.shutdown();
        self.run(budget).await
    }

    /// Waits until a shutdown is asked for (by call, signal, or a task's death), then stops the
    /// phases in order. Each phase has `budget` for itself; what overruns it is aborted.
    ///
    /// # Errors
    /// The first task whose death caused the shutdown, else the tasks that overran.
    pub async fn run(&self, budget: Duration) -> Result<(), LifecycleError> {
        self.stopping().await;
        tracing::info!("shutting down");
        let mut overran: Option<(Phase, Vec<String>)> = None;
        for phase in Phase::ORDER {
            let aborted = self.stop_phase(phase, budget).await;
            if !aborted.is_empty() {
                tracing::error!(?phase, tasks = ?aborted, ?budget, "tasks overran the shutdown budget");
                overran
                    .get_or_insert_with(|| (phase, Vec::new()))
                    .1
                    .extend(aborted);
            }
        }
        self.registry.stopped.cancel();
        tracing::info!("stopped");
        match (self.registry.take_death(), overran) {
            (Some(death), _) => Err(death),
            (None, Some((phase, tasks))) => Err(LifecycleError::Overran { phase, tasks }),
            (None, None) => Ok(()),
        }
    }

    /// Stops one phase and names what had to be aborted.
    async fn stop_phase(&self, phase: Phase, budget: Duration) -> Vec<String> {
        self.registry.close(phase);
        if tokio::time::timeout(budget, self.registry.emptied(phase))
            .await
            .is_ok()
        {
            return Vec::new();
        }
        let aborted = self.registry.abort(phase);
        // An aborted task ends at its next await; one that never awaits must not hold us up.
        let _ = tokio::time::timeout(ABORT_GRACE, self.registry.emptied(phase)).await;
        aborted
    }

    fn full_name(&self, name: &str) -> Arc<str> {
        Arc::from(format!("{}{name}", self.prefix))
    }
}

impl std::fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let readiness: health::Readiness = self.readiness();
        f.debug_struct("Lifecycle")
            .field("prefix", &self.prefix)
            .field("readiness", &readiness)
            .finish()
    }
}

/// How long an aborted task has to reach its next await.
const ABORT_GRACE: Duration = Duration::from_millis(200);
