//! nats-server is killed, every other time with everything that it had stored; meanwhile signals are taken as ever.

use super::{KILLS, PROGRESS, Trial, a_moment, redelivery};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_while_the_broker_is_killed_and_wiped() {
    let mut trial = Trial::start().await;
    for kill in 0..2 * KILLS {
        a_moment().await;
        redelivery::force(
            &mut trial.cluster.sql().await.unwrap(),
            trial.api.org,
            redelivery::SHARE,
        )
        .await;
        trial.cluster.kill_nats().await.unwrap();
        // The broker is not needed for an answer.
        trial.ledger.progress(PROGRESS).await;
        if kill % 2 == 1 {
            trial.cluster.wipe_nats().await.unwrap();
        }
        trial.cluster.restart_nats().await.unwrap();
        trial.ledger.progress(PROGRESS).await;
    }
    trial.judge().await;
}
