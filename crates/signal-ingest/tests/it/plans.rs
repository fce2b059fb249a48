//! Every list is read from a position in an index that begins with the organization, on a filled table.

use ids::OrgId;
use serde_json::Value;
use signal_ingest::store::query::{SignalQuery, explain};
use signal_ingest::store::rewrite::{self, Link, Merge};
use store::OrgScope;
use store::paging::{Cursor, Fingerprint, PageRequest};
use test_kit::wait_for;
use uuid::Uuid;

use crate::harness::{SOON, World, new_id};

/// Rows of the big organization.
const ROWS: i32 = 60_000;
const BIG: Uuid = Uuid::from_u128(1);
/// A page reads at most so many blocks of 8 KiB: fifty rows, spread, and the way down a few indexes.
const MOST_BLOCKS: u64 = 400;

/// A big organization and a small one in this week's partition; a sixtieth of each has an account, an actor, a type, a
/// source and a visitor in common.
async fn fill(world: &World) {
    let mut admin = world.admin().await;
    sqlx::query(
        "INSERT INTO signals (org_id, id, occurred_at, received_at, batch_id, type, source_id, actor_id, contact_id,
                              account_id, anonymous_id, metadata)
         SELECT org, (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - n), 12, '0') || '7' || substr(h, 1, 3)
                      || '8' || substr(h, 4, 15))::uuid,
                now() - (n * 7919 % $1) * interval '1 minute', now(), md5('b' || n / 100)::uuid, 'type' || n % 60,
                md5('s' || n % 60)::uuid, md5('p' || n % 60)::uuid, md5('p' || n % 60)::uuid, md5('a' || n % 60)::uuid,
                'v' || n % 60, '{\"path\": \"/pricing\"}'
         FROM (SELECT n, md5('i' || n) AS h,
                      CASE WHEN n % 50 = 0 THEN '00000000-0000-0000-0000-000000000002'
                           ELSE '00000000-0000-0000-0000-000000000001' END::uuid AS org
               FROM generate_series(1, $1) n) g",
    )
    .bind(ROWS)
    .execute(&mut admin)
    .await
    .unwrap();
    sqlx::raw_sql("VACUUM ANALYZE signals")
        .execute(&mut admin)
        .await
        .unwrap();
}

/// Blocks read by the whole plan; fails on a scan of a whole partition that has rows.
fn check(plan: &Value, what: &str) -> u64 {
    let top = &plan[0]["Plan"];
    let mut open = vec![top];
    while let Some(node) = open.pop() {
        let whole = node["Node Type"] == "Seq Scan" && node["Actual Rows"].as_f64().unwrap_or(0.0) > 0.0;
        assert!(!whole, "{what}: {node}");
        if let Some(condition) = node["Index Cond"].as_str() {
            assert!(condition.contains("org_id"), "{what}: {condition}");
        }
        open.extend(node["Plans"].as_array().into_iter().flatten());
    }
    let blocks = |name: &str| top[name].as_u64().unwrap();
    blocks("Shared Hit Blocks") + blocks("Shared Read Blocks")
}

fn queries() -> Vec<(&'static str, SignalQuery)> {
    let some = Some(Uuid::nil());
    let base = SignalQuery {
        max_ahead_secs: 300,
        ..SignalQuery::default()
    };
    let recent = ids::Clock::now(&ids::SystemClock)
        .checked_sub(jiff::SignedDuration::from_hours(2))
        .unwrap();
    vec![
        ("all", base.clone()),
        (
            "type",
            SignalQuery {
                kind: Some("type7".into()),
                ..base.clone()
            },
        ),
        (
            "no such type",
            SignalQuery {
                kind: Some("nothing".into()),
                ..base.clone()
            },
        ),
        (
            "visitor",
            SignalQuery {
                visitor: Some("v7".into()),
                ..base.clone()
            },
        ),
        // The ids are put in by the test.
        (
            "source",
            SignalQuery {
                source: some,
                ..base.clone()
            },
        ),
        (
            "account",
            SignalQuery {
                account: some,
                ..base.clone()
            },
        ),
        (
            "contact",
            SignalQuery {
                contact: some,
                ..base.clone()
            },
        ),
        (
            "from",
            SignalQuery {
                from: Some(recent),
                ..base.clone()
            },
        ),
        (
            "to",
            SignalQuery {
                to: Some(recent),
                ..base
            },
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_reads_a_bounded_number_of_blocks_wherever_its_page_lies() {
    let world = World::new().await;
    fill(&world).await;
    let scope = OrgScope::new(OrgId(BIG));
    let fingerprint = Fingerprint::new(scope.org(), "ListSignals", "", &[]);
    let ids = async |text: &str| -> Option<Uuid> {
        sqlx::query_scalar("SELECT md5($1)::uuid")
            .bind(text)
            .fetch_one(&mut world.admin().await)
            .await
            .ok()
    };
    let (source, account, person) = (ids("s7").await, ids("a7").await, ids("p7").await);
    let now = ids::Clock::now(&ids::SystemClock);
    let middle = now
        .checked_sub(jiff::SignedDuration::from_mins(i64::from(ROWS / 2)))
        .unwrap();
    let deep = Cursor(vec![middle.as_microsecond().into(), new_id().to_string().into()]);
    for (what, query) in queries() {
        for ascending in [false, true] {
            // A cursor lies within its list, which `from` makes short.
            let deep = Some(deep.clone()).filter(|_| query.from.is_none());
            for after in [None, deep] {
                let query = SignalQuery {
                    ascending,
                    source: query.source.and(source),
                    account: query.account.and(account),
                    contact: query.contact.and(person),
                    ..query.clone()
                };
                let cursor = after.as_ref().map(|cursor| cursor.encode(fingerprint));
                let page = PageRequest::parse(Some(50), cursor.as_deref(), fingerprint).unwrap();
                let plan = explain(&world.stores.db, &scope, &query, &page).await.unwrap();
                let blocks = check(&plan, what);
                assert!(
                    blocks <= MOST_BLOCKS,
                    "{what} {ascending} {after:?}: {blocks} blocks: {plan:#}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn corrections_find_their_rows_by_index() {
    let world = World::new().await;
    fill(&world).await;
    let scans = async || -> (i64, i64) {
        sqlx::query_as(
            "SELECT coalesce(sum(seq_scan), 0)::bigint, coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_tables
             WHERE relname LIKE 'signals_p%' AND n_live_tup > 0",
        )
        .fetch_one(&mut world.admin().await)
        .await
        .unwrap()
    };
    let before = wait_for("statistics of the filled table", SOON, async || {
        let now = scans().await;
        (now.0 > 0).then_some(now)
    })
    .await;
    let (org, person) = (OrgId(BIG), new_id());
    let from: Uuid = sqlx::query_scalar("SELECT md5('p7')::uuid")
        .fetch_one(&mut world.admin().await)
        .await
        .unwrap();
    let merge = Merge {
        event: ids::EventId(new_id()),
        from: from.into(),
        contact: person.into(),
        account: None,
        resolution: Default::default(),
    };
    let moved = rewrite::merge(&world.stores.pipeline, org, &merge).await.unwrap();
    assert!(moved > 900, "{moved}");
    let link = Link {
        event: ids::EventId(new_id()),
        contact: person.into(),
        account: new_id().into(),
        resolution: Default::default(),
    };
    rewrite::link(&world.stores.pipeline, org, &link).await.unwrap();
    let after = wait_for("statistics of the corrections", SOON, async || {
        let now = scans().await;
        (now.1 > before.1).then_some(now)
    })
    .await;
    assert_eq!(after.0, before.0, "no partition was read as a whole");
}
