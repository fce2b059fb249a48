//! What several tests need.

use std::time::Duration;

use e2e::cluster::{Api, Cluster, Follower};
use serde_json::Value;
use test_kit::wait_for;

/// Longest way of a signal through all stages on a busy machine, after a restart included.
pub const SOON: Duration = Duration::from_secs(30);

/// A cluster with one organization.
pub async fn cluster() -> (Cluster, Api) {
    let cluster = Cluster::start().await.unwrap();
    let api = cluster.create_organization("Acme Devtools").await.unwrap();
    (cluster, api)
}

/// Waits until the follower was told an event that `matches`.
pub async fn told(follower: &Follower, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, SOON, async || follower.find(&matches)).await
}

/// Waits until a list has an item that `matches`.
pub async fn listed(api: &Api, path: &str, matches: impl Fn(&Value) -> bool) -> Value {
    wait_for(&format!("an item of {path}"), SOON, async || {
        api.list(path).await.ok()?.into_iter().find(|item| matches(item))
    })
    .await
}

/// Waits until a list has so many items.
pub async fn counted(api: &Api, path: &str, count: usize) -> Vec<Value> {
    wait_for(&format!("{count} items of {path}"), SOON, async || {
        let items = api.list(path).await.ok()?;
        (items.len() == count).then_some(items)
    })
    .await
}

/// Rows of every table that a request could change, over all services.
pub async fn rows(cluster: &Cluster) -> Vec<(String, i64)> {
    let mut sql = cluster.sql().await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = ANY ($1) ORDER BY 1",
    )
    .bind(devsignal::wiring::SCHEMAS)
    .fetch_all(&mut sql)
    .await
    .unwrap();
    assert!(tables.len() > 20, "{tables:?}");
    let mut counts = Vec::new();
    for table in tables {
        let query = format!("SELECT count(*) FROM {table}");
        let count = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_one(&mut sql)
            .await
            .unwrap();
        counts.push((table, count));
    }
    counts
}
