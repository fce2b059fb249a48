//! A message has its effect once.

use std::time::Duration;

use futures::future::join_all;
use ids::{Clock as _, SystemClock};
use jiff::SignedDuration;
use store::inbox;

use crate::support::{new_id, stores};

#[tokio::test]
async fn a_message_is_claimed_once_per_consumer() {
    let stores = stores().await;
    let id = new_id();
    let mut tx = stores.pipeline.begin().await.unwrap();
    assert!(inbox::claim(&mut tx, "a", id).await.unwrap());
    assert!(!inbox::claim(&mut tx, "a", id).await.unwrap());
    assert!(inbox::claim(&mut tx, "b", id).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = stores.pipeline.begin().await.unwrap();
    assert!(!inbox::claim(&mut tx, "a", id).await.unwrap());
}

#[tokio::test]
async fn a_claim_that_is_rolled_back_is_free_again() {
    let stores = stores().await;
    let id = new_id();
    let mut tx = stores.pipeline.begin().await.unwrap();
    assert!(inbox::claim(&mut tx, "a", id).await.unwrap());
    drop(tx);
    let mut tx = stores.pipeline.begin().await.unwrap();
    assert!(inbox::claim(&mut tx, "a", id).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_race_for_messages_claim_each_once() {
    let stores = stores().await;
    let ids: Vec<_> = (0..200).map(|_| new_id()).collect();
    let racers = (0..4).map(|racer| {
        let (stores, mut ids) = (stores.stores().clone(), ids.clone());
        if racer % 2 == 1 {
            ids.reverse();
        }
        async move {
            let mut tx = stores.pipeline.begin().await.unwrap();
            let claimed = inbox::claim_all(&mut tx, "a", &ids).await.unwrap();
            let order: Vec<_> = ids.iter().copied().filter(|id| claimed.contains(id)).collect();
            assert_eq!(claimed, order, "in the order given");
            tx.commit().await.unwrap();
            claimed
        }
    });
    let mut claimed: Vec<_> = join_all(racers).await.concat();
    claimed.sort();
    assert_eq!(claimed, ids);
}

#[tokio::test]
async fn a_message_given_twice_is_claimed_once() {
    let stores = stores().await;
    let (one, two) = (new_id(), new_id());
    let mut tx = stores.pipeline.begin().await.unwrap();
    assert_eq!(
        inbox::claim_all(&mut tx, "a", &[two, one, two]).await.unwrap(),
        [two, one]
    );
    assert!(inbox::claim_all(&mut tx, "a", &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn old_claims_are_deleted_and_young_ones_stay() {
    let stores = stores().await;
    let ids: Vec<_> = (0..12_000).map(|_| new_id()).collect();
    let mut tx = stores.pipeline.begin().await.unwrap();
    inbox::claim_all(&mut tx, "a", &ids).await.unwrap();
    tx.commit().await.unwrap();
    let now = SystemClock.now();
    let hour = SignedDuration::try_from(Duration::from_secs(3_600)).unwrap();
    assert_eq!(
        inbox::delete_before(&stores.pipeline, now.checked_sub(hour).unwrap())
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        inbox::delete_before(&stores.pipeline, now.checked_add(hour).unwrap())
            .await
            .unwrap(),
        12_000
    );
}
