//! The second fault of sqlx 0.9's pool: a connection whose peer no longer answers keeps its place in the pool for ever
//! once it is dropped (transact-rs/sqlx#4349). Backends are frozen with SIGSTOP, as a cut network would.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, Row as _};
use store::{Class, StoreError, Stores};

use crate::support::{PrivatePostgres, org};

const PLACES: u32 = 2;
const PATIENCE: Duration = Duration::from_millis(500);

/// Backends of one role that stand still until this is dropped.
struct Frozen(Vec<Pid>);

impl Frozen {
    async fn all_of(role: &str, observer: &mut PgConnection) -> Self {
        let rows =
            sqlx::query("SELECT pid FROM pg_stat_activity WHERE usename = $1 AND pid <> pg_backend_pid()")
                .bind(role)
                .fetch_all(observer)
                .await
                .unwrap();
        let pids: Vec<Pid> = rows
            .iter()
            .map(|row| Pid::from_raw(row.get("pid")).unwrap())
            .collect();
        for pid in &pids {
            kill_process(*pid, Signal::STOP).unwrap();
        }
        Self(pids)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_frozen_peers_use_up_the_pool_for_ever() {
    let postgres = PrivatePostgres::start().await;
    let mut observer = postgres.superuser().await;
    let pool = PgPoolOptions::new()
        .max_connections(PLACES)
        .acquire_timeout(PATIENCE)
        .connect(
            &postgres
                .server
                .url_as("workshop_app", test_kit::TEST_PASSWORD, "devsignal"),
        )
        .await
        .unwrap();
    let mut held = Vec::new();
    for _ in 0..PLACES {
        held.push(pool.acquire().await.unwrap());
    }
    let _frozen = Frozen::all_of("workshop_app", &mut observer).await;
    for connection in &mut held {
        let answer = tokio::time::timeout(PATIENCE, sqlx::query("SELECT 1").execute(&mut **connection)).await;
        assert!(answer.is_err(), "the backend is not frozen");
    }
    drop(held);
    for _ in 0..4 {
        if pool.acquire().await.is_ok() {
            panic!("the places came back: sqlx is repaired, and the guard may go");
        }
    }
    assert_eq!((pool.size(), pool.num_idle()), (PLACES, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_guard_places_of_frozen_peers_are_free_at_once() {
    let postgres = PrivatePostgres::start().await;
    let mut observer = postgres.superuser().await;
    let stores = connect(&postgres).await;
    let scope = org();
    let mut held = Vec::new();
    for _ in 0..PLACES {
        held.push(stores.db.begin(&scope).await.unwrap());
    }
    let _frozen = Frozen::all_of("workshop_app", &mut observer).await;
    for tx in &mut held {
        let answer = tokio::time::timeout(PATIENCE, sqlx::query("SELECT 1").execute(&mut **tx)).await;
        assert!(answer.is_err(), "the backend is not frozen");
    }
    drop(held);
    let started = std::time::Instant::now();
    for _ in 0..PLACES {
        stores.db.begin(&scope).await.unwrap().commit().await.unwrap();
    }
    assert!(started.elapsed() < PATIENCE * 2, "took {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_with_frozen_peers_are_replaced_within_one_acquire() {
    let postgres = PrivatePostgres::start().await;
    let mut observer = postgres.superuser().await;
    let stores = connect(&postgres).await;
    let scope = org();
    let mut held = Vec::new();
    for _ in 0..PLACES {
        held.push(stores.db.begin(&scope).await.unwrap());
    }
    for tx in held {
        tx.commit().await.unwrap();
    }
    let _frozen = Frozen::all_of("workshop_app", &mut observer).await;
    for _ in 0..PLACES {
        stores.db.begin(&scope).await.unwrap().commit().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_not_answered_has_an_unknown_outcome_and_ends() {
    let postgres = PrivatePostgres::start().await;
    let mut observer = postgres.superuser().await;
    let stores = connect(&postgres).await;
    let scope = org();
    let mut tx = stores.db.begin(&scope).await.unwrap();
    sqlx::query("INSERT INTO things (org_id, id, name) VALUES ($1, $1, 'x')")
        .bind(scope.uuid())
        .execute(&mut *tx)
        .await
        .unwrap();
    let frozen = Frozen::all_of("workshop_app", &mut observer).await;
    let error = tx.commit().await.unwrap_err();
    assert!(matches!(error, StoreError::CommitUnknown(_)), "{error:?}");
    assert_eq!(error.class(), Class::Unavailable);
    // It was sent: once the server goes on, it is stored.
    drop(frozen);
    test_kit::wait_for("the row", Duration::from_secs(10), async || {
        let mut tx = stores.db.begin(&scope).await.unwrap();
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM things")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        tx.rollback().await;
        (rows == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stores_own_statements_end_although_the_server_stands_still() {
    let postgres = PrivatePostgres::start().await;
    let mut observer = postgres.superuser().await;
    let stores = connect(&postgres).await;
    let mut leader = stores.lead("relay").await.unwrap().unwrap();
    let mut blocker = postgres.superuser().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE workshop.outbox")
        .execute(&mut blocker)
        .await
        .unwrap();
    let db = stores.pipeline.clone();
    let waiting = lifecycle::detach(
        "relay",
        async move { store::outbox::take_unpublished(&db, 10).await },
    );
    test_kit::wait_for("the statement waits", Duration::from_secs(10), async || {
        let waits: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_locks WHERE NOT granted")
            .fetch_one(&mut observer)
            .await
            .unwrap();
        (waits > 0).then_some(())
    })
    .await;
    let _frozen = Frozen::all_of("workshop_pipeline", &mut observer).await;
    let error = waiting.await.unwrap().unwrap_err();
    // On a busy machine the server's own limit may come before the freeze.
    assert!(
        matches!(error.class(), Class::Unavailable | Class::Timeout),
        "{error:?}"
    );
    leader.check().await.unwrap_err();
}

async fn connect(postgres: &PrivatePostgres) -> Stores {
    let mut settings = postgres.settings.clone();
    settings.app_connections = PLACES;
    settings.acquire_timeout_ms = 4_000;
    settings.statement_timeout_ms = 1_500;
    settings.lock_timeout_ms = 1_000;
    let metrics = telemetry::Metrics::new("workshop");
    Stores::connect(&settings, &lifecycle::Lifecycle::new(), &metrics)
        .await
        .unwrap()
}
