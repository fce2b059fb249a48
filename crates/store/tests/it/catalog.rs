//! The catalogue test finds every hole that it promises to find.

use sqlx::PgConnection;
use store::catalog::violations;

use crate::support::{SCHEMA, stores, superuser};

#[tokio::test]
async fn a_schema_made_by_the_rules_has_no_violations() {
    let stores = stores().await;
    let mut root = superuser(stores.database()).await;
    assert_eq!(violations(&mut root, SCHEMA).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn s_04_every_kind_of_hole_is_named() {
    let stores = stores().await;
    let mut root = superuser(stores.database()).await;
    let holes = [
        ("CREATE TABLE open (org_id uuid, id uuid)", "table open has org_id but no forced row-level security"),
        (
            "CREATE TABLE half (org_id uuid); ALTER TABLE half ENABLE ROW LEVEL SECURITY",
            "table half has org_id but no forced row-level security",
        ),
        ("ALTER TABLE things NO FORCE ROW LEVEL SECURITY", "table things has org_id but no forced row-level security"),
        ("DROP POLICY tenant ON things", "table things has org_id but no policy"),
        (
            "DROP POLICY tenant ON things; CREATE POLICY tenant ON things
             USING (org_id = current_setting('devsignal.org_id', true)::uuid OR current_setting('devsignal.org_id', true) IS NULL)",
            "table things has org_id but no policy",
        ),
        (
            "DROP POLICY tenant ON things; CREATE POLICY tenant ON things FOR SELECT
             USING (org_id = current_setting('devsignal.org_id')::uuid)",
            "table things has org_id but no policy",
        ),
        ("CREATE POLICY wide ON things USING (true)", "policy wide on table things"),
        ("CREATE POLICY wide ON things TO workshop_app USING (true)", "policy wide on table things"),
        ("CREATE VIEW peek AS SELECT * FROM things", "view peek lacks security_invoker"),
        (
            "CREATE VIEW peek WITH (security_invoker = false) AS SELECT * FROM things",
            "view peek lacks security_invoker",
        ),
        ("CREATE MATERIALIZED VIEW peek AS SELECT * FROM things", "materialized view peek"),
        (
            "ALTER TABLE things ADD UNIQUE (id); ALTER TABLE parts ADD CONSTRAINT short FOREIGN KEY (thing_id) REFERENCES things (id)",
            "foreign key short of table parts leaves out org_id",
        ),
        (
            "CREATE FUNCTION all_things() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM things'",
            "all_things() is SECURITY DEFINER",
        ),
        ("GRANT TRUNCATE ON things TO workshop_app", "TRUNCATE on table things is granted to workshop_app"),
        ("GRANT SELECT ON things TO PUBLIC", "SELECT on table things is granted to PUBLIC"),
        ("GRANT SELECT ON readings_default TO workshop_app", "partition readings_default is granted to workshop_app"),
        ("GRANT CREATE ON SCHEMA workshop TO workshop_app", "CREATE on schema workshop is granted to workshop_app"),
        ("ALTER TABLE things OWNER TO workshop_app", "things is owned by workshop_app"),
        ("ALTER TABLE readings_default DISABLE ROW LEVEL SECURITY", "table readings_default has org_id"),
        // Roles belong to the whole server: undone by the rollback below, never seen by other tests.
        ("ALTER ROLE workshop_app BYPASSRLS", "role workshop_app may bypass row-level security"),
        ("ALTER ROLE workshop_pipeline SUPERUSER", "role workshop_pipeline is superuser"),
        ("GRANT workshop_owner TO workshop_app", "role workshop_app is a member of role workshop_owner"),
    ];
    for (hole, sentence) in holes {
        make(&mut root, hole).await;
        let found = violations(&mut root, SCHEMA).await.unwrap();
        assert!(
            found.iter().any(|violation| violation.contains(sentence)),
            "{hole}\nfound {found:?}"
        );
        sqlx::raw_sql("ROLLBACK").execute(&mut root).await.unwrap();
    }
}

/// In a transaction that is left open. Roles belong to the whole server: when another test changes the same one just now,
/// Postgres refuses, and it is tried again.
async fn make(root: &mut PgConnection, hole: &str) {
    let statements = format!("BEGIN; SET LOCAL search_path = workshop; {hole}");
    loop {
        match sqlx::raw_sql(sqlx::AssertSqlSafe(statements.clone()))
            .execute(&mut *root)
            .await
        {
            Ok(_) => return,
            Err(error) if error.to_string().contains("tuple concurrently updated") => {
                sqlx::raw_sql("ROLLBACK").execute(&mut *root).await.unwrap();
            }
            Err(error) => panic!("{hole}\n{error}"),
        }
    }
}
