//! SIGINT and SIGTERM: the first asks for the ordered shutdown, the second ends the process.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{LifecycleError, registry::Registry};

/// The exit status after a second signal: 128 + SIGINT, as shells report it.
const EXIT_ON_SECOND_SIGNAL: i32 = 130;

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Installs the handlers, from which moment on a signal no longer kills the process, and
/// watches them until the process ends.
pub(crate) fn watch(registry: &Arc<Registry>) -> Result<(), LifecycleError> {
    let mut signals = Signals {
        interrupt: signal(SignalKind::interrupt()).map_err(LifecycleError::Signals)?,
        terminate: signal(SignalKind::terminate()).map_err(LifecycleError::Signals)?,
    };
    let registry = Arc::clone(registry);
    crate::detach("signals", async move {
        signals.next().await;
        tracing::info!("signal received: shutting down; a second one exits at once");
        registry.stopping.cancel();
        tokio::select! {
            () = signals.next() => {
                tracing::warn!("second signal: exiting at once");
                std::process::exit(EXIT_ON_SECOND_SIGNAL);
            }
            () = registry.stopped.cancelled() => {}
        }
    });
    Ok(())
}
