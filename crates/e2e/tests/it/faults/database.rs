//! Postgres is killed. Nothing can be accepted meanwhile; what was accepted before stays.

use super::{KILLS, PROGRESS, Trial, a_moment};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_while_postgres_is_killed() {
    let mut trial = Trial::start().await;
    for _ in 0..KILLS {
        a_moment().await;
        trial.cluster.kill_postgres().await.unwrap();
        a_moment().await;
        trial.cluster.restart_postgres().await.unwrap();
        trial.ledger.progress(PROGRESS).await;
    }
    trial.judge().await;
}
