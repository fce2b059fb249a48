//! Exactly once: a client keeps books while what it talks to is killed and started again. Afterwards the books, the
//! tables, the roll-ups and the event stream must agree signal by signal.
//!
//! Each test prints the seed of its client. The times of the kills are random, so that they hit different work each time.

mod broker;
mod checker_itself;
mod database;
mod delivery_steps;
mod poison;
mod redelivery;
mod services;
mod webhooks;

use std::time::Duration;

use e2e::cluster::{Api, Cluster, Follower};
use e2e::ledger::Ledger;
use e2e::ledger::checker;
use serde_json::json;
use test_kit::wait_for;

use crate::support::cluster;

/// Signals a second, below what the system takes: it must be killed at work, not behind it.
const RATE: u32 = 600;
/// How often each part is killed.
const KILLS: usize = 5;
/// New signals that are answered after each restart, before the next kill.
const PROGRESS: usize = 150;
/// Until everything is recorded and counted after the last restart: what a killed consumer had in hand comes back after
/// its ack wait of 15 s.
const SETTLE: Duration = Duration::from_secs(60);

/// A cluster under a client that keeps books.
struct Trial {
    cluster: Cluster,
    api: Api,
    ledger: Ledger,
    follower: Follower,
}

impl Trial {
    #[expect(clippy::print_stderr, reason = "the seed of a failed test")]
    async fn start() -> Self {
        let (cluster, api) = cluster().await;
        let follower = Follower::start(&api).await.unwrap();
        let seed = rand::random();
        eprintln!("seed of the ledger: {seed:#x}");
        let ledger = Ledger::start(&api, seed, 4, RATE);
        ledger.progress(PROGRESS).await;
        Self {
            cluster,
            api,
            ledger,
            follower,
        }
    }

    /// Stops the client, lets the system come to rest, and compares.
    #[expect(clippy::print_stderr, reason = "figures of the run")]
    async fn judge(mut self) -> (Cluster, Api) {
        self.cluster.wait_healthy().await;
        let (signals, books) = self.ledger.finish().await.unwrap();
        let mut sql = self.cluster.sql().await.unwrap();
        checker::settle(&mut sql, self.api.org, &books, SETTLE)
            .await
            .unwrap();
        drop(sql);
        // A client that begins again where this one began is told the same.
        let again = Follower::after(&self.api, &self.follower.begin).await.unwrap();
        for follower in [&self.follower, &again] {
            let wanted = books.acknowledged();
            let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
            // What does not come is named by the check.
            while follower.told().signals().len() < wanted && tokio::time::Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        let mut sql = self.cluster.sql().await.unwrap();
        for follower in [&self.follower, &again] {
            let told = follower.told();
            let violations = checker::check(&mut sql, self.api.org, &signals, &books, &told)
                .await
                .unwrap();
            let (keys, retries) = (books.entries.len(), books.retries);
            eprintln!(
                "{keys} keys, {retries} requests again, {} events over {} connections, {} of them again",
                told.events.len(),
                told.connections,
                told.repeats
            );
            violations.assert_none();
        }
        assert!(books.entries.len() > KILLS * PROGRESS, "the client did not work");
        (self.cluster, self.api)
    }
}

/// Up to half a second, so that a kill hits whatever is under way.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(rand::random_range(0..500))).await;
}

/// Waits until a signal that is sent now has gone all the way.
async fn goes_all_the_way(api: &Api, follower: &Follower, key: &str) {
    let ids = api
        .accept(&[json!({"type": "probe", "idempotencyKey": key})])
        .await
        .unwrap();
    wait_for("a new signal is told", SETTLE, async || {
        follower
            .find(|event| event.pointer("/data/signal/id").is_some_and(|id| *id == ids[0]))
            .map(drop)
    })
    .await;
}
