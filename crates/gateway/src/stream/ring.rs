//! The newest messages of all organizations, and who waits for which.
//!
//! Entries have an index that only grows. A reader holds the index of the next entry it has not looked at; whether
//! something of its organization was dropped before it could look is known exactly.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use contracts::Envelope;
use eventbus::Position;
use ids::OrgId;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::cursor::Place;
use super::told::Told;

/// What an entry takes beside its payload, roughly.
const OVERHEAD: usize = 512;
/// Organizations that nobody watches any more are forgotten every so many messages.
const FORGET_EVERY: u64 = 4_096;

/// A message in the ring.
pub struct Entry {
    /// Where it stands in the stream.
    pub position: Position,
    /// The message.
    pub envelope: Envelope,
    /// Its events, while someone tells them or they were told lately.
    shown: Mutex<Weak<[Told]>>,
}

/// What a reader gets.
pub enum Next {
    /// The next message of its organization.
    Message(Arc<Entry>),
    /// Nothing for now; everything up to this position was looked at.
    Wait(Position),
    /// Something of its organization was dropped unread.
    Behind,
}

/// A reader's wake-up: changes whenever its organization has a new message.
pub type Wake = watch::Receiver<u64>;

struct Feed {
    wake: watch::Sender<u64>,
    /// Index after the last dropped entry of this organization.
    dropped: u64,
}

struct State {
    entries: VecDeque<Arc<Entry>>,
    /// Index of the first entry.
    base: u64,
    bytes: usize,
    /// Everything after this position is in the ring, from index `segment` on.
    covered: Position,
    segment: u64,
    last: Position,
    /// Entries before this index may be missing.
    gap: u64,
    feeds: HashMap<OrgId, Feed>,
}

/// Events that were rendered lately, kept for readers who come a little later.
#[derive(Default)]
struct Lately {
    told: VecDeque<(Arc<[Told]>, usize)>,
    bytes: usize,
}

/// The ring. Shared by the hub, which fills it, and all readers.
pub struct Ring {
    max_bytes: usize,
    state: Mutex<State>,
    lately: Mutex<Lately>,
}

impl Ring {
    /// An empty ring that will be filled with everything after `start`.
    pub fn new(max_bytes: usize, start: Position) -> Self {
        let state = State {
            entries: VecDeque::new(),
            base: 0,
            bytes: 0,
            covered: start,
            segment: 0,
            last: start,
            gap: 0,
            feeds: HashMap::new(),
        };
        Self {
            max_bytes,
            state: Mutex::new(state),
            lately: Mutex::default(),
        }
    }

    /// The events of an entry, rendered once for all who tell them at about the same time.
    pub fn told(&self, entry: &Entry, render: impl FnOnce(&Entry) -> Vec<Told>) -> Arc<[Told]> {
        let mut shown = entry.shown.lock();
        if let Some(told) = shown.upgrade() {
            return told;
        }
        let told: Arc<[Told]> = render(entry).into();
        *shown = Arc::downgrade(&told);
        let weight = told.iter().map(Told::weight).sum();
        let mut lately = self.lately.lock();
        lately.bytes += weight;
        lately.told.push_back((Arc::clone(&told), weight));
        while lately.bytes > self.max_bytes / 2 {
            let Some((_, weight)) = lately.told.pop_front() else {
                break;
            };
            lately.bytes -= weight;
        }
        told
    }

    /// Starts anew after `start`: what came between is missing, and every reader is behind.
    pub fn restart(&self, start: Position) {
        let mut state = self.state.lock();
        let state = &mut *state;
        state.base += u64::try_from(state.entries.len()).unwrap_or(0);
        state.entries.clear();
        state.bytes = 0;
        (state.covered, state.last) = (start, start);
        (state.segment, state.gap) = (state.base, state.base + 1);
        // Readers at the end have missed something too: one index is skipped.
        state.base += 1;
        state.segment = state.base;
        for feed in state.feeds.values() {
            feed.wake.send_replace(state.base);
        }
    }

    /// Adds the next message of the stream.
    pub fn push(&self, position: Position, envelope: Envelope) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let end = state.end();
        let goes_on = position.stream_created == state.last.stream_created && position.seq > state.last.seq;
        if !goes_on {
            // The stream was made anew or cut back: sequences before mean something else.
            state.segment = end;
            state.covered = Position {
                seq: position.seq.saturating_sub(1),
                ..position
            };
        }
        state.last = position;
        let org = envelope.org();
        state.bytes += envelope.payload.len() + OVERHEAD;
        state.entries.push_back(Arc::new(Entry {
            position,
            envelope,
            shown: Mutex::new(Weak::<[Told; 0]>::new()),
        }));
        while state.bytes > self.max_bytes && state.entries.len() > 1 {
            state.drop_first();
        }
        if end.is_multiple_of(FORGET_EVERY) {
            state.feeds.retain(|_, feed| feed.wake.receiver_count() > 0);
        }
        if let Some(feed) = state.feeds.get(&org) {
            feed.wake.send_replace(end + 1);
        }
    }

    /// Watches an organization from the end of the ring on. Returns the reader's index and where that is.
    pub fn subscribe(&self, org: OrgId) -> (Wake, u64, Position) {
        let mut state = self.state.lock();
        let (end, last) = (state.end(), state.last);
        let feed = state.feeds.entry(org).or_insert_with(|| Feed {
            wake: watch::channel(end).0,
            dropped: 0,
        });
        (feed.wake.subscribe(), end, last)
    }

    /// The index from which a reader at `place` reads on without a gap; `None` when the ring does not reach so far back.
    pub fn locate(&self, place: &Place) -> Option<u64> {
        let state = self.state.lock();
        let after = place.read_after();
        let covered = after.stream_created == state.covered.stream_created
            && after.seq >= state.covered.seq
            && after.seq <= state.last.seq;
        if !covered {
            return None;
        }
        let from = usize::try_from(state.segment.saturating_sub(state.base)).ok()?;
        let tail = state.entries.range(from.min(state.entries.len())..);
        let before = tail.take_while(|entry| entry.position.seq <= after.seq).count();
        Some(state.base.max(state.segment) + u64::try_from(before).ok()?)
    }

    /// The next message of `org` at or after index `next`, which moves on.
    pub fn next(&self, org: OrgId, next: &mut u64) -> Next {
        let state = self.state.lock();
        let dropped = state.feeds.get(&org).map_or(0, |feed| feed.dropped);
        if *next < dropped || *next < state.gap {
            return Next::Behind;
        }
        let from = usize::try_from(next.saturating_sub(state.base))
            .unwrap_or(usize::MAX)
            .min(state.entries.len());
        let found = state
            .entries
            .range(from..)
            .position(|entry| entry.envelope.org() == org);
        match found {
            Some(offset) => {
                let at = from + offset;
                *next = state.base + u64::try_from(at).unwrap_or(0) + 1;
                state
                    .entries
                    .get(at)
                    .map_or(Next::Behind, |entry| Next::Message(Arc::clone(entry)))
            }
            None => {
                *next = state.end();
                Next::Wait(state.last)
            }
        }
    }
}

impl State {
    fn end(&self) -> u64 {
        self.base + u64::try_from(self.entries.len()).unwrap_or(0)
    }

    fn drop_first(&mut self) {
        let Some(entry) = self.entries.pop_front() else {
            return;
        };
        self.bytes -= entry.envelope.payload.len() + OVERHEAD;
        if self.base >= self.segment {
            self.covered = entry.position;
        }
        self.base += 1;
        if let Some(feed) = self.feeds.get_mut(&entry.envelope.org()) {
            feed.dropped = self.base;
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::v1::ContactDeleted;
    use ids::EventId;
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn at(seq: u64) -> Position {
        let time = Timestamp::from_second(1_700_000_000).unwrap();
        Position {
            stream_created: time,
            seq,
            time,
        }
    }

    fn org(n: u128) -> OrgId {
        OrgId(Uuid::from_u128(n))
    }

    fn message(of: u128) -> Envelope {
        let event = ContactDeleted::default();
        let time = at(0).time;
        Envelope::wrap(&event, EventId(Uuid::from_u128(9)), org(of), String::new(), time)
    }

    fn read(ring: &Ring, of: u128, next: &mut u64) -> Vec<u64> {
        let mut seqs = Vec::new();
        while let Next::Message(entry) = ring.next(org(of), next) {
            seqs.push(entry.position.seq);
        }
        seqs
    }

    #[test]
    fn a_reader_sees_its_own_organization_in_order_and_nothing_else() {
        let ring = Ring::new(1 << 20, at(10));
        let (_wake, mut next, start) = ring.subscribe(org(1));
        assert_eq!(start.seq, 10);
        for (seq, of) in [(11, 1), (12, 2), (13, 1)] {
            ring.push(at(seq), message(of));
        }
        assert_eq!(read(&ring, 1, &mut next), [11, 13]);
        assert!(matches!(ring.next(org(1), &mut next), Next::Wait(p) if p.seq == 13));
    }

    #[test]
    fn only_a_reader_that_missed_something_of_its_own_is_behind() {
        let ring = Ring::new(OVERHEAD * 3, at(0));
        let ((_w1, mut one, _), (_w2, mut two, _)) = (ring.subscribe(org(1)), ring.subscribe(org(2)));
        ring.push(at(1), message(1));
        for seq in 2..20 {
            ring.push(at(seq), message(3));
        }
        assert!(matches!(ring.next(org(1), &mut one), Next::Behind));
        assert!(
            matches!(ring.next(org(2), &mut two), Next::Wait(_)),
            "an idle reader is never behind"
        );
    }

    #[test]
    fn a_place_is_found_exactly_when_nothing_after_it_was_dropped() {
        let ring = Ring::new(OVERHEAD * 3, at(10));
        assert_eq!(
            ring.locate(&Place::after(at(10))),
            Some(0),
            "before the first message"
        );
        assert_eq!(ring.locate(&Place::after(at(9))), None);
        for seq in 11..21 {
            ring.push(at(seq), message(1));
        }
        let first = (11..=20)
            .find(|seq| ring.locate(&Place::after(at(*seq))).is_some())
            .unwrap();
        let mut next = ring.locate(&Place::after(at(first))).unwrap();
        assert_eq!(read(&ring, 1, &mut next), (first + 1..=20).collect::<Vec<_>>());
        // A place within a message needs that message again.
        let within = Place {
            position: at(20),
            passed: 1,
        };
        let mut next = ring.locate(&within).unwrap();
        assert_eq!(read(&ring, 1, &mut next), [20]);
        assert_eq!(
            ring.locate(&Place::after(at(21))),
            None,
            "the future is not covered"
        );
    }

    #[test]
    fn a_stream_made_anew_is_followed_but_old_places_are_not_found() {
        let ring = Ring::new(1 << 20, at(10));
        let (_wake, mut next, _) = ring.subscribe(org(1));
        ring.push(at(11), message(1));
        let anew = |seq| Position {
            stream_created: Timestamp::from_second(1_800_000_000).unwrap(),
            ..at(seq)
        };
        ring.push(anew(1), message(1));
        ring.push(anew(2), message(1));
        assert_eq!(read(&ring, 1, &mut next), [11, 1, 2], "a live reader goes on");
        assert_eq!(ring.locate(&Place::after(at(11))), None);
        let mut from = ring.locate(&Place::after(anew(1))).unwrap();
        assert_eq!(read(&ring, 1, &mut from), [2]);
    }

    #[test]
    fn after_a_gap_everybody_is_behind() {
        let ring = Ring::new(1 << 20, at(10));
        let (_wake, mut next, _) = ring.subscribe(org(1));
        ring.restart(at(50));
        assert!(matches!(ring.next(org(1), &mut next), Next::Behind));
        assert_eq!(ring.locate(&Place::after(at(10))), None);
        let mut from = ring.locate(&Place::after(at(50))).unwrap();
        ring.push(at(51), message(1));
        assert_eq!(read(&ring, 1, &mut from), [51]);
    }
}
