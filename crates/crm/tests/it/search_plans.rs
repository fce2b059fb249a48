//! Search reads its index, under the roles that the service has, on a filled table.

use crm::domain::search::{Kind, Query};
use crm::store::SearchRequest;
use ids::OrgId;
use store::OrgScope;
use uuid::Uuid;

use crate::harness::World;
use crate::plans::{BIG, fill};

fn scope(org: u128) -> OrgScope {
    OrgScope::new(OrgId(Uuid::from_u128(org)))
}

#[tokio::test]
async fn every_part_of_a_search_reads_the_index_over_terms() {
    let world = World::new().await;
    fill(&world, 1_000, 20_000).await;
    for kind in Kind::ALL {
        while world.records.backfill_search(kind).await.unwrap() {}
    }
    let mut admin = world.admin().await;
    sqlx::query("VACUUM ANALYZE search_documents")
        .execute(&mut admin)
        .await
        .unwrap();
    for (text, least) in [
        ("dev4711", 1),
        ("dev4711@x.dev", 1),
        ("dev 4711", 0),
        ("company", 200),
        ("dev47", 20),
        ("x.dev", 200),
        ("ev471", 10),
        ("comapny", 200),
        ("no such thing", 0),
    ] {
        let query = Query::parse(text).unwrap();
        for kinds in [&Kind::ALL[..], &[Kind::Contact]] {
            let plan = world
                .records
                .explain_search(&scope(BIG), &query, kinds)
                .await
                .unwrap();
            let plan = plan.join("\n");
            assert!(
                plan.contains("Bitmap Index Scan on search_documents_by_terms"),
                "{text}\n{plan}"
            );
            assert!(
                !plan.contains("Seq Scan") && !plan.contains("search_documents_pkey"),
                "{text}\n{plan}"
            );
            // The policy of row-level security is folded away: nothing is read to be judged by it.
            assert!(!plan.contains("current_setting"), "{text}\n{plan}");
        }
        let request = SearchRequest {
            query: &query,
            kinds: &Kind::ALL,
            limit: Some(200),
            cursor: None,
        };
        let found = world.records.search(&scope(BIG), &request).await.unwrap();
        assert!(found.items.len() >= least, "{text}: {}", found.items.len());
    }
    // As the request's role the same condition could not use the index: that is why search has two steps.
    for statement in [
        "SET ROLE crm_app",
        "SET devsignal.org_id = '00000000-0000-0000-0000-000000000001'",
    ] {
        sqlx::query(statement).execute(&mut admin).await.unwrap();
    }
    let plan: Vec<String> =
        sqlx::query_scalar("EXPLAIN SELECT id FROM search_documents WHERE terms @> '{1}'")
            .fetch_all(&mut admin)
            .await
            .unwrap();
    assert!(!plan.join("\n").contains("search_documents_by_terms"), "{plan:?}");
}
