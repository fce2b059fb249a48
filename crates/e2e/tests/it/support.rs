//! What several tests need.

use std::time::Duration;

use e2e::cluster::{Api, Cluster, Follower};
use serde_json::Value;
use test_kit::wait_for;
use tokio::time::{Instant, sleep};

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
    wait_for_list(api, path, |items| {
        items.iter().find(|item| matches(item)).cloned()
    })
    .await
}

/// Waits until a list has so many items.
pub async fn counted(api: &Api, path: &str, count: usize) -> Vec<Value> {
    wait_for_list(api, path, |items| (items.len() == count).then(|| items.to_vec())).await
}

/// # Panics
/// With the end of what the list has, when it does not become what is wanted.
async fn wait_for_list<T>(api: &Api, path: &str, wanted: impl Fn(&[Value]) -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        let items = api.list(path).await;
        if let Some(found) = items.as_ref().ok().and_then(|items| wanted(items)) {
            return found;
        }
        if Instant::now() > deadline {
            let items = items.unwrap_or_else(|error| panic!("{path}: {error:#}"));
            let last: Vec<String> = items.iter().rev().take(5).map(Value::to_string).collect();
            panic!(
                "{path} has {} items, not what is wanted:\n{}",
                items.len(),
                last.join("\n")
            );
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// What a request can change, of every service: the table and the columns that only requests write.
const WRITTEN: [(&str, &str); 9] = [
    ("signal_ingest.batches", "id, payload"),
    ("signal_ingest.idempotency_keys", "key, signal_id"),
    ("signal_ingest.signals", "id"),
    ("signal_ingest.github_deliveries_raw", "delivery"),
    ("signal_ingest.sources", "id, type, name, config, status, secret"),
    (
        "crm.accounts",
        "id, name, employees, industry, country, funding_stage, edited_fields",
    ),
    ("crm.contacts", "id, name, title, company, edited_fields"),
    ("gateway.organizations", "org_id, name"),
    (
        "gateway.api_keys",
        "id, secret_sha256, role, scopes, expires_at, revoked_at",
    ),
];

/// How many rows each of these tables has, and a digest of what is in them.
pub async fn written(cluster: &Cluster) -> Vec<(&'static str, i64, Option<String>)> {
    let mut sql = cluster.sql().await.unwrap();
    let mut all = Vec::new();
    for (table, columns) in WRITTEN {
        let query = format!(
            "SELECT count(*), md5(string_agg(line, ',' ORDER BY line)) FROM (SELECT ROW({columns})::text AS line FROM {table}) AS l"
        );
        let (count, digest) = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .fetch_one(&mut sql)
            .await
            .unwrap();
        all.push((table, count, digest));
    }
    all
}
