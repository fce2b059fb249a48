//! Messages that nobody can read: each becomes a dead letter at once, and its neighbours never notice.

use e2e::cluster::{Api, Cluster, Follower};
use ids::{IdGen as _, SystemIds};
use serde_json::json;
use test_kit::wait_for;
use uuid::Uuid;

use super::goes_all_the_way;
use crate::support::{SOON, cluster, listed};

/// Who publishes it, the event, and whose consumer gives up on it.
const POISONS: [(&str, &str, &str); 6] = [
    (
        "signal_ingest",
        "pipeline.{org}.signals.accepted",
        "identity_resolver",
    ),
    (
        "identity_resolver",
        "pipeline.{org}.signals.resolved",
        "signal_ingest",
    ),
    ("signal_ingest", "evt.{org}.signals.recorded", "scoring"),
    ("identity_resolver", "evt.{org}.contact.identified", "crm"),
    ("identity_resolver", "evt.{org}.account.discovered", "crm"),
    ("scoring", "evt.{org}.account.score_changed", "crm"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_message_is_dead_lettered_and_its_neighbours_are_unharmed() {
    let (cluster, api) = cluster().await;
    let follower = Follower::start(&api).await.unwrap();
    goes_all_the_way(&api, &follower, "before").await;
    for (number, (publisher, subject, consumer)) in POISONS.into_iter().enumerate() {
        for encoding in ["identity", "zstd"] {
            let subject = subject.replace("{org}", &api.org.to_string());
            let id = publish(&cluster, &api, publisher, &subject, encoding).await;
            let letter = dead_letter(&cluster, consumer, id).await;
            assert!(
                letter.contains("payload"),
                "the reason says what is wrong: {letter}"
            );
            goes_all_the_way(&api, &follower, &format!("after-{number}-{encoding}")).await;
        }
    }
    api.accept(&[json!({"type": "x", "actor": {"email": "dev@neighbour.example"}})])
        .await
        .unwrap();
    listed(&api, "/api/v1/accounts", |a| {
        a["domain"] == "neighbour.example" && a["score"].is_i64()
    })
    .await;

    the_command_line_lists_them(&cluster).await;
    let health = wait_for("health tells of dead letters", SOON, async || {
        let health = api.read("/health/signals").await.ok()?;
        (health["deadLetters"].as_i64()? >= 12).then_some(health)
    })
    .await;
    assert_eq!(health["status"], "ok", "{health}");
}

/// Has the relay of `publisher` publish garbage.
async fn publish(cluster: &Cluster, api: &Api, publisher: &str, subject: &str, encoding: &str) -> Uuid {
    let id = SystemIds.next();
    let insert = format!(
        "INSERT INTO {publisher}.outbox (id, org_id, subject, about, source, encoding, payload, occurred_at) \
         VALUES ($1, $2, $3, 'poison', 'e2e', $4, '\\xffffffff', now())"
    );
    sqlx::query(sqlx::AssertSqlSafe(insert))
        .bind(id)
        .bind(api.org.uuid())
        .bind(subject)
        .bind(encoding)
        .execute(&mut cluster.sql().await.unwrap())
        .await
        .unwrap();
    id
}

/// The reason of the dead letter that a consumer makes of the message.
async fn dead_letter(cluster: &Cluster, consumer: &str, message: Uuid) -> String {
    let mut sql = cluster.sql().await.unwrap();
    let query = format!("SELECT reason FROM {consumer}.dead_letters WHERE message_id = $1");
    wait_for(&format!("a dead letter of {consumer}"), SOON, async || {
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(query.clone())).bind(message);
        query.fetch_optional(&mut sql).await.unwrap()
    })
    .await
}

async fn the_command_line_lists_them(cluster: &Cluster) {
    let list = ["dead-letters", "list"];
    let shown = cluster
        .devsignal(&list, "")
        .await
        .unwrap()
        .success()
        .unwrap()
        .stdout;
    for (_, subject, consumer) in POISONS {
        let kind = subject.split_once("}.").unwrap().1;
        let service = consumer.replace('_', "-");
        let head = format!("{service}  {service}_{}", kind.replace('.', "_"));
        assert!(shown.contains(&head), "no {head} in:\n{shown}");
        assert!(shown.contains(kind), "no {kind} in:\n{shown}");
    }
    let redrive = ["dead-letters", "redrive", "--all"];
    let asked = cluster
        .devsignal(&redrive, "")
        .await
        .unwrap()
        .success()
        .unwrap()
        .stdout;
    assert!(asked.contains("will be handled again"), "{asked}");
}
