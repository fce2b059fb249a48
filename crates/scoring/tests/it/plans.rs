//! The statements of the hot path find their rows by index, also in small tables: the real ones, counted by the server.

use std::collections::BTreeMap;

use contracts::events::v1 as events;
use jiff::SignedDuration;
use test_kit::wait_for;
use uuid::Uuid;

use crate::harness::{SOON, Said as _, World, identified, linked, merged, new_id, new_org, signal};

/// 100,000 roll-up rows of 2,000 accounts, with schedule, scores and history; analyzed. Returns some of the accounts.
async fn fill(world: &World, org: ids::OrgId) -> Vec<Uuid> {
    let mut admin = world.admin().await;
    let now = world.now() - SignedDuration::from_hours(24 * 60);
    for statement in [
        // Its summaries are made by sequential scans in the background, which would be counted.
        "DROP INDEX score_history_age",
        "INSERT INTO activity SELECT $1, ('a' || lpad(to_hex(n % 2000), 31, '0'))::uuid, ($2::timestamptz)::date + (n / 2000) % 50,
             ('b' || lpad(to_hex(n % 7919), 31, '0'))::uuid, 'api_call', 'f' || n % 9, '', 3, $2, $2, gen_random_uuid()
         FROM generate_series(1, 100000) n ON CONFLICT DO NOTHING",
        "INSERT INTO titles SELECT $1, ('b' || lpad(to_hex(n), 31, '0'))::uuid, 'CTO', 1 FROM generate_series(0, 7918) n
         WHERE $2 IS NOT NULL",
        "INSERT INTO usage_readings SELECT $1, ('a' || lpad(to_hex(n % 2000), 31, '0'))::uuid, ($2::timestamptz)::date,
             ('b' || lpad(to_hex(n), 31, '0'))::uuid, 'm', 1, 2, $2, gen_random_uuid() FROM generate_series(1, 20000) n",
        "INSERT INTO firmographics SELECT $1, ('a' || lpad(to_hex(n), 31, '0'))::uuid, 'discovered', 1, 5
         FROM generate_series(0, 1999) n WHERE $2 IS NOT NULL",
        "INSERT INTO schedule SELECT $1, ('a' || lpad(to_hex(n), 31, '0'))::uuid, false, false, $2::timestamptz + interval '1 year'
         FROM generate_series(0, 1999) n",
        "INSERT INTO scores SELECT $1, ('a' || lpad(to_hex(n), 31, '0'))::uuid, 9, 1, 2, NULL, 1, 1, $2, 'default@1', ''
         FROM generate_series(0, 1999) n",
        "INSERT INTO score_history SELECT $1, ('a' || lpad(to_hex(n % 2000), 31, '0'))::uuid, $2::timestamptz + n * interval '1 s', n,
             5, 1, 2, '{1,1,1,1,1,0,0,0}', 'default@1' FROM generate_series(1, 40000) n",
        "INSERT INTO actor_aliases SELECT $1, ('c' || lpad(to_hex(n), 31, '0'))::uuid, ('b' || lpad(to_hex(n), 31, '0'))::uuid, NULL, $2
         FROM generate_series(0, 7918) n",
        "INSERT INTO actor_accounts SELECT $1, ('b' || lpad(to_hex(n), 31, '0'))::uuid, ('a' || lpad(to_hex(n % 2000), 31, '0'))::uuid, $2
         FROM generate_series(0, 7918) n",
    ] {
        let at = store::ToSqlx::to_sqlx(now);
        sqlx::query(statement).bind(org.uuid()).bind(at).execute(&mut admin).await.unwrap();
    }
    sqlx::query("ANALYZE").execute(&mut admin).await.unwrap();
    sqlx::query_scalar("SELECT account_id FROM scores ORDER BY 1 LIMIT 300")
        .fetch_all(&mut admin)
        .await
        .unwrap()
}

/// Sequential and index scans per table, as far as the server has counted.
async fn scans(world: &World) -> BTreeMap<String, (i64, i64)> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT relname::text, seq_scan, COALESCE(idx_scan, 0) FROM pg_stat_user_tables WHERE schemaname = 'scoring'",
    )
    .fetch_all(&mut world.admin().await)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(table, seq, idx)| (table, (seq, idx)))
        .collect()
}

#[tokio::test]
async fn signals_moves_and_scores_read_by_index_only() {
    const TABLES: [&str; 9] = [
        "activity",
        "titles",
        "usage_readings",
        "firmographics",
        "schedule",
        "scores",
        "score_history",
        "actor_aliases",
        "actor_accounts",
    ];
    let world = World::new().await;
    let org = new_org();
    let accounts = fill(&world, org).await;
    let before = scans(&world).await;
    for _ in 0..8 {
        let (now, person) = (world.now(), new_id());
        let signals = accounts
            .iter()
            .map(|account| signal("login", now).by(new_id()).of(*account));
        world
            .record(org, signals.chain([signal("login", now).by(person)]).collect())
            .await;
        world
            .tell(org, &merged(person, new_id(), Some(accounts[0])))
            .await;
        world.tell(org, &linked(new_id(), accounts[1])).await;
        world.tell(org, &identified(new_id(), 1, Some("CTO"))).await;
        world.tell(org, &identified(person, 1, Some("CTO"))).await;
        let learnt = events::AccountDiscovered {
            account_id: accounts[3].to_string(),
            revision: 1,
            ..events::AccountDiscovered::default()
        };
        world.tell(org, &learnt).await;
        world.settle_all().await;
        world.score(org, accounts[2]).await.unwrap();
    }
    // Sessions report what they counted some time after they fell idle.
    let after = wait_for("the server's counts", SOON * 2, async || {
        let after = scans(&world).await;
        TABLES
            .iter()
            .all(|table| after[*table].1 > before[*table].1)
            .then_some(after)
    })
    .await;
    for table in TABLES {
        assert_eq!(
            after[table].0, before[table].0,
            "{table} was scanned from end to end"
        );
    }
}
