//! Threads for what may wait: when one process runs everything and the machine is saturated, signals are accepted first
//! and worked off later. With capacity to spare, nothing waits.
//!
//! Owns: a runtime whose threads run at a lower priority. Must not: know what runs there.

use tokio::runtime::{Builder, Handle, Runtime};

/// How much lower: the scheduler gives these threads about a tenth of what the others get while both want to run.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// The runtime; its tasks are dropped with it.
#[derive(Debug)]
pub struct Background {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Background {
    /// Starts the threads.
    pub fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .thread_name("background")
            .on_thread_start(step_back)
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Where to spawn.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Background {
    /// A runtime must not be waited for from within another.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// On Linux a thread has a priority of its own; elsewhere it would be the whole process.
fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::warn!(%error, "background work runs at the usual priority");
    }
}
