//! The one transaction type: what is stored, what is not, and what the caller learns.

use std::time::Duration;

use errors::{ErrorCode, ErrorDomain as _};
use store::{Class, StoreError, Stores, Tx, retry};

use crate::support::{new_id, org, stores};

async fn insert(tx: &mut Tx, scope: &store::OrgScope, name: &str) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO things (org_id, id, name) VALUES ($1, $2, $3)")
        .bind(scope.uuid())
        .bind(new_id())
        .bind(name)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn count(stores: &Stores, scope: &store::OrgScope) -> i64 {
    let mut tx = stores.db.begin(scope).await.unwrap();
    let count = sqlx::query_scalar("SELECT count(*) FROM things")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    tx.rollback().await;
    count
}

async fn backend(tx: &mut Tx) -> i32 {
    sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut **tx)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_commit_stores_and_a_drop_or_rollback_does_not() {
    let stores = stores().await;
    let scope = org();
    let mut tx = stores.db.begin(&scope).await.unwrap();
    insert(&mut tx, &scope, "stored").await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = stores.db.begin(&scope).await.unwrap();
    insert(&mut tx, &scope, "dropped").await.unwrap();
    drop(tx);
    let mut tx = stores.db.begin(&scope).await.unwrap();
    insert(&mut tx, &scope, "rolled back").await.unwrap();
    tx.rollback().await;
    assert_eq!(count(&stores, &scope).await, 1);
}

#[tokio::test]
async fn a_connection_is_used_again_after_commit_and_rollback_and_never_after_a_drop() {
    let stores = stores().await;
    let scope = org();
    let mut tx = stores.db.begin(&scope).await.unwrap();
    let first = backend(&mut tx).await;
    tx.commit().await.unwrap();
    let mut tx = stores.db.begin(&scope).await.unwrap();
    assert_eq!(backend(&mut tx).await, first);
    tx.rollback().await;
    let mut tx = stores.db.begin(&scope).await.unwrap();
    assert_eq!(backend(&mut tx).await, first);
    drop(tx);
    let mut tx = stores.db.begin(&scope).await.unwrap();
    assert_ne!(backend(&mut tx).await, first);
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_commit_after_a_failed_statement_is_an_error_and_stores_nothing() {
    let stores = stores().await;
    let scope = org();
    let mut tx = stores.db.begin(&scope).await.unwrap();
    insert(&mut tx, &scope, "x").await.unwrap();
    assert!(
        insert(&mut tx, &scope, "x")
            .await
            .unwrap_err()
            .is_unique("things_name_unique")
    );
    // A handler that swallows the error must not believe that anything is stored: Postgres answers such a COMMIT
    // with ROLLBACK and no error.
    assert!(matches!(tx.commit().await, Err(StoreError::NotOpen(_))));
    assert_eq!(count(&stores, &scope).await, 0);
}

#[tokio::test]
async fn a_transaction_that_was_ended_by_hand_cannot_be_committed() {
    let stores = stores().await;
    let scope = org();
    let mut tx = stores.db.begin(&scope).await.unwrap();
    insert(&mut tx, &scope, "x").await.unwrap();
    sqlx::query("ROLLBACK").execute(&mut *tx).await.unwrap();
    assert!(matches!(tx.commit().await, Err(StoreError::NotOpen(_))));
    assert_eq!(count(&stores, &scope).await, 0);
}

#[tokio::test]
async fn a_commit_by_hand_is_noticed() {
    use sqlx::Connection as _;
    let stores = stores().await;
    let scope = org();
    let mut tx = stores.db.begin(&scope).await.unwrap();
    // sqlx takes this for a new transaction, Postgres for the same one.
    #[allow(clippy::disallowed_methods, reason = "the mistake that is tested")]
    tx.begin().await.unwrap().commit().await.unwrap();
    assert!(
        insert(&mut tx, &scope, "x").await.is_err(),
        "the context ended with the transaction"
    );
    assert!(matches!(tx.commit().await, Err(StoreError::NotOpen(_))));
    assert_eq!(count(&stores, &scope).await, 0);
}

#[tokio::test]
async fn a_half_read_result_does_not_disturb_the_next_user() {
    use futures::TryStreamExt as _;
    let stores = stores().await;
    let scope = org();
    let mut tx = stores.db.begin(&scope).await.unwrap();
    {
        let mut rows =
            sqlx::query_scalar::<_, i32>("SELECT * FROM generate_series(1, 100000)").fetch(&mut *tx);
        assert_eq!(rows.try_next().await.unwrap(), Some(1));
    }
    insert(&mut tx, &scope, "x").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(&stores, &scope).await, 1);
}

#[tokio::test]
async fn failures_are_sorted_by_what_the_caller_can_do() {
    let stores = stores().await;
    let scope = org();
    let mut tx = stores.db.begin(&scope).await.unwrap();
    let error = sqlx::query("INSERT INTO things (org_id, id, name, score) VALUES ($1, $1, 'x', -1)")
        .bind(scope.uuid())
        .execute(&mut *tx)
        .await
        .map_err(StoreError::from)
        .unwrap_err();
    assert_eq!(
        error.class(),
        Class::Check {
            constraint: "things_score_positive".into()
        }
    );
    assert_eq!(error.to_api().code, ErrorCode::Internal);
    drop(tx);

    let mut tx = stores.db.begin(&scope).await.unwrap();
    let error = sqlx::query("INSERT INTO parts (org_id, id, thing_id) VALUES ($1, $1, $1)")
        .bind(scope.uuid())
        .execute(&mut *tx)
        .await
        .map_err(StoreError::from)
        .unwrap_err();
    assert_eq!(
        error.class(),
        Class::ForeignKey {
            constraint: "parts_thing".into()
        }
    );
    assert_eq!(error.to_api().code, ErrorCode::Conflict);
    drop(tx);

    let mut tx = stores.db.begin(&scope).await.unwrap();
    sqlx::query("SET LOCAL statement_timeout = 50")
        .execute(&mut *tx)
        .await
        .unwrap();
    let error = sqlx::query("SELECT pg_sleep(5)")
        .execute(&mut *tx)
        .await
        .map_err(StoreError::from)
        .unwrap_err();
    assert_eq!(error.class(), Class::Timeout);
    assert_eq!(error.to_api().code, ErrorCode::DeadlineExceeded);
}

#[tokio::test]
async fn sessions_have_their_limits() {
    let stores = stores().await;
    let mut tx = stores.db.begin(&org()).await.unwrap();
    for (name, value) in [
        ("statement_timeout", "5s"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("application_name", "workshop-app"),
        ("search_path", "workshop"),
        ("synchronous_commit", "on"),
        ("client_connection_check_interval", "1s"),
        ("TimeZone", "UTC"),
    ] {
        let set: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(name)
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert_eq!(set, value, "{name}");
    }
    tx.rollback().await;
}

#[tokio::test]
async fn a_full_pool_is_an_error_within_the_acquire_timeout() {
    let test = stores().await;
    let settings = store::DbSettings {
        app_connections: 1,
        acquire_timeout_ms: 300,
        ..test.settings().clone()
    };
    let stores = Stores::connect(&settings, test.lifecycle(), test.metrics())
        .await
        .unwrap();
    let scope = org();
    let held = stores.db.begin(&scope).await.unwrap();
    let started = std::time::Instant::now();
    let error = stores.db.begin(&scope).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Acquire { waited_ms: 300, .. }),
        "{error:?}"
    );
    assert_eq!(error.to_api().code, ErrorCode::Unavailable);
    assert!(started.elapsed() < Duration::from_secs(2));
    held.rollback().await;
    stores.db.begin(&scope).await.unwrap().rollback().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_tried_again_until_it_succeeds() {
    let stores = stores().await;
    let scope = org();
    let mut tx = stores.db.begin(&scope).await.unwrap();
    insert(&mut tx, &scope, "a").await.unwrap();
    insert(&mut tx, &scope, "b").await.unwrap();
    tx.commit().await.unwrap();
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let tries = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let cross = |first: &'static str, second: &'static str| {
        let (stores, barrier, tries) = (stores.stores().clone(), barrier.clone(), tries.clone());
        async move {
            let mut met = false;
            retry(|| {
                let meet = !std::mem::replace(&mut met, true);
                let (stores, barrier) = (stores.clone(), barrier.clone());
                tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                async move {
                    let mut tx = stores.db.begin(&scope).await?;
                    let add = "UPDATE things SET score = coalesce(score, 0) + 1 WHERE name = $1";
                    sqlx::query(add).bind(first).execute(&mut *tx).await?;
                    if meet {
                        barrier.wait().await;
                    }
                    sqlx::query(add).bind(second).execute(&mut *tx).await?;
                    tx.commit().await
                }
            })
            .await
        }
    };
    let (one, two) = tokio::join!(cross("a", "b"), cross("b", "a"));
    one.unwrap();
    two.unwrap();
    assert!(
        tries.load(std::sync::atomic::Ordering::SeqCst) > 2,
        "there was no deadlock"
    );
    let mut tx = stores.db.begin(&scope).await.unwrap();
    let scores: Vec<i64> = sqlx::query_scalar("SELECT score FROM things")
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    assert_eq!(scores, [2, 2]);
}

#[tokio::test]
async fn an_error_that_is_not_transient_is_not_tried_again() {
    let mut tries = 0;
    let done: Result<(), _> = retry(|| {
        tries += 1;
        async { Err(StoreError::Sql(sqlx::Error::RowNotFound)) }
    })
    .await;
    assert!(done.is_err());
    assert_eq!(tries, 1);
}
