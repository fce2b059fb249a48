//! The first fault of sqlx 0.9's pool: a cancelled `begin()` gives a connection back with its transaction open
//! (transact-rs/sqlx#4385). The next borrower is inside a stranger's transaction.

use std::time::Duration;

use futures::FutureExt as _;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool};

use crate::support::{cancel_at, org, stores, superuser};

/// Cancellations at each of the first suspensions of a begin, over and over.
const ROUNDS: usize = 100;
const SUSPENSIONS: usize = 6;

/// Whether the transaction that the connection is in, or would begin by itself, is older than `since`.
async fn is_older(connection: &mut PgConnection, since: f64) -> bool {
    let began: f64 = sqlx::query_scalar("SELECT extract(epoch FROM transaction_timestamp())::float8")
        .fetch_one(connection)
        .await
        .unwrap();
    began < since
}

async fn now(observer: &mut PgConnection) -> f64 {
    sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8")
        .fetch_one(observer)
        .await
        .unwrap()
}

async fn bare_pool(url: &str) -> PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .connect(url)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::disallowed_methods, reason = "what it is the test of")]
async fn without_the_guard_a_cancelled_begin_leaves_the_next_borrower_in_a_strangers_transaction() {
    let stores = stores().await;
    let pool = bare_pool(&stores.database().url()).await;
    let mut observer = superuser(stores.database()).await;
    for _ in 0..ROUNDS {
        for suspension in 1..=SUSPENSIONS {
            if let Some(Ok(tx)) = cancel_at(suspension, pool.begin()).await {
                tx.rollback().await.unwrap();
            }
            let since = now(&mut observer).await;
            let mut next = pool.acquire().await.unwrap();
            if is_older(&mut next, since).await {
                return;
            }
        }
    }
    panic!(
        "{} cancelled begins did no harm: sqlx is repaired, and the guard may go",
        ROUNDS * SUSPENSIONS
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn s_06_with_the_guard_a_cancelled_begin_harms_nobody() {
    let stores = stores().await;
    let mut observer = superuser(stores.database()).await;
    let (ours, other) = (org(), org());
    let mut cancelled = 0;
    // A quick server answers before the first suspension, now and then.
    for _ in 0..20 * ROUNDS {
        if cancelled >= ROUNDS {
            break;
        }
        for suspension in 1..=SUSPENSIONS {
            match cancel_at(suspension, stores.db.begin(&other)).await {
                Some(tx) => tx.unwrap().rollback().await,
                None => cancelled += 1,
            }
            let since = now(&mut observer).await;
            let mut next = stores.db.begin(&ours).await.unwrap();
            assert!(
                !is_older(&mut next, since).await,
                "inside a stranger's transaction"
            );
            let context: String = sqlx::query_scalar("SELECT current_setting('devsignal.org_id')")
                .fetch_one(&mut *next)
                .await
                .unwrap();
            assert_eq!(context, ours.uuid().to_string());
            next.commit().await.unwrap();
        }
    }
    assert!(cancelled >= ROUNDS, "the storm cancelled only {cancelled} begins");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_cancellations_anywhere_in_a_transaction_harms_nobody() {
    let stores = stores().await;
    let mut storms = Vec::new();
    for worker in 0..8_u64 {
        let db = stores.db.clone();
        storms.push(lifecycle::detach("storm", async move {
            let (mut state, mut torn) = (worker.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, 0);
            for _ in 0..150 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let scope = org();
                let work = async {
                    let mut tx = db.begin(&scope).await?;
                    sqlx::query("INSERT INTO things (org_id, id, name) VALUES ($1, $1, 'x')")
                        .bind(scope.uuid())
                        .execute(&mut *tx)
                        .await?;
                    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM things")
                        .fetch_one(&mut *tx)
                        .await?;
                    assert_eq!(seen, 1, "sees its own row and no other organization's");
                    tx.commit().await
                };
                match tokio::time::timeout(Duration::from_micros(state % 4_000), work.boxed()).await {
                    Ok(done) => done.unwrap(),
                    Err(_) => torn += 1,
                }
            }
            torn
        }));
    }
    let mut torn = 0;
    for storm in storms {
        torn += storm.await.unwrap();
    }
    assert!(torn > 100, "the storm tore only {torn} of 1,200 transactions");
    // All places in the pool are free again, and nothing is left open on the server.
    let mut all = Vec::new();
    for _ in 0..stores.settings().app_connections {
        all.push(stores.db.begin(&org()).await.unwrap());
    }
    drop(all);
    let mut observer = superuser(stores.database()).await;
    test_kit::wait_for(
        "no transaction is left open",
        Duration::from_secs(10),
        async || {
            let open: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND usename = 'workshop_app' AND xact_start IS NOT NULL",
            )
            .fetch_one(&mut observer)
            .await
            .unwrap();
            (open == 0).then_some(())
        },
    )
    .await;
}
