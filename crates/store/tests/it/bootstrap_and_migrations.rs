//! Starting from nothing, also by several processes at once.

use std::borrow::Cow;

use futures::future::join_all;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection as _, PgConnection, SqlSafeStr as _};
use store::bootstrap::{ServiceRoles, bootstrap};
use store::{DbSettings, StoreError, Stores, catalog};
use test_kit::{TestStack, database_settings, unique_prefix};

use crate::support::{MIGRATOR, PrivatePostgres, stores, superuser};

/// A database that does not exist yet, and the settings to use it.
async fn nowhere(stack: &TestStack, schema: &str) -> (String, DbSettings) {
    let url = stack.postgres_url(&unique_prefix());
    let settings = database_settings(&url, schema).unwrap();
    (url, settings)
}

async fn drop_database(stack: &TestStack, name: &str) {
    let mut root = PgConnection::connect(&stack.postgres_url("postgres"))
        .await
        .unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)")))
        .execute(&mut root)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_can_bootstrap_and_migrate_the_same_empty_server_at_once() {
    let stack = TestStack::shared().await;
    for round in 0..5 {
        let (url, settings) = nowhere(&stack, "workshop").await;
        let all = (0..8).map(|_| async {
            bootstrap(
                &url.clone().into(),
                &settings.database,
                &[ServiceRoles::from(&settings)],
            )
            .await?;
            store::migrate(&settings, &MIGRATOR).await
        });
        for done in join_all(all).await {
            done.unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        }
        let mut root = PgConnection::connect(&url).await.unwrap();
        let versions: Vec<i64> =
            sqlx::query_scalar("SELECT version FROM workshop._sqlx_migrations ORDER BY version")
                .fetch_all(&mut root)
                .await
                .unwrap();
        assert_eq!(versions, [1, 2, 3, 100]);
        drop(root);
        drop_database(&stack, &settings.database).await;
    }
}

#[tokio::test]
async fn two_services_of_one_database_keep_their_histories_apart() {
    let stack = TestStack::shared().await;
    let (url, workshop) = nowhere(&stack, "workshop").await;
    let garage = database_settings(&url, "garage").unwrap();
    let roles = [ServiceRoles::from(&workshop), ServiceRoles::from(&garage)];
    bootstrap(&url.clone().into(), &workshop.database, &roles)
        .await
        .unwrap();
    store::migrate(&workshop, &MIGRATOR).await.unwrap();
    store::migrate(&garage, &Migrator::DEFAULT).await.unwrap();
    let mut root = PgConnection::connect(&url).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT schemaname || '.' || tablename FROM pg_tables
         WHERE tablename IN ('_sqlx_migrations', 'outbox', 'things') AND schemaname <> 'pg_catalog' ORDER BY 1",
    )
    .fetch_all(&mut root)
    .await
    .unwrap();
    let expected = [
        "garage._sqlx_migrations",
        "garage.outbox",
        "workshop._sqlx_migrations",
        "workshop.outbox",
        "workshop.things",
    ];
    assert_eq!(tables, expected);
    for schema in ["workshop", "garage"] {
        assert_eq!(
            catalog::violations(&mut root, schema).await.unwrap(),
            Vec::<String>::new()
        );
    }
    drop(root);
    drop_database(&stack, &workshop.database).await;
}

#[tokio::test]
async fn a_second_run_changes_nothing_but_a_password() {
    let mut postgres = PrivatePostgres::start().await;
    let url = postgres.server.superuser_url("devsignal");
    postgres.settings.app_password = "it's \"new\"; $1 \\".to_owned().into();
    bootstrap(
        &url.into(),
        "devsignal",
        &[ServiceRoles::from(&postgres.settings)],
    )
    .await
    .unwrap();
    store::migrate(&postgres.settings, &MIGRATOR).await.unwrap();
    let life = lifecycle::Lifecycle::new();
    let metrics = telemetry::Metrics::new("workshop");
    let stores = Stores::connect(&postgres.settings, &life, &metrics)
        .await
        .unwrap();
    stores
        .db
        .begin(&crate::support::org())
        .await
        .unwrap()
        .rollback()
        .await;
    postgres.settings.app_password = "old".to_owned().into();
    let refused = Stores::connect(&postgres.settings, &life, &metrics)
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::Sql(_)), "{refused:?}");
}

#[tokio::test]
async fn a_schema_name_that_is_not_plain_is_refused() {
    let settings = database_settings("postgres://u:p@localhost/x", "a\"; DROP DATABASE x; --").unwrap();
    let roles = ServiceRoles::from(&settings);
    let refused = bootstrap(&"postgres://u:p@localhost/x".to_owned().into(), "x", &[roles]).await;
    assert!(matches!(refused, Err(StoreError::Misuse(_))));
    assert!(matches!(
        store::migrate(&settings, &MIGRATOR).await,
        Err(StoreError::Misuse(_))
    ));
}

#[tokio::test]
async fn a_service_migration_below_100_is_refused() {
    let settings = database_settings("postgres://u:p@localhost/x", "workshop").unwrap();
    let refused = store::migrate(&settings, &with(99, "SELECT 1")).await;
    assert!(matches!(refused, Err(StoreError::Misuse(_))));
}

#[tokio::test]
async fn a_changed_migration_is_refused_and_an_older_release_runs_on_a_newer_schema() {
    let stores = stores().await;
    let changed = store::migrate(stores.settings(), &with(100, "SELECT 1"))
        .await
        .unwrap_err();
    assert!(matches!(changed, StoreError::Migrate { .. }), "{changed:?}");
    store::migrate(stores.settings(), &Migrator::DEFAULT)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_failed_migration_leaves_nothing_and_can_be_corrected() {
    let stores = stores().await;
    let mut both = MIGRATOR.iter().cloned().collect::<Vec<_>>();
    both.extend(
        with(101, "CREATE TABLE half (id int); SELECT 1/0")
            .iter()
            .cloned(),
    );
    let failed = store::migrate(stores.settings(), &Migrator::with_migrations(both))
        .await
        .unwrap_err();
    assert!(matches!(failed, StoreError::Migrate { .. }), "{failed:?}");
    let mut root = superuser(stores.database()).await;
    let half: Option<String> = sqlx::query_scalar("SELECT to_regclass('workshop.half')::text")
        .fetch_one(&mut root)
        .await
        .unwrap();
    assert_eq!(half, None);
    let mut both = MIGRATOR.iter().cloned().collect::<Vec<_>>();
    both.extend(with(101, "CREATE TABLE half (id int)").iter().cloned());
    store::migrate(stores.settings(), &Migrator::with_migrations(both))
        .await
        .unwrap();
}

fn with(version: i64, sql: &'static str) -> Migrator {
    let sql = sql.into_sql_str();
    Migrator::with_migrations(vec![Migration::new(
        version,
        Cow::Borrowed("test"),
        MigrationType::Simple,
        sql,
        false,
    )])
}
