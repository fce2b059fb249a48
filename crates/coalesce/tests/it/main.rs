//! The contract of `coalesce`: natural batching, bounds, and who gets which answer.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::{
    future::{Future, pending},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use coalesce::{CallError, Coalescer, Options};
use futures::{FutureExt as _, future::join_all};
use proptest::prelude::*;
use tokio::sync::{Semaphore, mpsc};

const OPTIONS: Options = Options {
    lanes: 1,
    max_items: 100,
    max_weight: 1_000,
    max_queued_items: 1_000,
    max_queued_weight: 100_000,
    breath: std::time::Duration::ZERO,
    crowd: 100,
};

type Calls = Coalescer<u32, u32, String>;
type Lane = coalesce::Lane<u32, u32, String>;

fn new(options: Options) -> (Calls, Vec<Lane>) {
    Coalescer::new(options)
}

/// Polls once, for what must be done or refused (or queued) at once.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A bulk call that shows its groups and waits for a permit before it answers `request * 2`.
struct Gated {
    groups: mpsc::UnboundedSender<Vec<u32>>,
    permits: Arc<Semaphore>,
}

impl Gated {
    fn new() -> (Self, mpsc::UnboundedReceiver<Vec<u32>>, Arc<Semaphore>) {
        let (groups, seen) = mpsc::unbounded_channel();
        let permits = Arc::new(Semaphore::new(0));
        let gated = Self {
            groups,
            permits: Arc::clone(&permits),
        };
        (gated, seen, permits)
    }

    async fn bulk(&self, requests: Vec<u32>) -> Result<Vec<u32>, String> {
        self.groups.send(requests.clone()).unwrap();
        self.permits.acquire().await.unwrap().forget();
        Ok(requests.into_iter().map(|r| r * 2).collect())
    }
}

#[tokio::test]
async fn lone_call_goes_at_once_and_the_next_group_forms_meanwhile() {
    let (calls, lanes) = new(OPTIONS);
    let (gated, mut seen, permits) = Gated::new();
    let lane = lanes[0].run(|group| gated.bulk(group), pending());
    let script = async {
        let mut first = pin!(calls.call(1, 1));
        assert!(poll_once(first.as_mut()).is_pending());
        assert_eq!(seen.recv().await.unwrap(), [1]);
        let mut rest = pin!(join_all((2..=50).map(|n| calls.call(n, 1))));
        assert!(poll_once(rest.as_mut()).is_pending());
        assert_eq!(calls.queued(), (49, 49));
        permits.add_permits(2);
        assert_eq!(first.await.unwrap(), 2);
        let answers: Vec<u32> = rest.await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, (2..=50).map(|n| n * 2).collect::<Vec<_>>());
        assert_eq!(seen.recv().await.unwrap(), (2..=50).collect::<Vec<_>>());
    };
    tokio::select! { () = lane => unreachable!(), () = script => {} }
}

#[tokio::test]
async fn group_keeps_to_items_and_weight_and_a_heavy_call_goes_alone() {
    let (calls, lanes) = new(Options {
        max_items: 3,
        max_weight: 10,
        ..OPTIONS
    });
    let weights = [4, 4, 4, 1, 1, 1, 1, 99, 1];
    let mut pending_calls = pin!(join_all(
        weights
            .iter()
            .zip(0u32..)
            .map(|(&weight, n)| calls.call(n, weight))
    ));
    assert!(poll_once(pending_calls.as_mut()).is_pending());
    let (gated, mut seen, permits) = Gated::new();
    permits.add_permits(100);
    let lane = lanes[0].run(|group| gated.bulk(group), pending());
    tokio::select! { () = lane => unreachable!(), _ = pending_calls => {} }
    let mut groups = Vec::new();
    while let Some(Some(group)) = seen.recv().now_or_never() {
        groups.push(group);
    }
    assert_eq!(groups, [vec![0, 1], vec![2, 3, 4], vec![5, 6], vec![7], vec![8]]);
}

#[tokio::test]
async fn full_queue_refuses_at_once_by_items_and_by_weight() {
    let (calls, _lanes) = new(Options {
        max_queued_items: 2,
        max_queued_weight: 10,
        breath: std::time::Duration::ZERO,
        crowd: usize::MAX,
        ..OPTIONS
    });
    let mut first = pin!(calls.call(1, 50));
    assert!(
        poll_once(first.as_mut()).is_pending(),
        "heavy, but it waits alone"
    );
    assert_eq!(calls.call(2, 1).now_or_never(), Some(Err(CallError::Overloaded)));

    let (calls, _lanes) = new(Options {
        max_queued_items: 2,
        ..OPTIONS
    });
    let mut waiting = pin!(join_all([calls.call(1, 0), calls.call(2, 0)]));
    assert!(poll_once(waiting.as_mut()).is_pending());
    assert_eq!(calls.call(3, 0).now_or_never(), Some(Err(CallError::Overloaded)));
    assert_eq!(calls.queued(), (2, 0));
}

#[tokio::test]
async fn failure_reaches_every_member_and_only_that_group() {
    let (calls, lanes) = new(Options {
        max_items: 2,
        ..OPTIONS
    });
    let bulk = |group: Vec<u32>| async move {
        if group.contains(&1) {
            Err("broken".to_owned())
        } else {
            Ok(group)
        }
    };
    let lane = lanes[0].run(bulk, pending());
    let all = join_all((1..=4).map(|n| calls.call(n, 1)));
    let broken = || Err(CallError::Bulk("broken".to_owned()));
    tokio::select! {
        () = lane => unreachable!(),
        answers = all => assert_eq!(answers, [broken(), broken(), Ok(3), Ok(4)]),
    }
}

#[tokio::test]
async fn wrong_number_of_answers_is_told_to_all() {
    let (calls, lanes) = new(OPTIONS);
    let lane = lanes[0].run(|_| async { Ok(vec![1]) }, pending());
    let all = join_all((1..=3).map(|n| calls.call(n, 1)));
    let wrong = CallError::WrongLength {
        requests: 3,
        answers: 1,
    };
    tokio::select! {
        () = lane => unreachable!(),
        answers = all => assert!(answers.iter().all(|a| a.as_ref() == Err(&wrong)), "{answers:?}"),
    }
}

#[tokio::test]
async fn caller_that_goes_away_neither_cancels_nor_leaves_its_group() {
    let (calls, lanes) = new(OPTIONS);
    let (gated, mut seen, permits) = Gated::new();
    let mut gone = Box::pin(calls.call(1, 1));
    let mut stays = pin!(calls.call(2, 1));
    assert!(poll_once(gone.as_mut()).is_pending());
    assert!(poll_once(stays.as_mut()).is_pending());
    let lane = lanes[0].run(|group| gated.bulk(group), pending());
    let script = async {
        assert_eq!(seen.recv().await.unwrap(), [1, 2]);
        drop(gone);
        permits.add_permits(1);
        assert_eq!(stays.await.unwrap(), 4);
    };
    tokio::select! { () = lane => unreachable!(), () = script => {} }
}

#[tokio::test]
async fn shutdown_answers_what_is_queued_and_refuses_what_comes() {
    let (calls, lanes) = new(OPTIONS);
    let mut queued = pin!(calls.call(1, 1));
    assert!(poll_once(queued.as_mut()).is_pending());
    lanes[0].run(|group| async move { Ok(group) }, async {}).await;
    assert_eq!(queued.await, Ok(1));
    assert_eq!(calls.call(2, 1).await, Err(CallError::Closed));
}

#[tokio::test]
async fn one_lanes_shutdown_ends_all_lanes() {
    let (calls, lanes) = new(Options { lanes: 2, ..OPTIONS });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let bulk = |group| async move { Ok(group) };
    let both = async {
        tokio::join!(
            lanes[0].run(bulk, pending()),
            lanes[1].run(bulk, async { stopped.await.unwrap() })
        )
    };
    let script = async {
        assert_eq!(calls.call(1, 1).await, Ok(1));
        stop.send(()).unwrap();
    };
    tokio::join!(both, script);
}

#[tokio::test]
async fn dropped_lanes_leave_nobody_waiting() {
    let (calls, lanes) = new(OPTIONS);
    let mut queued = pin!(calls.call(1, 1));
    assert!(poll_once(queued.as_mut()).is_pending());
    drop(lanes);
    assert_eq!(queued.await, Err(CallError::Closed));
    assert_eq!(calls.call(2, 1).await, Err(CallError::Closed));
}

#[tokio::test]
async fn panic_aborts_its_group_and_the_lane_can_run_again() {
    let (calls, lanes) = new(OPTIONS);
    let runs = AtomicUsize::new(0);
    let lane = async {
        loop {
            let bulk = |group: Vec<u32>| {
                let first = runs.fetch_add(1, Ordering::SeqCst) == 0;
                async move {
                    assert!(!first, "the first bulk call panics");
                    Ok(group)
                }
            };
            let run = std::panic::AssertUnwindSafe(lanes[0].run(bulk, pending()));
            assert!(run.catch_unwind().await.is_err());
        }
    };
    let script = async {
        assert_eq!(calls.call(1, 1).await, Err(CallError::Aborted));
        assert_eq!(calls.call(2, 1).await, Ok(2));
    };
    tokio::select! { () = lane => {}, () = script => {} }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_call_is_lost_or_doubled_with_many_lanes_and_callers() {
    const CALLERS: u32 = 64;
    const EACH: u32 = 500;
    let (calls, lanes) = new(Options {
        lanes: 4,
        max_items: 7,
        ..OPTIONS
    });
    let done = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for lane in lanes {
        let done = Arc::clone(&done);
        tasks.spawn(async move {
            let bulk = |group: Vec<u32>| {
                done.fetch_add(group.len(), Ordering::SeqCst);
                async move {
                    tokio::task::yield_now().await;
                    Ok(group.into_iter().map(|n| n * 2).collect())
                }
            };
            lane.run(bulk, pending()).await;
        });
    }
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let calls = calls.clone();
        callers.spawn(async move {
            for n in 0..EACH {
                let request = caller * EACH + n;
                assert_eq!(calls.call(request, 1).await, Ok(request * 2));
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    assert_eq!(done.load(Ordering::SeqCst), (CALLERS * EACH) as usize);
    tasks.shutdown().await;
}

proptest! {
    /// Groups are consecutive calls in order, never above a bound unless of one call, and never
    /// smaller than they could have been.
    #[test]
    fn groups_partition_the_queue(
        weights in prop::collection::vec(0usize..20, 1..60),
        max_items in 1usize..10,
        max_weight in 1usize..30,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let groups = runtime.block_on(async {
            let (calls, lanes) = new(Options { max_items, max_weight, ..OPTIONS });
            let mut all = pin!(join_all(weights.iter().zip(0u32..).map(|(&w, n)| calls.call(n, w))));
            assert!(poll_once(all.as_mut()).is_pending());
            let groups = parking_lot::Mutex::new(Vec::new());
            let bulk = |group: Vec<u32>| {
                groups.lock().push(group.clone());
                async move { Ok(group) }
            };
            lanes[0].run(bulk, async {}).await;
            assert!(all.await.iter().all(Result::is_ok));
            groups.into_inner()
        });
        let weigh = |group: &[u32]| group.iter().map(|&n| weights[n as usize]).sum::<usize>();
        prop_assert_eq!(groups.concat(), (0..weights.len() as u32).collect::<Vec<_>>());
        for pair in groups.windows(2) {
            let full = pair[0].len() == max_items;
            let heavy = weigh(&pair[0]) + weigh(&pair[1][..1]) > max_weight;
            prop_assert!(full || heavy);
        }
        for group in &groups {
            prop_assert!(group.len() <= max_items);
            prop_assert!(group.len() == 1 || weigh(group) <= max_weight);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn groups_keep_their_distance_but_a_crowd_and_the_first_call_after_a_rest_do_not_wait() {
    let breath = std::time::Duration::from_millis(10);
    let (calls, lanes) = new(Options {
        lanes: 1,
        breath,
        crowd: 3,
        ..OPTIONS
    });
    let begun = tokio::time::Instant::now();
    let lane = lanes.into_iter().next().unwrap();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = std::sync::Arc::clone(&seen);
    let work = lane.run(
        move |group: Vec<u32>| {
            log.lock()
                .unwrap()
                .push((begun.elapsed().as_millis(), group.len()));
            async move { Ok::<_, String>(group) }
        },
        tokio::time::sleep(breath * 100),
    );
    let ask = async {
        calls.call(1, 0).await.unwrap();
        let (a, b) = tokio::join!(calls.call(2, 0), calls.call(3, 0));
        a.unwrap();
        b.unwrap();
        tokio::time::sleep(breath * 5).await;
        calls.call(4, 0).await.unwrap();
        // So many do not wait.
        let (a, b, c) = tokio::join!(calls.call(5, 0), calls.call(6, 0), calls.call(7, 0));
        assert!(a.is_ok() && b.is_ok() && c.is_ok());
        calls.call(8, 0).await.unwrap();
    };
    tokio::join!(work, ask);
    assert_eq!(
        *seen.lock().unwrap(),
        [(0, 1), (10, 2), (60, 1), (60, 3), (70, 1)]
    );
}
