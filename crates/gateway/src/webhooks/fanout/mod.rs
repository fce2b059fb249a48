//! From the event stream to deliveries.
//!
//! One process leads and reads the stream in its order. The place in the stream commits with the deliveries, and is
//! compared before: of two that take themselves for the leader, one fails. The inbox keeps away what the outboxes publish a
//! second time after the broker lost its store. While there is no webhook at all, nothing is read.

mod plan;

use std::sync::Arc;
use std::time::Duration;

use ::store::{Leadership, StoreError, inbox};
use contracts::{Envelope, StreamKind};
use eventbus::{Position, TailError, TailFilter, TailStart};
use futures::StreamExt as _;
use jiff::Timestamp;
use lifecycle::{Lifecycle, OnExit, Phase, Shutdown, TaskError};
use tokio::time::Instant;

use super::metrics::HookMetrics;
use super::store::fanout as table;
use super::{Deps, WebhookSettings};
use plan::{Plan, Planned};

/// Name of the leader's lock, and of the consumer in the inbox.
const NAME: &str = "webhook_fanout";
/// Between looks for the first webhook.
const IDLE: Duration = Duration::from_millis(300);
/// Between tries to become the leader.
const STANDBY: Duration = Duration::from_secs(1);
/// Between checks of the leadership, and whether there still is a webhook.
const CHECK: Duration = Duration::from_secs(5);
/// A place that only passed by what nobody wants is stored so often.
const STORE_PLACE: Duration = Duration::from_secs(1);
/// Longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(2);

type Message = (Position, Envelope);

/// Starts the task.
pub fn spawn(settings: &WebhookSettings, deps: &Arc<Deps>, metrics: &HookMetrics, lifecycle: &Lifecycle) {
    let (deps, metrics, most) = (Arc::clone(deps), metrics.clone(), settings.fanout_messages);
    lifecycle.spawn(
        "webhook-fanout",
        Phase::Work,
        OnExit::restart(),
        move |shutdown| {
            let (deps, metrics) = (Arc::clone(&deps), metrics.clone());
            async move { stand_by(deps, metrics, most, shutdown).await }
        },
    );
}

async fn stand_by(
    deps: Arc<Deps>,
    metrics: HookMetrics,
    most: usize,
    shutdown: Shutdown,
) -> Result<(), TaskError> {
    loop {
        if let Some(leadership) = deps.stores.lead(NAME).await? {
            let mut fanout = Fanout {
                stored: table::load(&deps.stores.pipeline).await?,
                place: None,
                stored_at: Instant::now(),
                deps: Arc::clone(&deps),
                metrics: metrics.clone(),
                most,
            };
            fanout.place = fanout.stored.parse().ok();
            return fanout.lead(leadership, shutdown).await;
        }
        tokio::select! {
            () = shutdown.requested() => return Ok(()),
            () = tokio::time::sleep(STANDBY) => {}
        }
    }
}

/// Why a group was not stored.
enum Refused {
    /// Another process went on from here: this one leads no more.
    Moved,
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

struct Fanout {
    deps: Arc<Deps>,
    metrics: HookMetrics,
    most: usize,
    /// The place in the table, as text.
    stored: String,
    /// Everything up to there was handled.
    place: Option<Position>,
    stored_at: Instant,
}

impl Fanout {
    async fn lead(mut self, mut leadership: Leadership, shutdown: Shutdown) -> Result<(), TaskError> {
        loop {
            let start = tokio::select! {
                start = self.idle(&mut leadership) => start?,
                () = shutdown.requested() => break,
            };
            let done = tokio::select! {
                done = self.follow(start, &mut leadership) => done,
                () = shutdown.requested() => break,
            };
            done?;
        }
        leadership.resign().await;
        Ok(())
    }

    /// Until there is a webhook: where to begin for it.
    async fn idle(&mut self, leadership: &mut Leadership) -> Result<TailStart, TaskError> {
        loop {
            // Looked at before the question: what comes after this place comes after any webhook that there is not yet.
            let edges = self.deps.bus.first_and_last(StreamKind::Events).await;
            if let Some(oldest) = table::oldest(&self.deps.stores.pipeline).await? {
                return Ok(self.place.map_or(TailStart::Since(oldest), TailStart::After));
            }
            if let Ok(edges) = edges {
                self.place = Some(Position {
                    stream_created: edges.created,
                    seq: edges.last_seq,
                    time: self.deps.clock.now(),
                });
            }
            leadership.check().await?;
            tokio::time::sleep(IDLE).await;
        }
    }

    /// Reads and stores; returns when there is no webhook any more.
    async fn follow(&mut self, start: TailStart, leadership: &mut Leadership) -> Result<(), TaskError> {
        let tail = self.deps.bus.tail(start, TailFilter::default());
        let mut groups = tail.ready_chunks(self.most);
        let mut check = tokio::time::interval(CHECK);
        check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let group = tokio::select! {
                group = groups.next() => group.ok_or("the tail of the event stream ended")?,
                _ = check.tick() => {
                    leadership.check().await?;
                    if table::oldest(&self.deps.stores.pipeline).await?.is_none() {
                        return Ok(());
                    }
                    continue;
                }
            };
            let mut messages: Vec<Message> = Vec::with_capacity(group.len());
            for item in group {
                match item {
                    Ok(message) => messages.push(message),
                    Err(TailError::Expired { earliest }) => return self.expired(earliest).await,
                    Err(error) => return Err(error.into()),
                }
            }
            self.take(&messages).await?;
        }
    }

    /// The place is older than what is kept: nothing read this stream for weeks. Goes on with the oldest that there is.
    async fn expired(&mut self, earliest: Option<Timestamp>) -> Result<(), TaskError> {
        tracing::error!(
            ?earliest,
            "events were dropped before they became deliveries: no delivery role ran for longer than events are kept"
        );
        let at = earliest.unwrap_or_else(|| self.deps.clock.now());
        // A place of no stream: read by its time.
        self.place = Some(Position {
            stream_created: Timestamp::UNIX_EPOCH,
            seq: u64::MAX,
            time: at,
        });
        Ok(())
    }

    /// Stores what comes of the messages, however long the database is away.
    async fn take(&mut self, messages: &[Message]) -> Result<(), TaskError> {
        let Some((position, last)) = messages.last() else {
            return Ok(());
        };
        let (position, last) = (*position, last.time);
        let mut pause = Duration::from_millis(50);
        loop {
            match self.store(messages, position).await {
                Ok(()) => break,
                Err(Refused::Moved) => return Err("another process turns events into deliveries".into()),
                Err(Refused::Store(error)) => {
                    tracing::warn!(%error, source = ?std::error::Error::source(&error), "events wait to become deliveries");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
        self.place = Some(position);
        let lag = self.deps.clock.now().duration_since(last).as_secs();
        self.metrics.fanout_lag_seconds.set(lag);
        Ok(())
    }

    async fn store(&mut self, messages: &[Message], position: Position) -> Result<(), Refused> {
        let now = self.deps.clock.now();
        let mut orgs: Vec<_> = messages
            .iter()
            .map(|(_, envelope)| envelope.org().uuid())
            .collect();
        orgs.sort_unstable();
        orgs.dedup();
        let mut tx = self.deps.stores.pipeline.begin().await?;
        let plan = Plan::new(table::endpoints(&mut tx, &orgs).await?);
        let catalogue = &self.deps.catalogue;
        let wanted: Vec<&Envelope> = messages
            .iter()
            .map(|(_, envelope)| envelope)
            .filter(|e| plan.wants(catalogue, e.org().uuid(), &e.subject.kind))
            .collect();
        if wanted.is_empty() && self.stored_at.elapsed() < STORE_PLACE {
            tx.rollback().await;
            return Ok(());
        }
        let found = table::place(&mut tx).await?;
        let target = position.to_string();
        if found == target {
            // The commit of an earlier try was not answered, and was made.
            tx.rollback().await;
            self.stored = target;
            return Ok(());
        }
        if found != self.stored {
            return Err(Refused::Moved);
        }
        let ids: Vec<_> = wanted.iter().map(|envelope| envelope.id.uuid()).collect();
        let mut fresh: std::collections::HashSet<_> =
            inbox::claim_all(&mut tx, NAME, &ids).await?.into_iter().collect();
        let mut planned = Planned::default();
        for envelope in wanted {
            if fresh.remove(&envelope.id.uuid()) {
                for event in catalogue.render(envelope) {
                    plan.add(event, &*self.deps.ids, &mut planned);
                }
            }
        }
        let mut stored = 0;
        if !planned.wanted.is_empty() {
            stored = table::insert(&mut tx, &planned.events, &planned.wanted, now).await?;
        }
        table::set_place(&mut tx, &target).await?;
        tx.commit().await?;
        self.stored = target;
        self.stored_at = Instant::now();
        if stored > 0 {
            self.metrics.queued.inc_by(u64::try_from(stored).unwrap_or(0));
            self.deps.poke.notify_one();
        }
        Ok(())
    }
}
