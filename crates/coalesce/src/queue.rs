//! The bounded queue between callers and lanes.
//!
//! Invariants: a lane sleeps only while the queue is empty and open; whoever makes it non-empty
//! wakes one sleeper; once closed it takes nothing more and hands out what it still has.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::{CallError, Options};

/// One waiting call.
pub(crate) struct Waiting<Req, Res, Err> {
    pub(crate) request: Req,
    pub(crate) weight: usize,
    pub(crate) answer: oneshot::Sender<Result<Res, CallError<Err>>>,
}

pub(crate) struct Queue<Req, Res, Err> {
    pub(crate) options: Options,
    state: Mutex<State<Req, Res, Err>>,
    wake: Notify,
    crowded: Notify,
}

struct State<Req, Res, Err> {
    waiting: VecDeque<Waiting<Req, Res, Err>>,
    weight: usize,
    /// Lanes that went to sleep and were not woken since.
    sleepers: usize,
    closed: bool,
}

impl<Req, Res, Err> Queue<Req, Res, Err> {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                weight: 0,
                sleepers: 0,
                closed: false,
            }),
            wake: Notify::new(),
            crowded: Notify::new(),
        }
    }

    /// Queues a call, or refuses it at once. An empty queue takes a call of any weight, so that
    /// no call can be refused for ever.
    pub(crate) fn push(&self, call: Waiting<Req, Res, Err>) -> Result<(), CallError<Err>> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(CallError::Closed);
        }
        let too_heavy = !state.waiting.is_empty()
            && state.weight.saturating_add(call.weight) > self.options.max_queued_weight;
        if state.waiting.len() >= self.options.max_queued_items || too_heavy {
            return Err(CallError::Overloaded);
        }
        state.weight = state.weight.saturating_add(call.weight);
        state.waiting.push_back(call);
        if state.waiting.len() == self.options.crowd {
            self.crowded.notify_one();
        }
        self.wake_one(state);
        Ok(())
    }

    /// Waits for work and takes the next group, oldest first, at least one call however heavy.
    /// `None` once closed and empty. Dropping the future takes no call, but may swallow a wake:
    /// whoever drops it must then close the queue (which wakes all lanes) or call it again.
    pub(crate) async fn next_group(&self) -> Option<Vec<Waiting<Req, Res, Err>>> {
        loop {
            let woken = self.wake.notified();
            {
                let mut state = self.state.lock();
                if !state.waiting.is_empty() {
                    let group = self.take_group(&mut state);
                    // More than one lane can carry: let the next one begin.
                    if !state.waiting.is_empty() {
                        self.wake_one(state);
                    }
                    return Some(group);
                }
                if state.closed {
                    return None;
                }
                state.sleepers += 1;
            }
            woken.await;
            // Callers that are ready at this very moment join the group before it is taken.
            tokio::task::yield_now().await;
        }
    }

    /// Waits until so many calls wait that a resting lane should take them.
    pub(crate) async fn crowd(&self) {
        loop {
            let crowded = self.crowded.notified();
            if self.state.lock().waiting.len() >= self.options.crowd {
                return;
            }
            crowded.await;
        }
    }

    fn wake_one(&self, mut state: parking_lot::MutexGuard<'_, State<Req, Res, Err>>) {
        if state.sleepers > 0 {
            state.sleepers -= 1;
            drop(state);
            self.wake.notify_one();
        }
    }

    fn take_group(&self, state: &mut State<Req, Res, Err>) -> Vec<Waiting<Req, Res, Err>> {
        let mut weight = 0usize;
        let mut count = 0usize;
        for call in state.waiting.iter().take(self.options.max_items.max(1)) {
            let with_it = weight.saturating_add(call.weight);
            if count > 0 && with_it > self.options.max_weight {
                break;
            }
            weight = with_it;
            count += 1;
        }
        state.weight = state.weight.saturating_sub(weight);
        state.waiting.drain(..count).collect()
    }

    /// Refuses new calls and wakes every lane; what is queued is still handed out.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.sleepers = 0;
        drop(state);
        self.wake.notify_waiters();
    }

    /// Closes and drops what is queued: nobody is left to do it.
    pub(crate) fn abandon(&self) {
        self.close();
        let dropped = {
            let mut state = self.state.lock();
            state.weight = 0;
            std::mem::take(&mut state.waiting)
        };
        for call in dropped {
            let _caller_may_be_gone = call.answer.send(Err(CallError::Closed));
        }
    }

    pub(crate) fn queued(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.waiting.len(), state.weight)
    }
}
