//! Custom objects under concurrency, and the plans of their lists.

use crm::store::Write;
use futures::StreamExt as _;
use ids::OrgId;
use serde_json::{Map, Value, json};
use sqlx::Connection as _;
use store::OrgScope;
use store::list::ListRequest;
use uuid::Uuid;

use crate::harness::{World, new_org};
use crate::objects::{Desk, field, licence};

fn write(org: OrgId) -> Write {
    Write {
        scope: OrgScope::new(org),
        by: "user:test".to_owned(),
        dry_run: false,
    }
}

fn values(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_who_take_a_unique_value_one_wins_in_a_thousand_trials() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    Desk::new(&world, &served, org)
        .create("licence", licence())
        .await
        .unwrap();
    let (records, write) = (&world.records, &write(org));
    let trials = (0..1_000).map(|n| async move {
        let taken = values(json!({"name": "x", "code": format!("AB-{n}")}));
        let create = || records.put_record(write, "licence", &taken, None);
        let (a, b, c) = tokio::join!(create(), create(), create());
        [a, b, c].iter().filter(|answer| answer.is_ok()).count()
    });
    let winners: Vec<usize> = futures::stream::iter(trials).buffer_unordered(4).collect().await;
    assert!(winners.iter().all(|count| *count == 1), "{winners:?}");
    let upserts = (0..200).map(|n| async move {
        let given = values(json!({"name": format!("y{n}"), "code": "ZZ-1"}));
        records
            .put_record(write, "licence", &given, Some("code"))
            .await
            .unwrap()
            .0
            .id
    });
    let mut ids: Vec<Uuid> = futures::stream::iter(upserts)
        .buffer_unordered(16)
        .collect()
        .await;
    ids.dedup();
    assert_eq!(ids.len(), 1, "upserts at once are one record");
    let (rows, indexed): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM object_records), (SELECT count(*) FROM object_values WHERE is_unique)",
    )
    .fetch_one(&mut world.admin().await)
    .await
    .unwrap();
    assert_eq!((rows, indexed), (1_001, 1_001));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_written_while_fields_change_fit_the_fields() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let desk = Desk::new(&world, &served, org);
    desk.create("licence", vec![field("name", "text")]).await.unwrap();
    desk.add("licence", json!({"name": "first"})).await.unwrap();
    let (records, write) = (&world.records, &write(org));
    let adding = futures::stream::iter(0..200)
        .map(|n| async move {
            let given = values(json!({"name": format!("n{n}")}));
            records.put_record(write, "licence", &given, None).await
        })
        .buffer_unordered(8)
        .filter(|answer| futures::future::ready(answer.is_ok()))
        .count();
    let changing = async {
        let needed = contracts::crm::v1::ObjectField {
            required: Some(true),
            ..field("seats", "number")
        };
        let request = contracts::crm::v1::UpdateObjectRequest {
            object: "licence".into(),
            fields: vec![field("name", "text"), needed],
            plan: Some(contracts::crm::v1::SchemaPlan {
                backfill: crate::objects::given(json!({"seats": 1})),
                ..Default::default()
            }),
            ..Default::default()
        };
        desk.objects
            .clone()
            .update_object(desk.caller.asks(request))
            .await
            .unwrap();
    };
    let (added, ()) = tokio::join!(adding, changing);
    let (rows, lacking, indexed): (i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE NOT data ? 'seats'), (SELECT count(*) FROM object_values) FROM object_records",
    )
    .fetch_one(&mut world.admin().await)
    .await
    .unwrap();
    assert_eq!((rows, lacking), (i64::try_from(added).unwrap() + 1, 0));
    assert_eq!(indexed, 2 * rows, "name and seats of each");
}

#[tokio::test]
async fn lists_of_records_read_an_index_on_a_filled_table() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let desk = Desk::new(&world, &served, org);
    desk.create("licence", licence()).await.unwrap();
    desk.add("licence", json!({"name": "n0", "seats": 0}))
        .await
        .unwrap();
    let mut admin = world.admin().await;
    for statement in [
        "INSERT INTO object_records SELECT org_id, md5('r' || n)::uuid, object_id, data, created_by,
             created_at - n * interval '1 second', updated_at, 1 FROM object_records, generate_series(1, 20000) n",
        "INSERT INTO object_values SELECT v.org_id, v.field_id, md5('r' || n)::uuid, v.key || n % 1000, false
             FROM object_values v, generate_series(1, 20000) n",
        "VACUUM ANALYZE object_records, object_values",
    ] {
        sqlx::query(statement).execute(&mut admin).await.unwrap();
    }
    let seq_scans = "SELECT coalesce(sum(seq_scan), 0)::bigint, coalesce(sum(idx_tup_fetch), 0)::bigint FROM pg_stat_user_tables
        WHERE relname IN ('object_records', 'object_values')";
    let settle = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE usename = 'crm_app' AND datname = current_database()";
    let key: String = sqlx::query_scalar("SELECT key FROM object_values WHERE key LIKE 'n07' LIMIT 1")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    let scope = OrgScope::new(org);
    for (sort, filter, tree) in [
        ("-createdAt", None, None),
        ("name", None, None),
        ("-seats", None, None),
        ("updatedAt", None, None),
        ("-createdAt", Some(key.as_str()), None),
        (
            "-createdAt",
            None,
            Some(json!({"name": {"$gte": "n0700", "$lt": "n0701"}})),
        ),
    ] {
        sqlx::query(settle).execute(&mut admin).await.unwrap();
        let before: (i64, i64) = sqlx::query_as(seq_scans).fetch_one(&mut admin).await.unwrap();
        let filters = filter
            .map(|key| ("name".to_owned(), key.to_owned()))
            .into_iter()
            .collect();
        let request = ListRequest {
            sort: Some(sort),
            filters,
            ..ListRequest::default()
        };
        let tree = tree.map(values);
        let page = world
            .records
            .list_records(&scope, "licence", &request, tree.as_ref())
            .await
            .unwrap();
        assert!(!page.items.is_empty(), "{sort} {filter:?}");
        sqlx::query(settle).execute(&mut admin).await.unwrap();
        let after: (i64, i64) = sqlx::query_as(seq_scans).fetch_one(&mut admin).await.unwrap();
        assert_eq!(after.0, before.0, "{sort} {filter:?} reads a whole table");
        assert!(
            after.1 - before.1 < 600,
            "{sort} {filter:?} {tree:?} fetches {} rows",
            after.1 - before.1
        );
    }
    admin.close().await.unwrap();
}
