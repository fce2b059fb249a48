//! Reading on, at a client's own pace: from the ring, or from the broker when the ring does not reach so far back. All
//! interfaces read by this; what they differ in is how they write.

use std::sync::Arc;
use std::time::Duration;

use contracts::StreamKind;
use errors::{ApiError, ErrorCode};
use eventbus::{Position, TailError};
use futures::StreamExt as _;
use ids::{ApiKeyId, OrgId};
use telemetry::IntCounter;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::catch_up::{self, CatchUp};
use super::cursor::Place;
use super::open::{OpenGuard, Shared};
use super::ring::{Next, Ring, Wake};
use super::told::{Told, tell};
use crate::events::Filter;

/// How often the key is looked at. With the cache's four seconds this keeps a revoked key's stream below five.
const LOOK: Duration = Duration::from_millis(800);
/// Events are handed out in pieces of about this many bytes of JSON.
const PIECE: usize = 16 * 1024;

/// Where the messages come from.
pub(super) enum Source {
    /// The ring, from this index on.
    Ring(u64),
    /// The broker, until the ring has what comes next.
    Broker(Box<CatchUp>),
    /// The broker, once another reader gives its place there up.
    Queued,
}

/// A message whose events are being handed out.
struct InHand {
    told: Arc<[Told]>,
    at: usize,
    position: Position,
}

/// Events of one message, at least one.
pub struct Piece {
    told: Arc<[Told]>,
    wanted: Vec<u32>,
}

impl Piece {
    /// The events, in order.
    pub fn events(&self) -> impl Iterator<Item = &Told> {
        let at = self.wanted.iter().filter_map(|at| usize::try_from(*at).ok());
        at.filter_map(|at| self.told.get(at))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.wanted.len()
    }

    /// The last one.
    pub fn last(&self) -> Option<&Told> {
        self.events().last()
    }
}

/// What a reader hears.
pub enum Heard {
    /// Events.
    Events(Piece),
    /// Nothing for a heartbeat's time; the reader's cursor may have moved.
    Quiet,
    /// Nothing any more.
    End(Ending),
}

/// Why a reader hears nothing any more.
#[derive(Debug)]
pub enum Ending {
    /// The key or session is no longer good.
    Refused,
    /// The gateway stops.
    Stopped,
    /// It cannot go on.
    Failed(ApiError),
}

impl Ending {
    fn reason(&self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Stopped => "stopped",
            Self::Failed(_) => "failed",
        }
    }

    /// As clients are told.
    pub fn error(self) -> ApiError {
        match self {
            Self::Refused => ApiError::new(
                ErrorCode::Unauthenticated,
                "the API key or session is no longer valid",
            ),
            Self::Stopped => {
                ApiError::unavailable("this gateway stops; go on elsewhere, after the last cursor")
            }
            Self::Failed(error) => error,
        }
    }
}

/// What to do next.
enum Step {
    Again,
    Quiet,
    End(Ending),
}

/// Reads one organization's events. Dropping what `next` returned unfinished loses nothing.
pub struct Reader {
    shared: Arc<Shared>,
    org: OrgId,
    key: ApiKeyId,
    filter: Filter,
    /// What was handed out or passed so far.
    place: Place,
    source: Source,
    wake: Wake,
    in_hand: Option<InHand>,
    look: Interval,
    looked: Instant,
    quiet_since: Instant,
    told: IntCounter,
    /// Counts this reader as open as long as it lives.
    _open: OpenGuard,
}

impl Reader {
    /// Goes on at `place`, from `source`.
    pub(super) fn new(
        shared: Arc<Shared>,
        (org, key): (OrgId, ApiKeyId),
        filter: Filter,
        (place, source): (Place, Source),
        wake: Wake,
        (open, told): (OpenGuard, IntCounter),
    ) -> Self {
        let mut look = tokio::time::interval_at(Instant::now() + LOOK, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            shared,
            org,
            key,
            filter,
            place,
            source,
            wake,
            in_hand: None,
            look,
            looked: Instant::now(),
            quiet_since: Instant::now(),
            told,
            _open: open,
        }
    }

    /// The place up to which everything was handed out or is not wanted.
    pub fn cursor(&self) -> String {
        self.shared.cursors.write(self.org, &self.place)
    }

    /// The next events, at most `most`.
    pub async fn next(&mut self, most: usize) -> Heard {
        let heard = self.hear(most).await;
        match &heard {
            Heard::Events(piece) => self.told.inc_by(u64::try_from(piece.len()).unwrap_or(0)),
            Heard::Quiet => {}
            Heard::End(ending) => self.shared.ended(ending.reason()),
        }
        heard
    }

    async fn hear(&mut self, most: usize) -> Heard {
        loop {
            // Also when there is always something to read.
            if self.looked.elapsed() >= 2 * LOOK
                && let Some(ending) = self.look().await
            {
                return Heard::End(ending);
            }
            if let Some(piece) = self.piece(most) {
                self.quiet_since = Instant::now();
                return Heard::Events(piece);
            }
            match self.read().await {
                Step::Again => {}
                Step::Quiet => return Heard::Quiet,
                Step::End(ending) => return Heard::End(ending),
            }
        }
    }

    /// For who does not read on for now: whether reading has ended.
    pub async fn check(&mut self) -> Option<Ending> {
        self.look().await
    }

    /// Wanted events of the message in hand, as many as fit into one piece.
    fn piece(&mut self, most: usize) -> Option<Piece> {
        let InHand {
            told,
            mut at,
            position,
        } = self.in_hand.take()?;
        let (mut wanted, mut bytes) = (Vec::new(), 0);
        while let Some(next) = told.get(at) {
            if wanted.len() >= most || bytes >= PIECE {
                break;
            }
            if self.filter.wants(&next.event) {
                wanted.push(u32::try_from(at).unwrap_or(u32::MAX));
                bytes += next.event.json.len();
            }
            self.place = next.place;
            at += 1;
        }
        if at < told.len() {
            let told = Arc::clone(&told);
            self.in_hand = Some(InHand { told, at, position });
        } else {
            self.place = Place::after(position);
        }
        (!wanted.is_empty()).then_some(Piece { told, wanted })
    }

    async fn read(&mut self) -> Step {
        let Some(ring) = self.shared.hub.ring() else {
            let error = ApiError::unavailable("the event stream is not available just now");
            return Step::End(Ending::Failed(error));
        };
        let waits_for_ring = match &mut self.source {
            Source::Broker(_) => return self.read_broker().await,
            Source::Queued => false,
            Source::Ring(index) => {
                self.wake.borrow_and_update();
                match ring.next(self.org, index) {
                    Next::Message(entry) => {
                        let shared = &self.shared;
                        let told = ring.told(&entry, |entry| {
                            tell(
                                &shared.catalogue,
                                &shared.cursors,
                                entry.position,
                                &entry.envelope,
                            )
                        });
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
        };
        let closing = &self.shared.closing;
        tokio::select! {
            changed = self.wake.changed(), if waits_for_ring => match changed {
                Ok(()) => Step::Again,
                Err(_) => Step::End(Ending::Stopped),
            },
            _ = self.look.tick() => {
                if !waits_for_ring {
                    self.leave_queue();
                }
                self.ticked().await
            }
            () = closing.cancelled() => Step::End(Ending::Stopped),
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

    async fn read_broker(&mut self) -> Step {
        let Source::Broker(catch_up) = &mut self.source else {
            return Step::Again;
        };
        let closing = &self.shared.closing;
        let next = tokio::select! {
            next = catch_up.tail.next() => next,
            _ = self.look.tick() => return self.ticked().await,
            () = closing.cancelled() => return Step::End(Ending::Stopped),
        };
        match next {
            Some(Ok((position, envelope))) => {
                let shared = &self.shared;
                let told = tell(&shared.catalogue, &shared.cursors, position, &envelope);
                // The ring has all that follows: the switch is here, after this message.
                let index = shared
                    .hub
                    .ring()
                    .and_then(|ring: &Ring| ring.locate(&Place::after(position)));
                if let Some(index) = index {
                    self.source = Source::Ring(index);
                }
                self.take(position, told.into());
                Step::Again
            }
            Some(Err(TailError::Expired { .. })) => {
                let kept = catch_up::check_kept(&self.shared, self.org, &self.place).await;
                let error = kept.err().unwrap_or_else(|| catch_up::expired(None, None));
                Step::End(Ending::Failed(error))
            }
            Some(Err(error)) => {
                tracing::warn!(%error, stream = StreamKind::Events.name(), "a reader could not catch up");
                Step::End(Ending::Failed(ApiError::internal()))
            }
            None => Step::End(Ending::Stopped),
        }
    }

    fn take(&mut self, position: Position, told: Arc<[Told]>) {
        let at = self.place.skipped(position).min(told.len());
        self.in_hand = Some(InHand { told, at, position });
    }

    async fn ticked(&mut self) -> Step {
        if let Some(ending) = self.look().await {
            return Step::End(ending);
        }
        // Looks are that far apart: the next one would be too late.
        if self.quiet_since.elapsed() + LOOK < self.shared.heartbeat {
            return Step::Again;
        }
        self.quiet_since = Instant::now();
        Step::Quiet
    }

    /// Whether the key is still good, and the gateway goes on.
    async fn look(&mut self) -> Option<Ending> {
        self.looked = Instant::now();
        if self.shared.closing.is_cancelled() {
            return Some(Ending::Stopped);
        }
        match self.shared.authenticator.by_id(self.key).await {
            Ok(None) => Some(Ending::Refused),
            // Keys cannot be looked up: what is open goes on, nothing new begins.
            Ok(Some(_)) | Err(_) => None,
        }
    }
}
