//! What the end of a task means.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use lifecycle::{Backoff, Lifecycle, LifecycleError, Observer, OnExit, Phase, TaskError};
use tokio::time::Instant;

use crate::{BUDGET, Journal, wait_for};

impl Observer for Journal {
    fn task_panicked(&self, task: &str) {
        self.write(format!("panic {task}"));
    }

    fn task_restarted(&self, task: &str) {
        self.write(format!("restart {task}"));
    }
}

async fn death_of<Fut>(task: impl Fn() -> Fut + Send + 'static) -> String
where
    Fut: Future<Output = Result<(), TaskError>> + Send + 'static,
{
    let lifecycle = Lifecycle::new();
    lifecycle.spawn("relay", Phase::Work, OnExit::Shutdown, move |_| task());
    match lifecycle.run(BUDGET).await {
        Err(LifecycleError::TaskEnded { task, reason }) => format!("{task}: {reason}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn death_of_a_task_brings_the_process_down_with_its_reason() {
    assert_eq!(death_of(|| async { Ok(()) }).await, "relay: it returned");
    assert_eq!(
        death_of(|| async { Err("no stream".into()) }).await,
        "relay: no stream"
    );
    assert_eq!(death_of(|| async { panic!("boom") }).await, "relay: panic: boom");
    let formatted = || async { panic!("boom {}", 7) };
    assert_eq!(death_of(formatted).await, "relay: panic: boom 7");
}

#[tokio::test]
async fn panic_before_the_first_await_is_caught_too() {
    let reason = death_of(|| -> std::future::Ready<Result<(), TaskError>> { panic!("early") });
    assert_eq!(reason.await, "relay: panic: early");
}

#[tokio::test]
async fn death_stops_the_others_in_order() {
    let lifecycle = Lifecycle::new();
    let journal = Journal::default();
    for (name, phase) in [("pool", Phase::Base), ("server", Phase::Edge)] {
        let journal = journal.clone();
        lifecycle.spawn_once(name, phase, move |shutdown| async move {
            shutdown.requested().await;
            journal.write(name);
            Ok(())
        });
    }
    lifecycle.spawn_once("relay", Phase::Work, |_| async { Err("dead".into()) });
    assert!(lifecycle.run(BUDGET).await.is_err());
    assert_eq!(journal.lines(), ["server", "pool"]);
}

#[tokio::test]
async fn finishing_task_may_end_but_not_fail() {
    let lifecycle = Lifecycle::new();
    lifecycle.spawn("import", Phase::Work, OnExit::Finish, |_| async { Ok(()) });
    wait_for("finished", || lifecycle.liveness().tasks.is_empty()).await;
    assert!(!lifecycle.readiness().shutting_down);
    lifecycle.spawn("import", Phase::Work, OnExit::Finish, |_| async {
        Err("bad".into())
    });
    let error = lifecycle.run(BUDGET).await.unwrap_err();
    assert!(error.to_string().contains("bad"), "{error}");
}

#[tokio::test]
async fn work_that_returns_while_the_edge_drains_is_no_death() {
    let lifecycle = Lifecycle::new();
    let (input, mut inputs) = tokio::sync::mpsc::channel::<()>(1);
    lifecycle.spawn_once("lane", Phase::Work, |_| async move {
        while inputs.recv().await.is_some() {}
        Ok(())
    });
    let seen = lifecycle.clone();
    lifecycle.spawn_once("server", Phase::Edge, |shutdown| async move {
        shutdown.requested().await;
        drop(input);
        wait_for("the lane ended", || seen.liveness().tasks.len() == 1).await;
        Ok(())
    });
    lifecycle.stop(BUDGET).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn restarts_pause_twice_as_long_each_time_up_to_the_limit() {
    let observer = Journal::default();
    let lifecycle = Lifecycle::with_observer(Arc::new(observer.clone()));
    let starts = Journal::default();
    let begun = Instant::now();
    let backoff = Backoff {
        initial: Duration::from_millis(100),
        max: Duration::from_millis(350),
    };
    let journal = starts.clone();
    lifecycle.spawn("poller", Phase::Work, OnExit::Restart { backoff }, move |_| {
        journal.write(begun.elapsed().as_millis().to_string());
        let run = journal.lines().len();
        async move {
            match run {
                1 => Ok(()),
                2 => Err("refused".into()),
                3 => panic!("boom"),
                4 => Err("refused".into()),
                _ => std::future::pending().await,
            }
        }
    });
    let waited = async {
        while starts.lines().len() < 5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(BUDGET, waited).await.unwrap();
    let at: Vec<u64> = starts.lines().iter().map(|l| l.parse().unwrap()).collect();
    let pauses: Vec<u64> = at.windows(2).map(|pair| (pair[1] - pair[0]) / 10 * 10).collect();
    assert_eq!(pauses, [100, 200, 350, 350]);
    assert_eq!(lifecycle.liveness().tasks[0].restarts, 4);
    let restart = "restart poller";
    assert_eq!(
        observer.lines(),
        [restart, restart, "panic poller", restart, restart]
    );
    assert!(!lifecycle.readiness().shutting_down);
}

#[tokio::test(start_paused = true)]
async fn long_run_sets_the_pauses_back() {
    let lifecycle = Lifecycle::new();
    let ends = Journal::default();
    let begun = Instant::now();
    let backoff = Backoff {
        initial: Duration::from_secs(1),
        max: Duration::from_secs(8),
    };
    let journal = ends.clone();
    lifecycle.spawn("poller", Phase::Work, OnExit::Restart { backoff }, move |_| {
        let journal = journal.clone();
        journal.write(begun.elapsed().as_secs().to_string());
        async move {
            if journal.lines().len() == 4 {
                tokio::time::sleep(Duration::from_secs(100)).await;
            }
            Err("refused".into())
        }
    });
    let waited = async {
        while ends.lines().len() < 6 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1000), waited)
        .await
        .unwrap();
    // Pauses of 1, 2, 4 seconds; 100 seconds of work and a pause of 1; then 2.
    assert_eq!(ends.lines(), ["0", "1", "3", "7", "108", "110"]);
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_a_pause() {
    let lifecycle = Lifecycle::new();
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let hour = Duration::from_secs(3600);
    let backoff = Backoff {
        initial: hour,
        max: hour,
    };
    lifecycle.spawn("poller", Phase::Work, OnExit::Restart { backoff }, move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Err("refused".into()) }
    });
    wait_for("first run", || runs.load(Ordering::SeqCst) == 1).await;
    lifecycle.stop(Duration::from_secs(1)).await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn detached_section_outlives_its_caller_and_reports_panics() {
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let (tell, told) = tokio::sync::oneshot::channel();
    drop(lifecycle::detach("section", async move {
        let _ = gone.await;
        let _ = tell.send(7);
    }));
    go.send(()).unwrap();
    assert_eq!(told.await.unwrap(), 7);
    let panicked = lifecycle::detach("section", async { panic!("boom") });
    assert!(panicked.await.unwrap_err().is_panic());
}
