//! Readiness, the order of phases, budgets.

use std::{future::pending, time::Duration};

use lifecycle::{Lifecycle, LifecycleError, OnExit, Phase};
use tokio::sync::oneshot;

use crate::{BUDGET, Journal, wait_for};

#[tokio::test]
async fn readiness_needs_every_check_and_names_the_reason() {
    let lifecycle = Lifecycle::new();
    assert!(lifecycle.readiness().ready);
    let postgres = lifecycle.child("crm").register_check("postgres");
    let nats = lifecycle.register_check("nats");
    assert_eq!(
        lifecycle.readiness().checks[0].reason.as_deref(),
        Some("starting")
    );
    postgres.set_ready();
    nats.set_not_ready("no route");
    let readiness = lifecycle.readiness();
    assert!(!readiness.ready);
    assert_eq!(readiness.checks[0].name, "crm/postgres");
    assert!(readiness.checks[0].ready);
    assert_eq!(readiness.checks[1].reason.as_deref(), Some("no route"));
    nats.set_ready();
    assert!(lifecycle.readiness().ready);
}

#[tokio::test]
async fn readiness_flips_before_any_task_is_asked_to_stop() {
    let lifecycle = Lifecycle::new();
    lifecycle.register_check("store").set_ready();
    let (tell, told) = oneshot::channel();
    let seen_by_task = lifecycle.clone();
    lifecycle.spawn_once("server", Phase::Edge, |shutdown| async move {
        shutdown.requested().await;
        let _ = tell.send(seen_by_task.readiness());
        Ok(())
    });
    lifecycle.shutdown();
    let readiness = lifecycle.readiness();
    assert!(!readiness.ready && readiness.shutting_down);
    assert!(readiness.checks[0].ready, "the checks themselves still hold");
    lifecycle.run(BUDGET).await.unwrap();
    assert!(!told.await.unwrap().ready);
}

#[tokio::test]
async fn phases_stop_in_order_and_each_waits_for_the_one_before() {
    let lifecycle = Lifecycle::new();
    let journal = Journal::default();
    for (name, phase) in [
        ("pool", Phase::Base),
        ("relay", Phase::Work),
        ("consumer", Phase::Work),
        ("server", Phase::Edge),
    ] {
        let journal = journal.clone();
        lifecycle.spawn(name, phase, OnExit::Shutdown, move |shutdown| {
            let journal = journal.clone();
            async move {
                shutdown.requested().await;
                journal.write(format!("{phase:?} asked"));
                // Draining takes its time; nothing of the next phase may come in between.
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                journal.write(format!("{phase:?} ended"));
                Ok(())
            }
        });
    }
    lifecycle.stop(BUDGET).await.unwrap();
    let mut lines = journal.lines();
    lines.dedup();
    assert_eq!(
        lines,
        [
            "Edge asked",
            "Edge ended",
            "Work asked",
            "Work ended",
            "Base asked",
            "Base ended"
        ]
    );
    assert!(lifecycle.liveness().tasks.is_empty());
    assert!(!lifecycle.liveness().alive);
    lifecycle.stopped().await;
}

#[tokio::test]
async fn work_runs_unasked_while_the_edge_drains() {
    let lifecycle = Lifecycle::new();
    let (answer, answered) = oneshot::channel();
    let (ask, asked) = oneshot::channel();
    lifecycle.spawn_once("lane", Phase::Work, |shutdown| async move {
        asked.await?;
        answer
            .send(shutdown.is_requested())
            .map_err(|_| "the edge is gone")?;
        shutdown.requested().await;
        Ok(())
    });
    let (seen, saw) = oneshot::channel();
    lifecycle.spawn_once("server", Phase::Edge, |shutdown| async move {
        shutdown.requested().await;
        ask.send(()).map_err(|()| "the lane is gone")?;
        let _ = seen.send(answered.await?);
        Ok(())
    });
    lifecycle.stop(BUDGET).await.unwrap();
    assert!(
        !saw.await.unwrap(),
        "the lane was asked to stop before the edge had ended"
    );
}

#[tokio::test(start_paused = true)]
async fn overrunning_task_is_aborted_and_named_and_the_rest_still_stops() {
    let lifecycle = Lifecycle::new().child("crm");
    let journal = Journal::default();
    lifecycle.spawn("stuck", Phase::Work, OnExit::Shutdown, |_| pending());
    let written = journal.clone();
    lifecycle.spawn_once("pool", Phase::Base, |shutdown| async move {
        shutdown.requested().await;
        written.write("pool closed");
        Ok(())
    });
    let error = lifecycle.stop(Duration::from_secs(5)).await.unwrap_err();
    let LifecycleError::Overran { phase, tasks } = error else {
        panic!("{error}");
    };
    assert_eq!((phase, tasks), (Phase::Work, vec!["crm/stuck".to_owned()]));
    assert_eq!(journal.lines(), ["pool closed"]);
    assert!(lifecycle.liveness().tasks.is_empty(), "the aborted task is gone");
}

#[tokio::test]
async fn late_task_does_not_start() {
    let lifecycle = Lifecycle::new();
    lifecycle.stop(BUDGET).await.unwrap();
    let journal = Journal::default();
    let written = journal.clone();
    lifecycle.spawn_once("late", Phase::Work, |_| async move {
        written.write("started");
        Ok(())
    });
    tokio::task::yield_now().await;
    assert!(journal.lines().is_empty() && lifecycle.liveness().tasks.is_empty());
}

#[tokio::test]
async fn children_share_one_life() {
    let root = Lifecycle::new();
    let child = root.child("scoring").child("http");
    child.spawn_once("server", Phase::Edge, |shutdown| async move {
        shutdown.requested().await;
        Ok(())
    });
    wait_for("registered", || root.liveness().tasks.len() == 1).await;
    assert_eq!(root.liveness().tasks[0].name, "scoring/http/server");
    child.shutdown();
    root.stopping().await;
    root.run(BUDGET).await.unwrap();
    child.stopped().await;
}
