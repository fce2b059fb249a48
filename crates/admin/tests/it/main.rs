//! The operators' port of a running process.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use admin::AdminSettings;
use lifecycle::{Lifecycle, Phase};
use serde_json::Value;
use telemetry::Metrics;

async fn start(lifecycle: &Lifecycle, metrics: &Metrics) -> String {
    let settings = AdminSettings {
        listen: "127.0.0.1:0".into(),
    };
    let listener = admin::bind(&settings).await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    admin::serve(listener, metrics.clone(), lifecycle);
    base
}

async fn read(url: String) -> (u16, String) {
    let answer = reqwest::get(url).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn metrics_are_told_in_the_collectors_format() {
    let metrics = Metrics::new("crm");
    metrics.counter("things_total", "Things.").unwrap().inc_by(3);
    let base = start(&Lifecycle::new(), &metrics).await;
    let (status, text) = read(format!("{base}/metrics")).await;
    assert_eq!(status, 200);
    assert!(text.contains("devsignal_crm_things_total 3"), "{text}");
}

#[tokio::test]
async fn readiness_names_what_is_missing_and_follows_it() {
    let lifecycle = Lifecycle::new();
    let check = lifecycle.register_check("postgres");
    let base = start(&lifecycle, &Metrics::new("crm")).await;
    check.set_not_ready("connection refused");
    let (status, text) = read(format!("{base}/readyz")).await;
    let state: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, 503);
    assert_eq!(state["checks"][0]["reason"], "connection refused");
    check.set_ready();
    assert_eq!(read(format!("{base}/readyz")).await.0, 200);
}

#[tokio::test]
async fn a_process_that_drains_lives_but_takes_no_traffic() {
    let lifecycle = Lifecycle::new();
    let (drained, wait) = tokio::sync::oneshot::channel::<()>();
    lifecycle.spawn_once("work", Phase::Work, move |_shutdown| async move {
        let _ = wait.await;
        Ok(())
    });
    let base = start(&lifecycle, &Metrics::new("crm")).await;
    let stopping = {
        let lifecycle = lifecycle.clone();
        lifecycle::detach(
            "stop",
            async move { lifecycle.stop(Duration::from_secs(30)).await },
        )
    };
    lifecycle.stopping().await;
    assert_eq!(read(format!("{base}/readyz")).await.0, 503);
    assert_eq!(read(format!("{base}/livez")).await.0, 200);
    drained.send(()).unwrap();
    stopping.await.unwrap().unwrap();
    assert!(
        reqwest::get(format!("{base}/livez")).await.is_err(),
        "the port is closed at the end"
    );
}
