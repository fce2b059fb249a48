//! The process that delivers webhooks is killed at each of its steps: Postgres holds it there, by a trigger that waits for a
//! lock of the test, or the receiver does, by not answering.

use std::collections::HashSet;
use std::time::Duration;

use e2e::cluster::Cluster;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use test_kit::wait_for;

use super::webhooks::{Book, accepted, arrived_once, receiver};
use crate::support::{SOON, cluster};

/// The advisory lock at which the triggers wait.
const LOCK: i64 = 4_711;

/// Where it is killed: what Postgres holds it at, in the order in which a delivery comes by.
const STEPS: [(&str, &str); 10] = [
    (
        "the events' bodies are stored, their deliveries not yet",
        "TRIGGER gate AFTER INSERT ON gateway.webhook_bodies FOR EACH STATEMENT",
    ),
    (
        "the deliveries are committed, which the process does not learn",
        "CONSTRAINT TRIGGER gate AFTER INSERT ON gateway.webhook_deliveries DEFERRABLE INITIALLY DEFERRED FOR EACH ROW",
    ),
    (
        "the lane is being leased",
        "TRIGGER gate BEFORE UPDATE ON gateway.webhook_lanes FOR EACH ROW \
         WHEN (OLD.leased_by IS DISTINCT FROM NEW.leased_by AND NEW.leased_by IS NOT NULL)",
    ),
    (
        "the lane is leased, which the process does not learn",
        "CONSTRAINT TRIGGER gate AFTER UPDATE ON gateway.webhook_lanes DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
         WHEN (OLD.leased_by IS DISTINCT FROM NEW.leased_by AND NEW.leased_by IS NOT NULL)",
    ),
    ("requests are sent and not answered", ""),
    (
        "requests are answered, and nothing is recorded",
        "TRIGGER gate BEFORE UPDATE ON gateway.webhook_deliveries FOR EACH STATEMENT",
    ),
    (
        "attempts are recorded and not committed",
        "TRIGGER gate AFTER INSERT ON gateway.webhook_attempts FOR EACH STATEMENT",
    ),
    (
        "attempts are committed, which the process does not learn",
        "CONSTRAINT TRIGGER gate AFTER UPDATE ON gateway.webhook_deliveries DEFERRABLE INITIALLY DEFERRED FOR EACH ROW",
    ),
    (
        "the lane is being given back",
        "TRIGGER gate BEFORE UPDATE ON gateway.webhook_lanes FOR EACH ROW \
         WHEN (OLD.leased_by IS NOT NULL AND NEW.leased_by IS NULL)",
    ),
    (
        "the lane is given back, which the process does not learn",
        "CONSTRAINT TRIGGER gate AFTER UPDATE ON gateway.webhook_lanes DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
         WHEN (OLD.leased_by IS NOT NULL AND NEW.leased_by IS NULL)",
    ),
];

/// What holds the process at one step.
struct Gate {
    sql: PgConnection,
    trigger: &'static str,
}

impl Gate {
    /// Whoever comes there from now on waits.
    async fn close(cluster: &Cluster, book: &Book, trigger: &'static str) -> Self {
        let mut sql = cluster.sql().await.unwrap();
        if trigger.is_empty() {
            book.lock().unwrap().mute = true;
        } else {
            execute(&mut sql, &format!("SELECT pg_advisory_lock({LOCK})")).await;
            let statement = format!("CREATE {trigger} EXECUTE FUNCTION gateway.gate()");
            execute(&mut sql, &statement).await;
        }
        Self { sql, trigger }
    }

    /// Waits until somebody came.
    async fn reached(&mut self, book: &Book, step: &str) {
        wait_for(step, SOON, async || {
            if self.trigger.is_empty() {
                return (book.lock().unwrap().unanswered > 0).then_some(());
            }
            let waits: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)",
            )
            .fetch_one(&mut self.sql)
            .await
            .unwrap();
            waits.then_some(())
        })
        .await;
    }

    /// Lets those go who wait. What waited in its commit commits, although its client is gone.
    async fn open(mut self, book: &Book) {
        if self.trigger.is_empty() {
            let mut book = book.lock().unwrap();
            (book.mute, book.unanswered) = (false, 0);
            return;
        }
        execute(&mut self.sql, &format!("SELECT pg_advisory_unlock({LOCK})")).await;
        let table = self
            .trigger
            .split_whitespace()
            .find(|word| word.starts_with("gateway."));
        execute(&mut self.sql, &format!("DROP TRIGGER gate ON {}", table.unwrap())).await;
        self.sql.close().await.unwrap();
    }
}

async fn execute(sql: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
        .execute(sql)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_step_of_a_delivery_a_kill_hits_it_arrives_once_in_the_log() {
    let (mut cluster, api) = cluster().await;
    // Work of the killed is taken over soon.
    cluster.set("DEVSIGNAL_GATEWAY__WEBHOOKS__ATTEMPT_TIMEOUT_MS", "1000");
    cluster.set("DEVSIGNAL_GATEWAY__WEBHOOKS__LEASE_SECS", "2");
    cluster.stop("gateway").await.unwrap();
    cluster.restart("gateway").unwrap();
    cluster.wait_healthy().await;
    let mut sql = cluster.sql().await.unwrap();
    execute(
        &mut sql,
        &format!(
            "CREATE FUNCTION gateway.gate() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_advisory_xact_lock_shared({LOCK}); RETURN NEW; END $$"
        ),
    )
    .await;
    let (url, book) = receiver().await;
    let hook = json!({"url": url, "events": ["signal.received"]});
    let made = api.post("/api/v1/webhooks", &hook).await.unwrap();
    let made = made.json(201).unwrap();
    let mut wanted = HashSet::new();
    for (round, (step, trigger)) in STEPS.into_iter().enumerate() {
        let mut gate = Gate::close(&cluster, &book, trigger).await;
        wanted.extend(accepted(&api, round).await);
        gate.reached(&book, step).await;
        cluster.kill("gateway").await.unwrap();
        // What is not of a commit ends with its connection; it must have been seen as closed.
        tokio::time::sleep(Duration::from_millis(50)).await;
        gate.open(&book).await;
        cluster.restart("gateway").unwrap();
        cluster.wait_healthy().await;
        wait_for(step, SOON, async || {
            wanted.is_subset(&book.lock().unwrap().signals).then_some(())
        })
        .await;
    }
    arrived_once(&cluster, &book, &wanted, made["id"].as_str().unwrap()).await;
}
