//! The schema: walls between tenants, and plans that do not degrade.

use std::time::Duration;

use identity_resolver::SCHEMA;
use sqlx::Connection as _;
use test_kit::wait_for;

use crate::harness::*;

#[tokio::test]
async fn no_table_is_open_to_other_tenants() {
    let base = Base::create().await;
    let mut admin = sqlx::PgConnection::connect(&base.stores.database().url())
        .await
        .unwrap();
    assert_eq!(
        store::catalog::violations(&mut admin, SCHEMA).await.unwrap(),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_unit_on_filled_tables_reads_no_table_as_a_whole() {
    let base = Base::create().await;
    let filler = base.replica();
    let signals: Vec<String> = (0..12_000)
        .map(|i| {
            format!(
                "email=p{i}@acme{}.com; anon=a{i}; company=@acme{}",
                i % 500,
                i % 500
            )
        })
        .collect();
    let signals: Vec<&str> = signals.iter().map(String::as_str).collect();
    filler.resolve(org(1), &signals).await;
    let mut admin = sqlx::PgConnection::connect(&base.stores.database().url())
        .await
        .unwrap();
    sqlx::raw_sql("ANALYZE").execute(&mut admin).await.unwrap();
    let scans = "SELECT COALESCE(string_agg(relname || ' ' || seq_scan, ', ' ORDER BY relname), ''),
                        COALESCE(sum(idx_scan), 0)::bigint
                 FROM pg_stat_user_tables WHERE schemaname = 'identity_resolver'
                   AND relname IN ('identities', 'actors', 'accounts', 'account_keys', 'decisions')";
    let before: (String, i64) = sqlx::query_as(scans).fetch_one(&mut admin).await.unwrap();
    // A replica without memory reads all that it needs, merges, stitches and revises.
    let reader = base.replica();
    reader.resolve(org(1), &signals[..8]).await;
    reader
        .resolve(
            org(1),
            &[
                "github=new; anon=visitor",
                "email=p1@acme1.com; name=New",
                "anon=a2000; user=u",
            ],
        )
        .await;
    reader
        .resolve(
            org(1),
            &[
                "github=new; email=p3000@acme0.com; anon=visitor",
                "domain=acme7.com; employees=3",
            ],
        )
        .await;
    base.replica().resolve(org(1), &["email=p1@acme1.com"]).await;
    // Statistics arrive some time after the transaction.
    let after = wait_for("the statistics", Duration::from_secs(20), async || {
        let now: (String, i64) = sqlx::query_as(scans).fetch_one(&mut admin).await.unwrap();
        (now.1 > before.1 + 50).then_some(now)
    })
    .await;
    assert_eq!(after.0, before.0, "sequential scans");
}
