//! The worker: leases lanes, sends what is due, records what came of it.
//!
//! A lane is one process's for some seconds, renewed while it works; of a process that dies, others take the lanes over when
//! the lease ends. What it had in flight is sent again, under the same `webhook-id`.

mod lane;
mod limits;
mod load;
mod recorder;
mod send;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lifecycle::{Lifecycle, OnExit, Phase, Shutdown, TaskError};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::metrics::HookMetrics;
use super::store::lanes::{self, Lane};
use super::{Deps, WebhookSettings};
use lane::LaneTask;
use limits::Limits;
use recorder::Recorder;
use send::Sender;

/// At shutdown, attempts in flight have as long as an attempt may take, and a little for their recording.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Lanes that read at the same time; connections are left for claims, records and the fan-out.
const LOADS: usize = 4;

/// Lanes that are leased at once, and deliveries that are read at once for each of them: memory is bounded by their product.
const CLAIMED: usize = 100;
const FIRST_LOADED: usize = 8;

/// Starts the worker and its recorder.
pub fn spawn(
    settings: &WebhookSettings,
    deps: &Arc<Deps>,
    client: outbound::Client,
    metrics: &HookMetrics,
    lifecycle: &Lifecycle,
) {
    let recorder = Recorder::start(settings, deps, metrics, lifecycle);
    let desk = Arc::new(Desk {
        deps: Arc::clone(deps),
        sender: Sender::new(settings, deps, client, metrics),
        limits: Limits::new(settings),
        lease: Duration::from_secs(settings.lease_secs),
        poll: Duration::from_millis(settings.poll_ms),
        attempt: Duration::from_millis(settings.attempt_timeout_ms),
        most: settings.max_lanes,
        metrics: metrics.clone(),
        freed: Notify::new(),
        loads: Semaphore::new(LOADS),
        recorder,
    });
    lifecycle.spawn(
        "webhook-worker",
        Phase::Work,
        OnExit::restart(),
        move |shutdown| run(Arc::clone(&desk), shutdown),
    );
}

/// What the lanes share.
pub(super) struct Desk {
    pub(super) deps: Arc<Deps>,
    pub(super) sender: Sender,
    pub(super) recorder: Recorder,
    pub(super) limits: Limits,
    pub(super) lease: Duration,
    pub(super) poll: Duration,
    pub(super) attempt: Duration,
    pub(super) most: usize,
    pub(super) metrics: HookMetrics,
    /// A lane was given back, so that another may be taken.
    pub(super) freed: Notify,
    /// Lanes that read from the database at the same time: the others wait in turn, not for a connection.
    pub(super) loads: Semaphore,
}

impl Desk {
    fn until(&self) -> (Timestamp, Timestamp) {
        let now = self.deps.clock.now();
        let lease = jiff::SignedDuration::try_from(self.lease).unwrap_or_default();
        (now, now.checked_add(lease).unwrap_or(now))
    }
}

/// The lanes of one run of the worker.
struct Lanes {
    desk: Arc<Desk>,
    me: Uuid,
    tasks: JoinSet<Lane>,
    /// Cancelled when the lease is lost, or at shutdown.
    held: HashMap<Lane, CancellationToken>,
    /// Given back together.
    finished: Vec<Lane>,
    /// Until when the leases are ours as far as we know.
    sure_until: Instant,
}

async fn run(desk: Arc<Desk>, shutdown: Shutdown) -> Result<(), TaskError> {
    let mut lanes = Lanes {
        me: desk.deps.ids.next(),
        sure_until: Instant::now() + desk.lease,
        desk: Arc::clone(&desk),
        tasks: JoinSet::new(),
        held: HashMap::new(),
        finished: Vec::new(),
    };
    let mut renew = tokio::time::interval(desk.lease / 3);
    renew.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let poke = Arc::clone(&desk.deps.poke);
    loop {
        lanes.collect();
        if let Err(error) = lanes.turn().await {
            tracing::warn!(%error, "deliveries wait for the database");
        }
        tokio::select! {
            () = shutdown.requested() => break,
            () = poke.notified(), if lanes.held.len() < desk.most => {}
            () = desk.freed.notified() => {}
            () = tokio::time::sleep(desk.poll) => {}
            _ = renew.tick() => lanes.renew().await,
        }
    }
    lanes.close().await;
    Ok(())
}

impl Lanes {
    /// Takes note of lanes that ended.
    fn collect(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            self.ended(ended);
        }
        let held = i64::try_from(self.held.len()).unwrap_or(0);
        self.desk.metrics.lanes.set(held);
    }

    fn ended(&mut self, ended: Result<Lane, tokio::task::JoinError>) {
        match ended {
            Ok(lane) => {
                self.held.remove(&lane);
                self.finished.push(lane);
            }
            // Its lease ends by itself, and what it had in flight is sent again.
            Err(error) => tracing::error!(%error, "a lane ended by a panic"),
        }
    }

    /// Gives back what is finished, and claims what is due.
    async fn turn(&mut self) -> Result<(), store::StoreError> {
        let db = &self.desk.deps.stores.pipeline;
        if !self.finished.is_empty() {
            lanes::release(db, self.me, &self.finished).await?;
            self.finished.clear();
        }
        loop {
            let free = self.desk.most.saturating_sub(self.tasks.len());
            if free == 0 {
                return Ok(());
            }
            let began = Instant::now();
            let claimed = lanes::claim(db, self.me, free.min(CLAIMED), self.desk.until()).await?;
            if claimed.is_empty() {
                return Ok(());
            }
            if self.held.is_empty() {
                self.sure_until = began + self.desk.lease;
            }
            let mut loaded = match self.desk.load(&claimed, &[], FIRST_LOADED).await {
                Ok(loaded) => loaded,
                Err(error) => {
                    self.finished.extend(claimed);
                    return Err(error);
                }
            };
            for lane in claimed {
                let Some(loaded) = loaded.remove(&lane) else {
                    self.finished.push(lane);
                    continue;
                };
                let stop = CancellationToken::new();
                self.held.insert(lane, stop.clone());
                let task = LaneTask::new(Arc::clone(&self.desk), lane, stop);
                self.tasks.spawn(task.run(loaded));
            }
        }
    }

    async fn renew(&mut self) {
        let ours: Vec<Lane> = self.held.keys().copied().collect();
        if ours.is_empty() {
            return;
        }
        let began = Instant::now();
        let db = &self.desk.deps.stores.pipeline;
        match lanes::renew(db, self.me, &ours, self.desk.until().1).await {
            Ok(kept) => {
                self.sure_until = began + self.desk.lease;
                let kept: std::collections::HashSet<Lane> = kept.into_iter().collect();
                for (lane, stop) in &self.held {
                    if !kept.contains(lane) && ours.contains(lane) {
                        stop.cancel();
                    }
                }
            }
            // Until the leases end nobody else takes the lanes; then nothing new is begun here either.
            Err(error) if Instant::now() >= self.sure_until => {
                tracing::warn!(%error, "leases cannot be renewed: lanes are given up");
                self.held.values().for_each(CancellationToken::cancel);
            }
            Err(error) => tracing::warn!(%error, "leases cannot be renewed yet"),
        }
    }

    /// Begins nothing new, waits for what is in flight, gives all lanes back.
    async fn close(mut self) {
        self.held.values().for_each(CancellationToken::cancel);
        let limit = Instant::now() + self.desk.attempt + LAST_WORDS;
        while let Ok(Some(ended)) = tokio::time::timeout_at(limit, self.tasks.join_next()).await {
            self.ended(ended);
        }
        let db = &self.desk.deps.stores.pipeline;
        if let Err(error) = lanes::release(db, self.me, &self.finished).await {
            tracing::warn!(%error, "lanes are given back by the end of their leases");
        }
    }
}
