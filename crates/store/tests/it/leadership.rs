//! One leader at a time, and the next one when it goes, however it goes.

use std::time::Duration;

use store::Stores;
use test_kit::wait_for;

use crate::support::{stores, superuser};

async fn becomes_leader(stores: &Stores) -> store::Leadership {
    wait_for("the leadership is free", Duration::from_secs(10), async || {
        stores.lead("relay").await.unwrap()
    })
    .await
}

#[tokio::test]
async fn there_is_one_leader_per_name() {
    let stores = stores().await;
    let mut leader = stores.lead("relay").await.unwrap().unwrap();
    assert!(stores.lead("relay").await.unwrap().is_none());
    assert!(stores.lead("sweeper").await.unwrap().is_some());
    leader.check().await.unwrap();
    leader.resign().await;
    assert!(stores.lead("relay").await.unwrap().is_some());
}

#[tokio::test]
async fn a_leader_that_is_dropped_makes_room() {
    let stores = stores().await;
    drop(stores.lead("relay").await.unwrap().unwrap());
    becomes_leader(&stores).await.check().await.unwrap();
}

#[tokio::test]
async fn a_leader_learns_that_its_session_ended() {
    let stores = stores().await;
    let mut leader = stores.lead("relay").await.unwrap().unwrap();
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'workshop-leader-relay' AND datname = current_database()")
        .execute(&mut superuser(stores.database()).await)
        .await
        .unwrap();
    let mut next = becomes_leader(&stores).await;
    leader.check().await.unwrap_err();
    next.check().await.unwrap();
}
