//! Lists of deals, tasks, activities and notes, and timelines, are read from a position in an index, on filled tables.

use crm::domain::work::{Activity, Note, Task};
use crm::store::About;
use ids::{Clock as _, OrgId};
use jiff::SignedDuration;
use sqlx::{Connection as _, PgConnection};
use store::OrgScope;
use store::list::ListRequest;
use uuid::Uuid;

use crate::harness::{World, new_id, new_org, scored};

const ORG: u128 = 1;
const FIELD: &str = "00000000-0000-7000-8000-00000000f1e1";
/// md5('a1') as a UUID: a hundredth of everything is about this account.
const ACCOUNT: &str = "8a8bb7cd-343a-a2ad-99b7-d762030857a2";

/// Fills one organization with `rows` of each.
async fn fill(world: &World, rows: i32) {
    let org = OrgId(Uuid::from_u128(ORG));
    let scope = OrgScope::new(org);
    // Makes the default pipeline.
    let list = ListRequest::default();
    world.records.list_pipelines(&scope, &list).await.unwrap();
    let mut admin = world.admin().await;
    let about = "md5('a' || n % 100)::uuid, md5('c' || n % 100)::uuid, md5('d' || n % 100 + 1)::uuid";
    let statements = [
        format!(
            "INSERT INTO deals (org_id, id, name, name_key, account_id, pipeline_id, stage_id, status, amount_currency,
             amount_units, amount_nanos, owner_id, stage_since, created_at, updated_at, version)
             SELECT s.org_id, md5('d' || n)::uuid, 'd' || n, 'd' || n, md5('a' || n % 100)::uuid, s.pipeline_id, s.id, 1, 'EUR', n, 0,
             md5('o' || n % 100)::uuid, now(), now() - n * interval '1 minute', now(), 1
             FROM generate_series(1, {rows}) n, stages s WHERE s.key = 'negotiation'"
        ),
        format!(
            "INSERT INTO tasks (org_id, id, title, due_at, assignee_id, account_id, contact_id, deal_id, created_by, created_at,
             updated_at, version) SELECT '00000000-0000-0000-0000-000000000001', md5('t' || n)::uuid, 't',
             CASE WHEN n % 2 = 0 THEN now() + n * interval '1 minute' END, md5('o' || n % 100)::uuid, {about}, 'u',
             now() - n * interval '1 minute', now(), 1 FROM generate_series(1, {rows}) n"
        ),
        format!(
            "INSERT INTO activities (org_id, id, type, subject, occurred_at, account_id, contact_id, deal_id, created_by,
             created_at, updated_at, version) SELECT '00000000-0000-0000-0000-000000000001', md5('i' || n)::uuid, 'call', 's',
             now() - n * interval '1 minute', {about}, 'u', now(), now(), 1 FROM generate_series(1, {rows}) n"
        ),
        format!(
            "INSERT INTO notes (org_id, id, body, account_id, contact_id, deal_id, created_by, created_at, updated_at, version)
             SELECT '00000000-0000-0000-0000-000000000001', md5('n' || n)::uuid, 'b', {about}, 'u',
             now() - n * interval '1 minute', now(), 1 FROM generate_series(1, {rows}) n"
        ),
        format!(
            "INSERT INTO timeline_entries SELECT '00000000-0000-0000-0000-000000000001', md5('d' || n % 100 + 1)::uuid,
             now() - n * interval '1 minute', md5('e' || n)::uuid, 'note', 't', NULL, '{{}}', md5('n' || n)::uuid
             FROM generate_series(1, {rows}) n"
        ),
        format!(
            "INSERT INTO custom_fields VALUES ('00000000-0000-0000-0000-000000000001', '{FIELD}', 'deal', 'seats', 'seats',
             'text', false, false, NULL, '{{}}', NULL, NULL, now(), now(), 1)"
        ),
        format!(
            "INSERT INTO custom_values SELECT '00000000-0000-0000-0000-000000000001', '{FIELD}', md5('d' || n)::uuid,
             lpad((n % 1000)::text, 6, '0'), false FROM generate_series(1, {rows}) n"
        ),
        "VACUUM ANALYZE deals, tasks, activities, notes, timeline_entries, custom_values".to_owned(),
    ];
    for statement in statements {
        let statement = sqlx::AssertSqlSafe(statement);
        sqlx::query(statement).execute(&mut admin).await.unwrap();
    }
    admin.close().await.unwrap();
}

/// Sequential scans, and rows fetched, of the filled tables.
async fn counters(admin: &mut PgConnection) -> (i64, i64) {
    sqlx::query(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
         WHERE usename = 'crm_app' AND datname = current_database()",
    )
    .execute(&mut *admin)
    .await
    .unwrap();
    sqlx::query_as(
        "SELECT sum(seq_scan)::bigint, sum(idx_tup_fetch + seq_tup_read)::bigint FROM pg_stat_user_tables
         WHERE schemaname = 'crm' AND relname IN ('deals', 'deal_contacts', 'tasks', 'activities', 'notes',
         'timeline_entries', 'custom_values')",
    )
    .fetch_one(admin)
    .await
    .unwrap()
}

type Case = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const CASES: [Case; 22] = [
    ("deals", "-createdAt", &[]),
    ("deals", "name", &[]),
    ("deals", "-updatedAt", &[]),
    ("deals", "-amount", &[]),
    ("deals", "expectedCloseOn", &[]),
    ("deals", "-createdAt", &[("accountId", ACCOUNT)]),
    ("deals", "-createdAt", &[("status", "open")]),
    ("deals", "-createdAt", &[("stage", "negotiation")]),
    ("deals", "custom.seats", &[]),
    ("deals", "-custom.seats", &[]),
    ("deals", "-createdAt", &[("custom.seats", "000007")]),
    ("tasks", "-createdAt", &[]),
    ("tasks", "dueAt", &[]),
    ("tasks", "-dueAt", &[("status", "open")]),
    ("tasks", "-createdAt", &[("accountId", ACCOUNT)]),
    ("tasks", "-createdAt", &[("status", "open")]),
    ("activities", "-occurredAt", &[]),
    ("activities", "-occurredAt", &[("type", "call")]),
    ("activities", "-occurredAt", &[("accountId", ACCOUNT)]),
    ("activities", "createdAt", &[]),
    ("notes", "-createdAt", &[]),
    ("notes", "-createdAt", &[("accountId", ACCOUNT)]),
];

async fn page(world: &World, (list, sort, filters): Case, cursor: Option<&str>) -> (usize, Option<String>) {
    let scope = OrgScope::new(OrgId(Uuid::from_u128(ORG)));
    let request = ListRequest {
        limit: Some(50),
        cursor,
        sort: Some(sort),
        filters: filters
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
        include: None,
    };
    let records = &world.records;
    match list {
        "deals" => {
            let page = records.list_deals(&scope, &request, None).await.unwrap();
            (page.items.len(), page.next_cursor)
        }
        "tasks" => {
            let page = records.list_work::<Task>(&scope, &request, None).await.unwrap();
            (page.items.len(), page.next_cursor)
        }
        "activities" => {
            let page = records
                .list_work::<Activity>(&scope, &request, None)
                .await
                .unwrap();
            (page.items.len(), page.next_cursor)
        }
        _ => {
            let page = records.list_work::<Note>(&scope, &request, None).await.unwrap();
            (page.items.len(), page.next_cursor)
        }
    }
}

#[tokio::test]
async fn every_list_of_work_reads_about_as_many_rows_as_it_shows() {
    let world = World::new().await;
    fill(&world, 20_000).await;
    let mut admin = world.admin().await;
    let mut problems = Vec::new();
    for case in CASES {
        let mut cursor = None;
        for number in 0..3 {
            let before = counters(&mut admin).await;
            let (shown, next) = page(&world, case, cursor.as_deref()).await;
            let after = counters(&mut admin).await;
            let rows = after.1 - before.1;
            assert!(shown > 0, "{case:?}");
            // A page and one row more; by an own field, the value and the record; the contacts of deals.
            if after.0 != before.0 || rows > 51 * 4 {
                problems.push(format!(
                    "{case:?}, page {number}: {rows} rows, {} scans",
                    after.0 - before.0
                ));
            }
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
    }
    let scope = OrgScope::new(OrgId(Uuid::from_u128(ORG)));
    let deal: Uuid = sqlx::query_scalar("SELECT md5('d1')::uuid")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    let before = counters(&mut admin).await;
    let entries = world
        .records
        .own_timeline(&scope, About::Deal(deal), None, 51)
        .await
        .unwrap();
    let after = counters(&mut admin).await;
    assert_eq!((entries.len(), after.0 - before.0), (51, 0));
    assert!(after.1 - before.1 <= 52);
    assert_eq!(problems, Vec::<String>::new());
}

#[tokio::test]
async fn old_moves_of_scores_are_forgotten_but_for_the_newest_of_each_account() {
    let world = World::new().await;
    let (org, busy, quiet) = (new_org(), new_id(), new_id());
    let now = world.clock.now();
    let ago = |days: i64| now.checked_sub(SignedDuration::from_hours(24 * days)).unwrap();
    for (revision, days) in [(1, 900), (2, 800), (3, 10)] {
        let event = scored(
            busy,
            revision,
            50,
            contracts::scores::v1::Trend::Stable,
            ago(days),
        );
        world.tell(org, &event).await;
    }
    let event = scored(quiet, 1, 50, contracts::scores::v1::Trend::Stable, ago(900));
    world.tell(org, &event).await;
    assert_eq!(world.records.forget_score_changes(ago(730)).await.unwrap(), 2);
    assert_eq!(world.records.forget_score_changes(ago(730)).await.unwrap(), 0);
}
