//! One client's stream: reads the ring or the broker, writes frames, and ends when its key does.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eventbus::{Position, TailError};
use futures::StreamExt as _;
use ids::{ApiKeyId, OrgId};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::catch_up::CatchUp;
use super::cursor::Place;
use super::open::Shared;
use super::ring::{Next, Ring, Wake};
use crate::events::{Filter, PublicEvent as Told};

/// How often the key is looked at. With the cache's four seconds this keeps a revoked key's stream below five.
const LOOK: Duration = Duration::from_millis(800);
/// Frames are sent in pieces of about this size.
const PIECE: usize = 16 * 1024;

/// Where the messages come from.
enum Source {
    /// The ring, from this index on.
    Ring(u64),
    /// The broker, until the ring has what comes next.
    Broker(Box<CatchUp>),
    /// The broker, once another connection gives its place there up.
    Queued,
}

/// A message whose events are being sent.
struct InHand {
    told: Arc<[Told]>,
    at: usize,
    position: Position,
}

/// What to do next.
enum Step {
    Send(Bytes),
    Again,
    End,
}

/// One stream.
pub struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) org: OrgId,
    pub(super) key: ApiKeyId,
    /// The events to show.
    pub(super) filter: Filter,
    /// What was sent or passed so far.
    place: Place,
    source: Source,
    wake: Wake,
    in_hand: Option<InHand>,
    look: Interval,
    heartbeat: Duration,
    quiet_since: Instant,
    /// Counts this stream as open as long as it lives.
    _open: super::open::OpenGuard,
}

impl Connection {
    /// A stream that goes on at `place`, from the ring at `index` or else from the broker.
    pub(super) fn new(
        shared: Arc<Shared>,
        caller: (OrgId, ApiKeyId),
        filter: Filter,
        place: Place,
        wake: Wake,
        source: Result<u64, Box<CatchUp>>,
        open: super::open::OpenGuard,
    ) -> Self {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let heartbeat = shared.heartbeat;
        Self {
            shared,
            org: caller.0,
            key: caller.1,
            filter,
            place,
            source: source.map_or_else(Source::Broker, Source::Ring),
            wake,
            in_hand: None,
            look,
            heartbeat,
            quiet_since: Instant::now(),
            _open: open,
        }
    }

    /// The first bytes: sent at once, so that the client knows it is connected, and from where.
    pub(super) fn greeting(&self) -> Bytes {
        let cursor = self.shared.cursors.write(self.org, &self.place);
        Bytes::from(format!(
            ": connected\nretry: {}\nid: {cursor}\n\n",
            self.shared.retry_ms
        ))
    }

    /// The next bytes; `None` at the end of the stream.
    pub(super) async fn next(mut self) -> Option<(Bytes, Self)> {
        loop {
            let step = match self.in_hand.take() {
                Some(message) => self.send(message),
                None => self.read().await,
            };
            match step {
                Step::Send(bytes) => {
                    self.quiet_since = Instant::now();
                    return Some((bytes, self));
                }
                Step::Again => {}
                Step::End => return None,
            }
        }
    }

    /// The JSON of the next events that are wanted; `None` at the end of the stream.
    pub(super) async fn next_told(mut self) -> Option<(Vec<String>, Self)> {
        loop {
            if let Some(message) = self.in_hand.take() {
                self.place = Place::after(message.position);
                let fresh = message.told.iter().skip(message.at);
                let wanted = fresh.filter(|told| self.filter.wants(told));
                let wanted: Vec<String> = wanted.map(|told| told.json.clone()).collect();
                if !wanted.is_empty() {
                    return Some((wanted, self));
                }
            }
            if let Step::End = self.read().await {
                return None;
            }
        }
    }

    /// Writes events of the message in hand, as many as fit into one piece.
    fn send(&mut self, mut message: InHand) -> Step {
        let mut piece = String::new();
        while message.at < message.told.len() && piece.len() < PIECE {
            let told = &message.told[message.at];
            message.at += 1;
            let passed = if message.at == message.told.len() {
                Place::WHOLE
            } else {
                u32::try_from(message.at).unwrap_or(Place::WHOLE)
            };
            self.place = Place {
                position: message.position,
                passed,
            };
            if self.filter.wants(told) {
                let cursor = self.shared.cursors.write(self.org, &self.place);
                // Writing to a String cannot fail.
                let _ = write!(piece, "id: {cursor}\ndata: {}\n\n", told.json);
            }
        }
        if message.at < message.told.len() {
            self.in_hand = Some(message);
        } else {
            self.place = Place::after(message.position);
        }
        if piece.is_empty() {
            Step::Again
        } else {
            Step::Send(piece.into())
        }
    }

    async fn read(&mut self) -> Step {
        let shared = Arc::clone(&self.shared);
        let Some(ring) = shared.hub.ring() else {
            return Step::End;
        };
        if let Source::Broker(_) = self.source {
            return self.read_broker(ring).await;
        }
        let waits_for_ring = match &mut self.source {
            Source::Ring(index) => {
                self.wake.borrow_and_update();
                match ring.next(self.org, index) {
                    Next::Message(entry) => {
                        let told = entry.told(|envelope| shared.catalogue.render(envelope));
                        self.take(entry.position, told);
                        return Step::Again;
                    }
                    Next::Wait(position) => {
                        // Everything up to there was looked at: a quiet stream's cursor does not grow old.
                        self.place = Place::after(position);
                        true
                    }
                    Next::Behind => {
                        self.source = Source::Queued;
                        return self.leave_queue();
                    }
                }
            }
            _ => false,
        };
        tokio::select! {
            changed = self.wake.changed(), if waits_for_ring => match changed {
                Ok(()) => Step::Again,
                Err(_) => Step::End,
            },
            _ = self.look.tick() => {
                if !waits_for_ring {
                    self.leave_queue();
                }
                self.looked().await
            }
            () = shared.closing.cancelled() => Step::End,
        }
    }

    /// From the queue to the broker, if there is a place.
    fn leave_queue(&mut self) -> Step {
        if let Ok(permit) = Arc::clone(&self.shared.catching_up).try_acquire_owned() {
            let catch_up = CatchUp::start(&self.shared, self.org, &self.place, permit);
            self.source = Source::Broker(Box::new(catch_up));
        }
        Step::Again
    }

    async fn read_broker(&mut self, ring: &Ring) -> Step {
        let shared = Arc::clone(&self.shared);
        let Source::Broker(catch_up) = &mut self.source else {
            return Step::Again;
        };
        let next = tokio::select! {
            next = catch_up.tail.next() => next,
            _ = self.look.tick() => return self.looked().await,
            () = shared.closing.cancelled() => return Step::End,
        };
        match next {
            Some(Ok((position, envelope))) => {
                let told = shared.catalogue.render(&envelope);
                self.take(position, told.into());
                // The ring has all that follows: the switch is here, after this message.
                if let Some(index) = ring.locate(&Place::after(position)) {
                    self.source = Source::Ring(index);
                }
                Step::Again
            }
            Some(Err(TailError::Expired { .. })) | None => Step::End,
            Some(Err(error)) => {
                tracing::warn!(%error, "a stream could not catch up");
                Step::End
            }
        }
    }

    fn take(&mut self, position: Position, told: Arc<[Told]>) {
        let at = self.place.skipped(position).min(told.len());
        self.in_hand = Some(InHand { told, at, position });
    }

    /// Ends the stream of a key that is no longer good; sends a comment when nothing was sent for a while.
    async fn looked(&mut self) -> Step {
        match self.shared.authenticator.by_id(self.key).await {
            Ok(Some(_)) => {}
            Ok(None) => return Step::End,
            // Keys cannot be looked up: the stream goes on, no new one begins.
            Err(_) => {}
        }
        if self.quiet_since.elapsed() < self.heartbeat {
            return Step::Again;
        }
        let cursor = self.shared.cursors.write(self.org, &self.place);
        Step::Send(Bytes::from(format!("id: {cursor}\n: still here\n\n")))
    }
}
