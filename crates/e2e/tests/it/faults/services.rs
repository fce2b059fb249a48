//! Every service is killed in turn, and batches come again while it is away.

use devsignal::wiring::SERVICES;

use super::{KILLS, PROGRESS, Trial, a_moment, redelivery};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_while_services_are_killed_in_turn() {
    let mut trial = Trial::start().await;
    for _ in 0..KILLS {
        for service in SERVICES {
            a_moment().await;
            trial.cluster.kill(service).await.unwrap();
            a_moment().await;
            trial.cluster.restart(service).unwrap();
            trial.cluster.wait_healthy().await;
            trial.ledger.progress(PROGRESS).await;
        }
        let mut sql = trial.cluster.sql().await.unwrap();
        redelivery::force(&mut sql, trial.api.org, redelivery::SHARE).await;
    }
    trial.judge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_all_services_ends_each_cleanly() {
    let mut trial = Trial::start().await;
    for service in SERVICES {
        a_moment().await;
        trial.cluster.stop(service).await.unwrap();
        trial.cluster.restart(service).unwrap();
        trial.cluster.wait_healthy().await;
        trial.ledger.progress(PROGRESS).await;
    }
    trial.judge().await;
}
