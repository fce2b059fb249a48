//! The workers' side: one bulk call at a time, answers handed back to their callers.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use crate::{
    CallError,
    queue::{Queue, Waiting},
};

/// One worker loop. A clone is the same lane, kept to run it again after a panic.
pub struct Lane<Req, Res, Err> {
    last: Arc<LastLane<Req, Res, Err>>,
}

impl<Req, Res, Err> Clone for Lane<Req, Res, Err> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.last))
    }
}

/// Shared by all lanes: when the last one goes, waiting callers are told instead of left waiting.
pub(crate) struct LastLane<Req, Res, Err>(pub(crate) Arc<Queue<Req, Res, Err>>);

impl<Req, Res, Err> Drop for LastLane<Req, Res, Err> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl<Req, Res, Err: Clone> Lane<Req, Res, Err> {
    /// Works until `shutdown` completes: then the whole coalescer takes no new call
    /// ([`CallError::Closed`]), and the lane returns when the queue is empty.
    ///
    /// `bulk` gets the requests in the order of their calls and answers each, in the same order.
    pub async fn run<Bulk, Fut>(&self, bulk: Bulk, shutdown: impl Future<Output = ()>)
    where
        Bulk: Fn(Vec<Req>) -> Fut,
        Fut: Future<Output = Result<Vec<Res>, Err>>,
    {
        let queue = &self.last.0;
        let mut shutdown = pin!(shutdown);
        let mut open = true;
        loop {
            let group = if open {
                tokio::select! {
                    biased;
                    () = &mut shutdown => {
                        queue.close();
                        open = false;
                        continue;
                    }
                    group = queue.next_group() => group,
                }
            } else {
                queue.next_group().await
            };
            match group {
                Some(group) => {
                    let next = Instant::now() + queue.options.breath;
                    run_group(&bulk, group).await;
                    if open && !rested_until(next, queue, &mut shutdown).await {
                        queue.close();
                        open = false;
                    }
                }
                None => return,
            }
        }
    }
}

/// Rests until `next`, or until a crowd waits; `false` when `shutdown` came first.
async fn rested_until<Req, Res, Err>(
    next: Instant,
    queue: &Queue<Req, Res, Err>,
    shutdown: &mut Pin<&mut impl Future<Output = ()>>,
) -> bool {
    if next <= Instant::now() {
        return true;
    }
    tokio::select! {
        biased;
        () = shutdown => false,
        () = queue.crowd() => true,
        () = sleep_until(next) => true,
    }
}

impl<Req, Res, Err> Lane<Req, Res, Err> {
    pub(crate) fn new(last: Arc<LastLane<Req, Res, Err>>) -> Self {
        Self { last }
    }
}

type Answer<Res, Err> = oneshot::Sender<Result<Res, CallError<Err>>>;

async fn run_group<Req, Res, Err, Bulk, Fut>(bulk: &Bulk, group: Vec<Waiting<Req, Res, Err>>)
where
    Err: Clone,
    Bulk: Fn(Vec<Req>) -> Fut,
    Fut: Future<Output = Result<Vec<Res>, Err>>,
{
    let (requests, answers): (Vec<Req>, Vec<Answer<Res, Err>>) =
        group.into_iter().map(|call| (call.request, call.answer)).unzip();
    match bulk(requests).await {
        Ok(results) if results.len() == answers.len() => {
            for (answer, result) in answers.into_iter().zip(results) {
                let _caller_may_be_gone = answer.send(Ok(result));
            }
        }
        Ok(results) => {
            tracing::error!(
                requests = answers.len(),
                answers = results.len(),
                "a bulk call broke its contract"
            );
            let refusal = CallError::WrongLength {
                requests: answers.len(),
                answers: results.len(),
            };
            refuse_all(answers, &refusal);
        }
        Err(error) => refuse_all(answers, &CallError::Bulk(error)),
    }
}

fn refuse_all<Res, Err: Clone>(answers: Vec<Answer<Res, Err>>, refusal: &CallError<Err>) {
    for answer in answers {
        let _caller_may_be_gone = answer.send(Err(refusal.clone()));
    }
}
