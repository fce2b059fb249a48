//! Databases per test.

use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::{Connection, PgConnection};
use test_kit::{TestDatabase, TestStack, ensure_template, unique_prefix};

async fn run(url: &str, sql: &'static str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn ask(url: &str, sql: &'static str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

const TABLES: &str = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";

#[tokio::test]
async fn two_databases_know_nothing_of_each_other() {
    let (one, other) = tokio::join!(TestDatabase::create(), TestDatabase::create());
    run(&one.url(), "CREATE TABLE mine (n int)").await;
    assert_eq!(ask(&one.url(), TABLES).await, 1);
    assert_eq!(ask(&other.url(), TABLES).await, 0);
}

#[tokio::test]
async fn a_dropped_database_is_gone_even_with_a_connection_left_open() {
    let stack = TestStack::shared().await;
    let database = TestDatabase::create().await;
    let name = database.name().to_owned();
    let _left_open = PgConnection::connect(&database.url()).await.unwrap();
    drop(database);
    if !stack.is_private() {
        let mut admin = PgConnection::connect(&stack.postgres_url("postgres"))
            .await
            .unwrap();
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_database WHERE datname = $1")
            .bind(name)
            .fetch_one(&mut admin)
            .await
            .unwrap();
        assert_eq!(left, 0);
    }
}

#[tokio::test]
async fn a_template_is_built_once_and_copied_even_when_its_builder_keeps_a_connection() {
    let name = format!("{}_template", unique_prefix());
    let builds = AtomicUsize::new(0);
    let build = async |url: String| {
        builds.fetch_add(1, Ordering::SeqCst);
        run(&url, "CREATE TABLE migrated (n int)").await;
        std::mem::forget(PgConnection::connect(&url).await?);
        Ok(())
    };
    let (_stack, _same) = tokio::join!(ensure_template(&name, build), ensure_template(&name, build));
    assert_eq!(builds.load(Ordering::SeqCst), 1);
    let (one, other) = tokio::join!(
        TestDatabase::from_template(&name),
        TestDatabase::from_template(&name)
    );
    run(&one.url(), "DROP TABLE migrated").await;
    assert_eq!(ask(&other.url(), TABLES).await, 1);
}

#[tokio::test]
async fn a_template_whose_building_failed_is_built_afresh() {
    let name = format!("{}_template", unique_prefix());
    let failing = tokio::task::LocalSet::new()
        .run_until(async {
            let name = name.clone();
            tokio::task::spawn_local(async move {
                ensure_template(&name, async |url: String| {
                    run(&url, "CREATE TABLE half (n int)").await;
                    anyhow::bail!("interrupted")
                })
                .await
            })
            .await
        })
        .await;
    assert!(failing.unwrap_err().is_panic());
    let _stack = ensure_template(&name, async |url: String| {
        run(&url, "CREATE TABLE whole (n int)").await;
        Ok(())
    })
    .await;
    let database = TestDatabase::from_template(&name).await;
    assert_eq!(ask(&database.url(), TABLES).await, 1);
}
