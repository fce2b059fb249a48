//! Postgres is killed. Nothing can be accepted meanwhile; what was accepted before stays.

use std::time::Duration;

use super::{KILLS, PROGRESS, Trial, a_moment};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_while_postgres_is_killed() {
    let mut trial = Trial::start().await;
    for kill in 0..2 * KILLS {
        a_moment().await;
        trial.cluster.kill_postgres().await.unwrap();
        if kill % KILLS == 0 {
            // Longer than anybody waits for a connection: requests are refused, and sent again.
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        a_moment().await;
        trial.cluster.restart_postgres().await.unwrap();
        trial.ledger.progress(PROGRESS).await;
    }
    trial.judge().await;
}
