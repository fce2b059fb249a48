//! Messages that share transactions.
//!
//! Where messages come faster than transactions end, each by itself would cost a commit. Here those that wait are taken
//! into effect together, and each handler still learns of its own message only. Must not: know what the work is.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use coalesce::{CallError, Coalescer, Lane, Options};
use lifecycle::{Lifecycle, OnExit, Phase};

use crate::HandlerError;

/// What is done with many items at once.
pub trait GroupWork: Clone + Send + Sync + 'static {
    /// What a message says.
    type Item: Send + Sync + 'static;
    /// What became of it.
    type Done: Send + 'static;
    /// Why nothing became of it.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Takes all items into effect, or none; answers for each, in their order.
    ///
    /// # Errors
    /// Nothing was done.
    fn together(
        &self,
        items: &[Self::Item],
    ) -> impl Future<Output = Result<Vec<Self::Done>, Self::Error>> + Send;

    /// Whether a failure may be that of one item among many, so that the others are worth a try without it: not when the
    /// database is away.
    fn may_be_of_one(error: &Self::Error) -> bool;
}

/// The bounds of groups.
#[derive(Debug, Clone, Copy)]
pub struct Grouping {
    /// Transactions at once; at least 1.
    pub lanes: usize,
    /// Most items in one transaction; at least 1.
    pub max_items: usize,
    /// Most weight in one transaction; an item above it goes alone.
    pub max_weight: usize,
    /// The least time between the beginnings of a lane's transactions: under load, groups become larger and cost less.
    /// The first item after a rest does not wait.
    pub breath: Duration,
}

/// Groups what its callers bring. As many wait as the consumers in front handle at once.
pub struct Grouped<W: GroupWork> {
    calls: Coalescer<W::Item, Verdict<W>, Arc<W::Error>>,
}

type Verdict<W> = Result<<W as GroupWork>::Done, Arc<<W as GroupWork>::Error>>;

/// Why an item has no outcome.
#[derive(Debug, thiserror::Error)]
pub enum GroupError<E> {
    /// The work failed, for this item or for its whole group.
    #[error("the group was not taken into effect")]
    Failed(#[source] Arc<E>),
    /// The process is stopping, or the work panicked.
    #[error("the group was given up")]
    GivenUp,
}

impl<E: std::error::Error + Send + Sync + 'static> GroupError<E> {
    /// The failure as the consumer needs it: tried again, but for what `is_final` says of a failure of the work.
    pub fn to_handler(self, is_final: impl Fn(&E) -> bool) -> HandlerError {
        match self {
            Self::Failed(error) if is_final(&error) => HandlerError::poison(error),
            Self::Failed(error) => HandlerError::retry(error),
            Self::GivenUp => HandlerError::retry(self),
        }
    }
}

impl<W: GroupWork> Grouped<W> {
    /// Starts the lanes as tasks of `lifecycle` called `name`. They are stopped after the consumers, which hand over what
    /// they have in hand until then.
    #[must_use]
    pub fn start(name: &'static str, work: W, grouping: Grouping, lifecycle: &Lifecycle) -> Self {
        let (calls, lanes) = Coalescer::new(Options {
            lanes: grouping.lanes,
            max_items: grouping.max_items,
            max_weight: grouping.max_weight,
            max_queued_items: usize::MAX,
            max_queued_weight: usize::MAX,
            breath: grouping.breath,
            crowd: grouping.max_items,
        });
        for lane in lanes {
            let work = work.clone();
            lifecycle.spawn(name, Phase::Base, OnExit::restart(), move |shutdown| {
                let (work, lane): (W, Lane<_, _, _>) = (work.clone(), lane.clone());
                async move {
                    let work = &work;
                    lane.run(|group| take(work.clone(), group), shutdown.requested_owned())
                        .await;
                    Ok(())
                }
            });
        }
        Self { calls }
    }

    /// Takes one item of `weight` into effect, together with others that wait.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn one(&self, item: W::Item, weight: usize) -> Result<W::Done, GroupError<W::Error>> {
        match self.calls.call(item, weight).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) | Err(CallError::Bulk(error)) => Err(GroupError::Failed(error)),
            Err(_) => Err(GroupError::GivenUp),
        }
    }
}

/// All together; if that fails for a reason that may be one item's, each by itself, so that it does not harm its neighbours.
async fn take<W: GroupWork>(work: W, group: Vec<W::Item>) -> Result<Vec<Verdict<W>>, Arc<W::Error>> {
    let error = match work.together(&group).await {
        Ok(done) => return Ok(done.into_iter().map(Ok).collect()),
        Err(error) => error,
    };
    if group.len() == 1 || !W::may_be_of_one(&error) {
        return Err(Arc::new(error));
    }
    let mut verdicts = Vec::with_capacity(group.len());
    for item in &group {
        let alone = work.together(std::slice::from_ref(item)).await;
        verdicts.extend(
            alone
                .map(|done| done.into_iter().map(Ok).collect())
                .unwrap_or_else(|error| vec![Err(Arc::new(error))]),
        );
    }
    Ok(verdicts)
}

#[cfg(test)]
mod tests {
    use std::num::ParseIntError;

    use parking_lot::Mutex;

    use super::*;

    /// Reads numbers; refuses the group if one is none.
    #[derive(Clone, Default)]
    struct Numbers(Arc<Mutex<Vec<usize>>>);

    impl GroupWork for Numbers {
        type Item = &'static str;
        type Done = u32;
        type Error = ParseIntError;

        async fn together(&self, items: &[&'static str]) -> Result<Vec<u32>, ParseIntError> {
            self.0.lock().push(items.len());
            items.iter().map(|item| item.parse()).collect()
        }

        fn may_be_of_one(error: &ParseIntError) -> bool {
            *error.kind() != std::num::IntErrorKind::Empty
        }
    }

    fn start(numbers: &Numbers) -> (Lifecycle, Grouped<Numbers>) {
        let lifecycle = Lifecycle::new();
        let grouping = Grouping {
            lanes: 1,
            max_items: 8,
            max_weight: usize::MAX,
            breath: Duration::ZERO,
        };
        let grouped = Grouped::start("numbers", numbers.clone(), grouping, &lifecycle);
        (lifecycle, grouped)
    }

    #[tokio::test]
    async fn items_that_wait_share_the_work_and_one_that_fails_fails_alone() {
        let numbers = Numbers::default();
        let (_lifecycle, grouped) = start(&numbers);
        let (a, b, c) = tokio::join!(grouped.one("1", 1), grouped.one("x", 1), grouped.one("3", 1));
        assert_eq!((a.unwrap(), c.unwrap()), (1, 3));
        let poison = b.unwrap_err().to_handler(|_| true);
        assert!(matches!(poison, HandlerError::Poison(_)));
        assert_eq!(*numbers.0.lock(), [3, 1, 1, 1]);
    }

    #[tokio::test]
    async fn a_failure_of_all_is_tried_once() {
        let numbers = Numbers::default();
        let (_lifecycle, grouped) = start(&numbers);
        let (a, b) = tokio::join!(grouped.one("", 1), grouped.one("2", 1));
        for refused in [a, b] {
            let retry = refused.unwrap_err().to_handler(|_| false);
            assert!(matches!(retry, HandlerError::Retry(_)), "{retry:?}");
        }
        assert_eq!(*numbers.0.lock(), [2]);
    }
}
