//! Postgres goes away and comes back.

use std::time::{Duration, Instant};

use lifecycle::Lifecycle;
use store::{Class, Stores};
use telemetry::Metrics;
use test_kit::wait_for;

use crate::support::{PrivatePostgres, org};

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_the_first_transaction_succeeds_although_all_connections_are_dead() {
    let mut postgres = PrivatePostgres::start().await;
    let stores = Stores::connect(&postgres.settings, &Lifecycle::new(), &Metrics::new("workshop"))
        .await
        .unwrap();
    let scope = org();
    let mut held = Vec::new();
    for _ in 0..postgres.settings.app_connections {
        held.push(stores.db.begin(&scope).await.unwrap());
    }
    for tx in held {
        tx.commit().await.unwrap();
    }
    postgres.server.kill().await.unwrap();
    postgres.server.restart().await.unwrap();
    let started = Instant::now();
    stores.db.begin(&scope).await.unwrap().commit().await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "took {:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_away_transactions_fail_as_unavailable_and_the_check_says_so() {
    let mut postgres = PrivatePostgres::start().await;
    let life = Lifecycle::new();
    postgres.settings.acquire_timeout_ms = 500;
    let stores = Stores::connect(&postgres.settings, &life, &Metrics::new("workshop"))
        .await
        .unwrap();
    assert!(life.readiness().ready);
    let mut open = stores.db.begin(&org()).await.unwrap();
    postgres.server.stop().await.unwrap();
    let lost = sqlx::query("SELECT 1")
        .execute(&mut *open)
        .await
        .map_err(store::StoreError::from)
        .unwrap_err();
    assert_eq!(lost.class(), Class::Unavailable, "{lost:?}");
    let refused = stores.db.begin(&org()).await.unwrap_err();
    assert_eq!(refused.class(), Class::Unavailable, "{refused:?}");
    wait_for("not ready", Duration::from_secs(10), async || {
        (!life.readiness().ready).then_some(())
    })
    .await;
    postgres.server.restart().await.unwrap();
    wait_for("ready", Duration::from_secs(10), async || {
        life.readiness().ready.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connecting_waits_for_a_server_that_is_not_there_yet() {
    let mut postgres = PrivatePostgres::start().await;
    postgres.server.stop().await.unwrap();
    postgres.settings.acquire_timeout_ms = 200;
    let settings = postgres.settings.clone();
    let connecting = lifecycle::detach("connect", async move {
        Stores::connect(&settings, &Lifecycle::new(), &Metrics::new("workshop")).await
    });
    postgres.server.restart().await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), connecting)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}
