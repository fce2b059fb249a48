//! Idle connections, few and for a short time.
//!
//! Owns which idle connection serves which origin, and their bounds. A connection's other end was
//! vetted when it was made and cannot change; a name that moves is judged anew by the next connection.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::settings::Settings;
use crate::target::{Host, Target};
use crate::wire::Wire;

/// Scheme, host and port: what a connection may be used again for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    https: bool,
    host: Host,
    port: u16,
}

impl Origin {
    pub(crate) fn of(target: &Target) -> Self {
        Self {
            https: target.is_https(),
            host: target.place().clone(),
            port: target.port(),
        }
    }
}

struct Idle {
    wire: Wire,
    since: Instant,
}

#[derive(Default)]
struct Shelf {
    idle: HashMap<Origin, Vec<Idle>>,
    count: usize,
    swept_at: Option<Instant>,
}

/// Idle connections.
pub(crate) struct Pool {
    shelf: Mutex<Shelf>,
    per_origin: usize,
    total: usize,
    idle: Duration,
    age: Duration,
}

impl Pool {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            shelf: Mutex::new(Shelf::default()),
            per_origin: settings.idle_per_origin,
            total: settings.idle_connections,
            idle: Duration::from_millis(settings.idle_ms),
            age: Duration::from_secs(settings.max_connection_age_secs),
        }
    }

    /// The connection used last, if it is still open.
    pub(crate) async fn take(&self, origin: &Origin) -> Option<Wire> {
        loop {
            let mut wire = self.pop(origin)?;
            if wire.is_usable().await {
                return Some(wire);
            }
        }
    }

    fn pop(&self, origin: &Origin) -> Option<Wire> {
        let now = Instant::now();
        let mut shelf = self.shelf.lock();
        loop {
            let idle = shelf.idle.get_mut(origin)?.pop();
            let Some(idle) = idle else {
                shelf.idle.remove(origin);
                return None;
            };
            shelf.count -= 1;
            if self.is_fresh(&idle, now) {
                return Some(idle.wire);
            }
        }
    }

    pub(crate) fn put(&self, origin: Origin, wire: Wire) {
        let now = Instant::now();
        let mut shelf = self.shelf.lock();
        let due = shelf
            .swept_at
            .is_none_or(|at| now.duration_since(at) >= self.idle);
        if due || shelf.count >= self.total {
            self.sweep_locked(&mut shelf, now);
        }
        if shelf.count >= self.total {
            return;
        }
        let kept = shelf.idle.entry(origin).or_default();
        if kept.len() < self.per_origin {
            kept.push(Idle { wire, since: now });
            shelf.count += 1;
        }
    }

    /// Closes what was idle for too long.
    pub(crate) fn sweep(&self) {
        self.sweep_locked(&mut self.shelf.lock(), Instant::now());
    }

    pub(crate) fn len(&self) -> usize {
        self.shelf.lock().count
    }

    fn sweep_locked(&self, shelf: &mut Shelf, now: Instant) {
        shelf.swept_at = Some(now);
        let mut count = 0;
        shelf.idle.retain(|_, kept| {
            kept.retain(|idle| self.is_fresh(idle, now));
            count += kept.len();
            !kept.is_empty()
        });
        shelf.count = count;
    }

    fn is_fresh(&self, idle: &Idle, now: Instant) -> bool {
        now.duration_since(idle.since) < self.idle && now.duration_since(idle.wire.connected_at) < self.age
    }
}
