//! Lists: what is allowed, and that walking the pages is the list.

use proptest::prelude::*;
use sqlx::FromRow;
use store::list::{Filter, Kind, ListRequest, ListSpec, Match, Sort, SortKind};
use store::{OrgScope, Stores};
use test_kit::TestStores;
use uuid::Uuid;

use crate::support::{new_id, org, stores, superuser};

pub(crate) const THINGS: ListSpec = ListSpec {
    table: "things",
    columns: "t.id, t.name, t.score",
    condition: Some("t.name <> 'hidden'"),
    filters: &[
        Filter {
            name: "tier",
            kind: Kind::OneOf(&["HOT", "COLD"]),
            matches: Match::Eq("tier"),
        },
        Filter {
            name: "name",
            kind: Kind::Text,
            matches: Match::Eq("name"),
        },
        Filter {
            name: "minScore",
            kind: Kind::Int,
            matches: Match::AtLeast("score"),
        },
        Filter {
            name: "before",
            kind: Kind::Time,
            matches: Match::Below("created_at"),
        },
        Filter {
            name: "partId",
            kind: Kind::Uuid,
            matches: Match::Sql(
                "EXISTS (SELECT FROM parts p WHERE p.org_id = t.org_id AND p.thing_id = t.id AND p.id = {})",
            ),
        },
    ],
    sorts: &[
        Sort {
            name: "createdAt",
            column: "created_at",
            kind: SortKind::Time,
            nullable: false,
        },
        Sort {
            name: "score",
            column: "score",
            kind: SortKind::Int,
            nullable: true,
        },
        Sort {
            name: "weight",
            column: "weight",
            kind: SortKind::Float,
            nullable: false,
        },
        Sort {
            name: "name",
            column: "name",
            kind: SortKind::Text,
            nullable: false,
        },
        Sort {
            name: "id",
            column: "id",
            kind: SortKind::Uuid,
            nullable: false,
        },
    ],
    default_sort: "-createdAt",
};

#[derive(Debug, Clone, FromRow)]
pub(crate) struct Thing {
    id: Uuid,
    name: String,
    score: Option<i64>,
}

pub(crate) fn filters(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub(crate) async fn fill(stores: &Stores, scope: &OrgScope, rows: &[(Option<i64>, f64, i64)]) {
    let mut tx = stores.db.begin(scope).await.unwrap();
    for (n, (score, weight, second)) in rows.iter().enumerate() {
        sqlx::query(
            "INSERT INTO things (org_id, id, name, score, weight, created_at, tier)
             VALUES ($1, $2, $3, $4, $5, to_timestamp($6), $7)",
        )
        .bind(scope.uuid())
        .bind(new_id())
        .bind(format!("name {n}"))
        .bind(score)
        .bind(weight)
        .bind(*second as f64 + 0.123_456)
        .bind(if n % 3 == 0 { "HOT" } else { "COLD" })
        .execute(&mut *tx)
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
}

/// All pages from the first to the last.
async fn walk(stores: &Stores, scope: &OrgScope, sort: &str, limit: i32) -> Vec<Thing> {
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let request = ListRequest {
            limit: Some(limit),
            cursor: cursor.as_deref(),
            sort: Some(sort),
            ..Default::default()
        };
        let query = THINGS.prepare(scope, "ListThings", &request).unwrap();
        let mut tx = stores.db.begin(scope).await.unwrap();
        let page = query.fetch::<Thing>(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(page.has_more, page.next_cursor.is_some());
        assert!(page.items.len() <= usize::try_from(limit).unwrap());
        all.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return all;
        }
    }
}

async fn expected(stores: &Stores, scope: &OrgScope, order: &str) -> Vec<Uuid> {
    let mut tx = stores.db.begin(scope).await.unwrap();
    let sql = format!("SELECT id FROM things ORDER BY {order}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_all(&mut *tx)
        .await
        .unwrap()
}

async fn walk_is_the_list(stores: &TestStores, rows: &[(Option<i64>, f64, i64)], limit: i32) {
    let scope = org();
    fill(stores, &scope, rows).await;
    for (sort, order) in [
        ("createdAt", "created_at, id"),
        ("-createdAt", "created_at DESC, id DESC"),
        ("score", "score NULLS FIRST, id"),
        ("-score", "score DESC NULLS LAST, id DESC"),
        ("-weight", "weight DESC, id DESC"),
        ("name", "name, id"),
        ("-id", "id DESC"),
    ] {
        let walked: Vec<_> = walk(stores, &scope, sort, limit)
            .await
            .iter()
            .map(|thing| thing.id)
            .collect();
        assert_eq!(walked, expected(stores, &scope, order).await, "{sort} by {limit}");
    }
}

#[test]
fn walking_the_pages_gives_every_row_once_in_order() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let stores = runtime.block_on(stores());
    let row = (
        proptest::option::of(0_i64..4),
        prop_oneof![Just(0.1), Just(-1e300), Just(1.0 / 3.0)],
        -2_i64..3,
    );
    let config = ProptestConfig {
        cases: 24,
        ..ProptestConfig::default()
    };
    proptest!(config, |(rows in proptest::collection::vec(row, 0..25), limit in 1_i32..8)| {
        runtime.block_on(walk_is_the_list(&stores, &rows, limit));
    });
    runtime.block_on(async { drop(stores) });
}

#[tokio::test]
async fn filters_select_and_the_count_is_of_all_matches() {
    let stores = stores().await;
    let (scope, other) = (org(), org());
    let rows: Vec<_> = (0..9).map(|n| (Some(n), 0.0, n)).collect();
    fill(&stores, &scope, &rows).await;
    fill(&stores, &other, &rows).await;
    let mut tx = stores.db.begin(&scope).await.unwrap();
    let thing: Uuid = sqlx::query_scalar("SELECT id FROM things WHERE name = 'name 4'")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    let part = new_id();
    sqlx::query("INSERT INTO parts (org_id, id, thing_id) VALUES ($1, $2, $3)")
        .bind(scope.uuid())
        .bind(part)
        .bind(thing)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    for (given, count) in [
        (filters(&[]), 9),
        (filters(&[("tier", "HOT")]), 3),
        (filters(&[("tier", "HOT"), ("minScore", "1")]), 2),
        (filters(&[("before", "1970-01-01T00:00:02Z")]), 2),
        (filters(&[("name", "' OR 1=1 --")]), 0),
        (filters(&[("partId", &part.to_string())]), 1),
    ] {
        let request = ListRequest {
            limit: Some(1),
            filters: given.clone(),
            include: Some("totalCount"),
            ..Default::default()
        };
        let query = THINGS.prepare(&scope, "ListThings", &request).unwrap();
        let mut tx = stores.db.begin(&scope).await.unwrap();
        let page = query.fetch::<Thing>(&mut tx).await.unwrap();
        assert_eq!(page.total_count, Some(count), "{given:?}");
        assert_eq!(page.has_more, count > 1);
    }
    let query = THINGS
        .prepare(
            &scope,
            "ListThings",
            &ListRequest {
                sort: Some("-score"),
                ..Default::default()
            },
        )
        .unwrap();
    let mut tx = stores.db.begin(&scope).await.unwrap();
    let page = query.fetch::<Thing>(&mut tx).await.unwrap();
    assert_eq!(
        (page.items[0].name.as_str(), page.items[0].score),
        ("name 8", Some(8))
    );
    assert_eq!(page.total_count, None);
}

#[tokio::test]
async fn the_last_page_is_found_by_the_index_and_the_count_is_capped() {
    let stores = stores().await;
    let scope = org();
    let mut root = superuser(stores.database()).await;
    sqlx::query(
        "INSERT INTO workshop.things (org_id, id, name, score, created_at)
         SELECT CASE WHEN n % 2 = 0 THEN $1 ELSE gen_random_uuid() END, gen_random_uuid(), n::text,
                CASE WHEN n % 10 <> 0 THEN n % 100 END, to_timestamp(n)
         FROM generate_series(1, 60000) n",
    )
    .bind(scope.uuid())
    .execute(&mut root)
    .await
    .unwrap();
    sqlx::raw_sql("ANALYZE workshop.things")
        .execute(&mut root)
        .await
        .unwrap();
    for sort in ["-createdAt", "createdAt", "-score", "score"] {
        let page = |cursor: Option<String>| {
            let stores = stores.stores().clone();
            async move {
                let request = ListRequest {
                    limit: Some(200),
                    cursor: cursor.as_deref(),
                    sort: Some(sort),
                    include: Some("totalCount"),
                    ..Default::default()
                };
                let query = THINGS.prepare(&scope, "ListThings", &request).unwrap();
                let mut tx = stores.db.begin(&scope).await.unwrap();
                let page = query.fetch::<Thing>(&mut tx).await.unwrap();
                // What the page cost, in rows looked at by any scan of the statement's own kind.
                tx.commit().await.unwrap();
                page
            }
        };
        let first = page(None).await;
        assert_eq!(first.total_count, Some(10_001));
        let walked = walk(&stores, &scope, sort, 200).await;
        assert_eq!(walked.len(), 30_000, "{sort}");
    }
    let mut tx = stores.db.begin(&scope).await.unwrap();
    for condition in [
        "(t.created_at, t.id) < (to_timestamp(500), '00000000-0000-7000-8000-000000000000') ORDER BY t.created_at DESC, t.id DESC",
        "t.score IS NOT NULL AND (t.score, t.id) < (3, '00000000-0000-7000-8000-000000000000') ORDER BY t.score DESC NULLS LAST, t.id DESC",
        "t.score IS NULL AND t.id < 'f0000000-0000-7000-8000-000000000000' ORDER BY t.score DESC NULLS LAST, t.id DESC",
        "t.score IS NULL AND t.id > '10000000-0000-7000-8000-000000000000' ORDER BY t.score NULLS FIRST, t.id",
    ] {
        let sql = format!(
            "EXPLAIN SELECT * FROM things AS t WHERE t.org_id = '{}' AND {condition} LIMIT 201",
            scope.uuid()
        );
        let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_all(&mut *tx)
            .await
            .unwrap();
        let plan = plan.join("\n");
        assert!(
            plan.contains("Index Cond") && !plan.contains("Sort") && !plan.contains("Seq Scan"),
            "{plan}"
        );
    }
}
