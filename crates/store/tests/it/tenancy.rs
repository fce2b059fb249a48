//! Three roles, and what each of them sees.

use store::{OrgScope, StoreError, Tx};

use crate::support::{new_id, org, stores, superuser};

async fn insert(tx: &mut Tx, org_id: uuid::Uuid) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO things (org_id, id, name) VALUES ($1, $2, 'x')")
        .bind(org_id)
        .bind(new_id())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn code(error: &StoreError) -> String {
    match error {
        StoreError::Sql(sqlx::Error::Database(error)) => error.code().unwrap_or_default().into_owned(),
        other => panic!("not an error of the database: {other:?}"),
    }
}

#[tokio::test]
async fn an_organization_sees_changes_and_deletes_its_own_rows_only() {
    let stores = stores().await;
    let (ours, theirs) = (org(), org());
    for scope in [ours, theirs] {
        let mut tx = stores.db.begin(&scope).await.unwrap();
        insert(&mut tx, scope.uuid()).await.unwrap();
        tx.commit().await.unwrap();
    }
    let mut tx = stores.db.begin(&ours).await.unwrap();
    let seen: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT org_id FROM things")
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    assert_eq!(seen, [ours.uuid()]);
    for statement in ["UPDATE things SET name = 'y'", "DELETE FROM things"] {
        let done = sqlx::query(statement).execute(&mut *tx).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{statement}");
    }
    tx.commit().await.unwrap();
    let mut tx = stores.db.begin(&theirs).await.unwrap();
    let name: String = sqlx::query_scalar("SELECT name FROM things")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(name, "x");
}

#[tokio::test]
async fn a_row_of_another_organization_cannot_be_written() {
    let stores = stores().await;
    let (ours, theirs) = (org(), org());
    let mut tx = stores.db.begin(&ours).await.unwrap();
    assert_eq!(code(&insert(&mut tx, theirs.uuid()).await.unwrap_err()), "42501");
}

#[tokio::test]
async fn s_05_without_a_context_there_is_an_error_and_never_a_row() {
    let stores = stores().await;
    let scope = org();
    let mut tx = stores.db.begin(&scope).await.unwrap();
    insert(&mut tx, scope.uuid()).await.unwrap();
    tx.commit().await.unwrap();
    // On the same session, outside of a transaction of ours: the context has ended with the transaction.
    let mut tx = stores.db.begin(&scope).await.unwrap();
    sqlx::query("COMMIT").execute(&mut *tx).await.unwrap();
    let read = sqlx::query("SELECT * FROM things").fetch_all(&mut *tx).await;
    assert!(matches!(read, Err(sqlx::Error::Database(_))), "{read:?}");
}

#[tokio::test]
async fn workers_see_all_organizations_in_the_tables_opened_to_them_and_none_in_others() {
    let stores = stores().await;
    let (one, two) = (org(), org());
    let mut tx = stores.pipeline.begin().await.unwrap();
    for scope in [one, two] {
        sqlx::query("INSERT INTO readings (org_id, id, note) VALUES ($1, $2, 'n')")
            .bind(scope.uuid())
            .bind(new_id())
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM readings")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(seen, 2);
    tx.commit().await.unwrap();
    let mut tx = stores.pipeline.begin().await.unwrap();
    let error = StoreError::from(
        sqlx::query("SELECT * FROM things")
            .fetch_all(&mut *tx)
            .await
            .unwrap_err(),
    );
    assert_eq!(code(&error), "42704", "no context");
}

#[tokio::test]
async fn neither_role_can_truncate_create_or_reach_a_partition_or_the_migrations() {
    let stores = stores().await;
    let statements = [
        "TRUNCATE things",
        "CREATE TABLE mine (id int)",
        "CREATE TABLE public.mine (id int)",
        "ALTER TABLE things DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant ON things",
        "SELECT * FROM readings_default",
        "SELECT * FROM outbox_default",
        "DELETE FROM _sqlx_migrations",
    ];
    for statement in statements {
        let mut app = stores.db.begin(&org()).await.unwrap();
        let mut pipeline = stores.pipeline.begin().await.unwrap();
        for tx in [&mut app, &mut pipeline] {
            let error = StoreError::from(sqlx::query(statement).execute(&mut **tx).await.unwrap_err());
            assert_eq!(code(&error), "42501", "{statement}");
        }
    }
}

#[tokio::test]
async fn requests_can_add_events_and_read_none() {
    let stores = stores().await;
    for statement in [
        "SELECT * FROM outbox",
        "UPDATE outbox SET about = ''",
        "SELECT * FROM inbox",
        "SELECT * FROM dead_letters",
    ] {
        let mut tx = stores.db.begin(&org()).await.unwrap();
        let error = StoreError::from(sqlx::query(statement).execute(&mut *tx).await.unwrap_err());
        assert_eq!(code(&error), "42501", "{statement}");
    }
}

#[tokio::test]
async fn a_service_cannot_read_its_neighbours_schema() {
    let stores = stores().await;
    let mut root = superuser(stores.database()).await;
    sqlx::raw_sql("CREATE SCHEMA neighbour; CREATE TABLE neighbour.secrets (id int)")
        .execute(&mut root)
        .await
        .unwrap();
    let mut tx = stores.db.begin(&org()).await.unwrap();
    let error = StoreError::from(
        sqlx::query("SELECT * FROM neighbour.secrets")
            .execute(&mut *tx)
            .await
            .unwrap_err(),
    );
    assert_eq!(code(&error), "42501");
}

#[tokio::test]
async fn row_level_security_uses_the_index_of_the_organization() {
    let stores = stores().await;
    let mut root = superuser(stores.database()).await;
    sqlx::raw_sql(
        "INSERT INTO workshop.things (org_id, id, name)
         SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n % 200), 12, '0'))::uuid, gen_random_uuid(), n::text
         FROM generate_series(1, 40000) n; ANALYZE workshop.things",
    )
    .execute(&mut root)
    .await
    .unwrap();
    let scope = OrgScope::new("00000000-0000-7000-8000-000000000007".parse().unwrap());
    let mut tx = stores.db.begin(&scope).await.unwrap();
    let plan: Vec<String> = sqlx::query_scalar("EXPLAIN SELECT * FROM things WHERE name = '7'")
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    let plan = plan.join("\n");
    assert!(plan.contains("Index") && plan.contains("org_id ="), "{plan}");
    assert!(!plan.contains("Seq Scan"), "{plan}");
}
