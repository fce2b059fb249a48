//! The checker finds what it is there to find: each kind of damage is done to a sound installation, and must be named.

use devsignal::wiring::SCHEMAS;
use e2e::ledger::{Books, Signals, checker};
use sqlx::PgConnection;

use super::{PROGRESS, SETTLE, Trial};

/// The damage, and a part of the sentence that must tell of it.
const DAMAGES: [(&str, &str); 9] = [
    (
        "DELETE FROM signal_ingest.signals WHERE id = (SELECT min(id::text)::uuid FROM signal_ingest.signals)",
        "LOST",
    ),
    (
        "UPDATE signal_ingest.signals SET id = gen_random_uuid() WHERE id = (SELECT min(id::text)::uuid FROM signal_ingest.signals)",
        "under another id",
    ),
    (
        "INSERT INTO signal_ingest.signals (org_id, id, occurred_at, received_at, batch_id, type, idempotency_key) \
         SELECT org_id, gen_random_uuid(), occurred_at, received_at, batch_id, type, idempotency_key \
         FROM signal_ingest.signals LIMIT 1",
        "recorded twice",
    ),
    (
        "INSERT INTO signal_ingest.signals (org_id, id, occurred_at, received_at, batch_id, type) \
         SELECT org_id, gen_random_uuid(), occurred_at, received_at, batch_id, type FROM signal_ingest.signals LIMIT 1",
        "never attempted",
    ),
    (
        "UPDATE signal_ingest.signals SET account_id = NULL \
         WHERE id = (SELECT min(id::text)::uuid FROM signal_ingest.signals WHERE account_id IS NOT NULL)",
        "attributed wrongly",
    ),
    (
        "UPDATE scoring.activity SET signals = signals + 1 \
         WHERE (account_id, actor_id) = (SELECT account_id, actor_id FROM scoring.activity \
                                         WHERE account_id <> '00000000-0000-0000-0000-000000000000' LIMIT 1)",
        "counted in the roll-ups",
    ),
    (
        "UPDATE crm.contacts SET recorded = false WHERE id = (SELECT min(id::text)::uuid FROM crm.contacts)",
        "contacts",
    ),
    (
        "UPDATE crm.accounts SET domain = 'x.example' WHERE id = (SELECT min(id::text)::uuid FROM crm.accounts)",
        "accounts",
    ),
    (
        "INSERT INTO crm.dead_letters (id, message_id, consumer, subject, headers, payload, reason, attempts) \
         VALUES (gen_random_uuid(), gen_random_uuid(), 'c', 's', '{}', '', 'why', 1)",
        "dead letters of crm",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_is_found() {
    let Trial {
        cluster,
        api,
        ledger,
        follower,
    } = Trial::start().await;
    ledger.progress(PROGRESS).await;
    let (signals, books) = ledger.finish().await.unwrap();
    let mut sql = cluster.sql().await.unwrap();
    checker::settle(&mut sql, api.org, &books, SETTLE).await.unwrap();
    test_kit::wait_for("everything is told", SETTLE, async || {
        (follower.told().signals().len() >= books.acknowledged()).then_some(())
    })
    .await;
    let mut told = follower.told();
    let find = async |sql: &mut PgConnection, books: &Books, signals: &Signals, told: &_| {
        checker::check(sql, api.org, signals, books, told)
            .await
            .unwrap()
            .list()
            .join("\n")
    };
    assert_eq!(find(&mut sql, &books, &signals, &told).await, "");
    for (damage, sentence) in DAMAGES {
        sqlx::query("BEGIN").execute(&mut sql).await.unwrap();
        let done = sqlx::query(damage).execute(&mut sql).await.unwrap();
        assert!(done.rows_affected() > 0, "{damage}");
        let found = find(&mut sql, &books, &signals, &told).await;
        assert!(found.contains(sentence), "{sentence:?} after {damage}: {found:?}");
        sqlx::query("ROLLBACK").execute(&mut sql).await.unwrap();
    }
    let untold = told
        .events
        .iter()
        .rposition(|event| event["type"] == "signal.received")
        .unwrap();
    told.events.remove(untold);
    assert!(
        find(&mut sql, &books, &signals, &told)
            .await
            .contains("never told")
    );
    assert_eq!(
        SCHEMAS.len(),
        5,
        "the checker reads the dead letters of all services"
    );
}
