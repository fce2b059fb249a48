//! One lane at work: keeps as many attempts in flight as its webhook may have, at the pace that it wants.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Desk;
use super::load::Loaded;
use super::send::Destination;
use crate::webhooks::domain::outcome::Verdict;
use crate::webhooks::store::lanes::{Due, Lane};
use crate::webhooks::store::record::Record;

/// Deliveries read at once: some for each that may be in flight, so that memory is bounded.
const FEWEST_LOADED: usize = 32;
const MOST_LOADED: usize = 256;
/// Pause after the database failed.
const PAUSE: Duration = Duration::from_millis(200);

/// A lane.
pub struct LaneTask {
    desk: Arc<Desk>,
    lane: Lane,
    /// Nothing new is begun once it is cancelled.
    stop: CancellationToken,
    organization: Arc<Semaphore>,
}

/// What is known while it works.
struct State {
    waiting: VecDeque<Due>,
    in_hand: HashSet<Uuid>,
    to: Arc<Destination>,
    most: usize,
    /// Attempts that may be in flight now: few at first and after a failure, one more after each success.
    window: usize,
    pause: Duration,
    next_start: Instant,
    /// Whether there may be more due than was read.
    more: bool,
}

/// An attempt that was recorded, or not.
struct Finished {
    delivery: Uuid,
    verdict: Verdict,
    recorded: bool,
}

impl State {
    fn new(loaded: Loaded, window: usize) -> Self {
        Self {
            in_hand: loaded.due.iter().map(|due| due.id).collect(),
            waiting: loaded.due.into(),
            to: loaded.to,
            most: loaded.most,
            window,
            pause: loaded.pause,
            next_start: Instant::now(),
            more: loaded.more,
        }
    }

    fn add(&mut self, loaded: Loaded) {
        self.to = loaded.to;
        self.most = loaded.most;
        self.pause = loaded.pause;
        self.more = loaded.more;
        self.in_hand.extend(loaded.due.iter().map(|due| due.id));
        self.waiting.extend(loaded.due);
    }

    /// How many may be in flight.
    fn may(&self) -> usize {
        self.window.min(self.most)
    }
}

impl LaneTask {
    /// A lane that is leased.
    pub fn new(desk: Arc<Desk>, lane: Lane, stop: CancellationToken) -> Self {
        let organization = desk.limits.organization(lane.0);
        Self {
            desk,
            lane,
            stop,
            organization,
        }
    }

    /// Works until nothing is due and nothing in flight, or until it is stopped; gives the lane.
    pub async fn run(self, loaded: Loaded) -> Lane {
        let lane = self.lane;
        let desk = Arc::clone(&self.desk);
        self.work(loaded).await;
        desk.freed.notify_one();
        lane
    }

    async fn work(&self, loaded: Loaded) {
        let mut state = State::new(loaded, self.desk.limits.failing);
        let mut in_flight = FuturesUnordered::new();
        // What ended since the last look for more.
        let mut ended = 0_usize;
        loop {
            let few = state.waiting.is_empty() && (in_flight.is_empty() || ended >= state.most.div_ceil(2));
            if few && state.more && !self.stop.is_cancelled() {
                self.look(&mut state).await;
                ended = 0;
            }
            while in_flight.len() < state.may()
                && Instant::now() >= state.next_start
                && !self.stop.is_cancelled()
            {
                let Some(due) = state.waiting.pop_front() else {
                    break;
                };
                state.next_start = Instant::now().max(state.next_start) + state.pause;
                in_flight.push(self.deliver(due, Arc::clone(&state.to)));
            }
            let room = in_flight.len() < state.may() && !self.stop.is_cancelled();
            let paced = room && !state.waiting.is_empty();
            if in_flight.is_empty() && !paced {
                if self.stop.is_cancelled() || Instant::now() >= state.next_start {
                    return;
                }
                // Whoever works on the lane next begins at once: the pause after the last start is kept here.
                tokio::select! {
                    () = tokio::time::sleep_until(state.next_start) => state.more = true,
                    () = self.stop.cancelled() => {}
                }
                continue;
            }
            tokio::select! {
                Some(finished) = in_flight.next() => {
                    ended = ended.saturating_add(1);
                    self.finish(&mut state, &finished);
                }
                () = tokio::time::sleep_until(state.next_start), if paced => {}
                // What came since does not wait for a slow answer.
                () = tokio::time::sleep(self.desk.poll), if room && !paced => {
                    (state.more, ended) = (true, usize::MAX);
                }
                () = self.stop.cancelled(), if room => {}
            }
        }
    }

    fn finish(&self, state: &mut State, finished: &Finished) {
        if finished.recorded {
            state.in_hand.remove(&finished.delivery);
        }
        state.window = match finished.verdict {
            Verdict::Delivered => state.window.saturating_add(1).min(state.most),
            Verdict::Failed | Verdict::Gone => self.desk.limits.failing,
        };
        if finished.verdict == Verdict::Gone {
            self.stop.cancel();
        }
    }

    /// Reads the webhook anew, and what is due.
    async fn look(&self, state: &mut State) {
        let in_hand: Vec<Uuid> = state.in_hand.iter().copied().collect();
        let most = (4 * state.most).clamp(FEWEST_LOADED, MOST_LOADED);
        // Never closed.
        let _turn = self.desk.loads.acquire().await.ok();
        match self.desk.load(&[self.lane], &in_hand, most).await {
            Ok(mut loaded) => match loaded.remove(&self.lane) {
                Some(loaded) => state.add(loaded),
                None => self.stop.cancel(),
            },
            Err(error) => {
                tracing::warn!(%error, webhook = %self.lane.1, "a lane waits for the database");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// One attempt, from its place among all to its record.
    async fn deliver(&self, due: Due, to: Arc<Destination>) -> Finished {
        let delivery = due.id;
        let permit = tokio::select! {
            permit = self.desk.limits.enter(&self.organization) => permit,
            () = self.stop.cancelled() => None,
        };
        let Some(_permit) = permit else {
            return Finished {
                delivery,
                verdict: Verdict::Delivered,
                recorded: false,
            };
        };
        let metrics = &self.desk.metrics;
        let started_at = self.desk.deps.clock.now();
        if due.attempts == 0 {
            let waited = started_at.duration_since(due.created_at);
            metrics
                .first_attempt_seconds
                .observe(waited.as_secs_f64().max(0.0));
        }
        metrics.in_flight.inc();
        let attempted = self.desk.sender.attempt(&to, &due).await;
        metrics.in_flight.dec();
        let verdict = attempted.verdict();
        let record = Record {
            lane: self.lane,
            id: self.desk.deps.ids.next(),
            delivery,
            event: due.event,
            kind: due.kind,
            step: due.step + 1,
            number: due.attempts + 1,
            started_at,
            took_ms: i32::try_from(attempted.took.as_millis()).unwrap_or(i32::MAX),
            status: attempted.status.map(i32::from),
            outcome: attempted.outcome,
            next: self.desk.recorder.next(verdict, due.step + 1, attempted.asked),
            error: attempted.error,
            response: attempted.response,
            gone: verdict == Verdict::Gone,
        };
        let recorded = self.desk.recorder.record(record).await;
        Finished {
            delivery,
            verdict,
            recorded,
        }
    }
}
