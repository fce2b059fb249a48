//! Batches of one organization, one unit of work after the other.
//!
//! Handlers that wait for their organization's turn are served together: whoever has the turn takes the others' batches
//! along. So an organization that sends many small batches costs few transactions. Must not: know what a
//! unit does. A batch leaves the lane only when its work is committed, or with the handler that brought it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ids::OrgId;
use parking_lot::Mutex;
use tokio::sync::{Mutex as Turn, MutexGuard};
use tokio::time::{Instant, sleep_until};

use crate::memory::Slot;

/// The lanes of all organizations that were seen; some hundred bytes each.
pub(crate) struct Lanes<B> {
    lanes: Mutex<HashMap<OrgId, Arc<Lane<B>>>>,
    breath: Duration,
}

/// One organization's lane.
pub(crate) struct Lane<B> {
    /// When the next turn may begin.
    turn: Turn<Instant>,
    breath: Duration,
    waiting: Mutex<Waiting<B>>,
    known: Mutex<Known>,
}

struct Waiting<B> {
    next: u64,
    batches: Vec<(u64, usize, Arc<B>)>,
}

/// Up to where this process knows the organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    /// Where its entries are in memory.
    pub(crate) slot: Slot,
    /// The epoch at which they are valid; `None` before the first look.
    pub(crate) epoch: Option<i64>,
}

/// A batch's place in a lane; leaves the lane when it is dropped.
pub(crate) struct Ticket<B> {
    lane: Arc<Lane<B>>,
    number: u64,
}

/// The right to work, and the batches to work on.
pub(crate) struct Group<'a, B> {
    lane: &'a Lane<B>,
    numbers: Vec<u64>,
    /// Never empty.
    pub(crate) batches: Vec<Arc<B>>,
    _turn: MutexGuard<'a, Instant>,
}

impl<B> Lanes<B> {
    /// Lanes whose turns begin at least `breath` apart: under load, turns take more batches along and cost less. The first
    /// batch after a rest does not wait.
    pub(crate) fn new(breath: Duration) -> Self {
        Self {
            lanes: Mutex::default(),
            breath,
        }
    }

    /// The organization's lane; a new one begins with `slot`.
    pub(crate) fn of(&self, org: OrgId, slot: impl FnOnce() -> Slot) -> Arc<Lane<B>> {
        let mut lanes = self.lanes.lock();
        let lane = lanes.entry(org).or_insert_with(|| {
            Arc::new(Lane {
                turn: Turn::new(Instant::now()),
                breath: self.breath,
                waiting: Mutex::new(Waiting {
                    next: 0,
                    batches: Vec::new(),
                }),
                known: Mutex::new(Known {
                    slot: slot(),
                    epoch: None,
                }),
            })
        });
        Arc::clone(lane)
    }
}

impl<B> Lane<B> {
    /// Puts a batch of `weight` in.
    pub(crate) fn join(self: &Arc<Self>, batch: Arc<B>, weight: usize) -> Ticket<B> {
        let mut waiting = self.waiting.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.batches.push((number, weight, batch));
        Ticket {
            lane: Arc::clone(self),
            number,
        }
    }

    pub(crate) fn known(&self) -> Known {
        *self.known.lock()
    }

    /// To be called by whoever has the turn.
    pub(crate) fn set_known(&self, known: Known) {
        *self.known.lock() = known;
    }
}

impl<B> Ticket<B> {
    /// Waits for the turn. `None`: somebody else has done this batch meanwhile. Otherwise this batch and, up to
    /// `max_weight` in all, those that wait behind it; `alone`: only this one.
    pub(crate) async fn turn(&self, max_weight: usize, alone: bool) -> Option<Group<'_, B>> {
        let mut turn = self.lane.turn.lock().await;
        if self.is_done() {
            return None;
        }
        sleep_until(*turn).await;
        *turn = Instant::now() + self.lane.breath;
        let waiting = self.lane.waiting.lock();
        let (_, own_weight, own) = waiting
            .batches
            .iter()
            .find(|(number, ..)| *number == self.number)?;
        let mut group = Group {
            lane: &self.lane,
            numbers: vec![self.number],
            batches: vec![Arc::clone(own)],
            _turn: turn,
        };
        let mut weight = *own_weight;
        for (number, more, batch) in waiting.batches.iter().filter(|_| !alone) {
            if *number != self.number && weight + more <= max_weight {
                weight += more;
                group.numbers.push(*number);
                group.batches.push(Arc::clone(batch));
            }
        }
        Some(group)
    }
}

impl<B> Ticket<B> {
    fn is_done(&self) -> bool {
        let waiting = self.lane.waiting.lock();
        !waiting.batches.iter().any(|(number, ..)| *number == self.number)
    }
}

impl<B> Group<'_, B> {
    /// The work is committed: all batches leave the lane, and the next turn begins.
    pub(crate) fn done(self) {
        self.lane
            .waiting
            .lock()
            .batches
            .retain(|(number, ..)| !self.numbers.contains(number));
    }
}

impl<B> Drop for Ticket<B> {
    fn drop(&mut self) {
        self.lane
            .waiting
            .lock()
            .batches
            .retain(|(number, ..)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use uuid::Uuid;

    use super::*;
    use crate::memory::Memory;

    fn lane() -> Arc<Lane<&'static str>> {
        Lanes::new(Duration::ZERO).of(OrgId(Uuid::nil()), || Memory::new(1, 1).new_slot())
    }

    #[tokio::test]
    async fn whoever_has_the_turn_takes_the_others_along() {
        let lane = lane();
        let (a, b, c) = (
            lane.join(Arc::new("a"), 1),
            lane.join(Arc::new("b"), 1),
            lane.join(Arc::new("c"), 5),
        );
        let group = a.turn(6, false).await.unwrap();
        assert_eq!(
            group.batches.iter().map(|batch| **batch).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert!(b.turn(6, false).now_or_never().is_none());
        group.done();
        assert!(b.turn(6, false).await.is_none());
        assert_eq!(*c.turn(6, false).await.unwrap().batches[0], "c");
    }

    #[tokio::test]
    async fn work_that_was_given_up_leaves_the_others_in_the_lane() {
        let lane = lane();
        let (a, b) = (lane.join(Arc::new("a"), 1), lane.join(Arc::new("b"), 1));
        drop(a.turn(9, false).await.unwrap());
        drop(a);
        assert_eq!(b.turn(9, false).await.unwrap().batches.len(), 1);
    }

    #[tokio::test]
    async fn a_batch_can_be_tried_alone() {
        let lane = lane();
        let (a, _b) = (lane.join(Arc::new("a"), 1), lane.join(Arc::new("b"), 1));
        assert_eq!(a.turn(9, true).await.unwrap().batches.len(), 1);
    }
}
