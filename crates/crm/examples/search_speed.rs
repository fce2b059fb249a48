//! A measurement: how long searches take among 1,000,000 contacts, and what writing the documents costs.
//!
//! `cargo run --release -p crm --example search_speed -- [contacts]` with nats-server and Postgres as tests need them. Fills a
//! database of its own by SQL, makes documents by the backfill, then searches with one caller and with four, and prints p50, p95,
//! the slowest, and the plan of each kind of search. Nothing is asserted.

#![expect(clippy::print_stdout, reason = "a program that prints")]
#![expect(clippy::unwrap_used, reason = "a measurement fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use crm::domain::search::{Kind, Query};
use crm::store::{Records, SearchRequest};
use ids::{OrgId, SystemClock, SystemIds};
use sqlx::Connection as _;
use store::OrgScope;
use test_kit::TestStores;
use uuid::Uuid;

/// Names of twelve syllables each: 144 first names and 1,728 last names, so that a full name is shared by some.
const FILL: &str = "
    WITH s AS (SELECT ARRAY['jo','ma','an','ka','li','pe','ru','so','ti','vi','be','no'] AS a,
                      ARRAY['hn','ria','ders','tz','son','ver','ski','mann','berg','ton','lo','ney'] AS b)
    INSERT INTO contacts (org_id, id, recorded, name, name_key, email, title, company, revision, first_seen_at,
        last_seen_at, created_at, updated_at, version)
    SELECT $1, md5('c' || n)::uuid, true, name, lower(name), replace(lower(name), ' ', '.') || n || '@' || company || '.com',
        (ARRAY['Software Engineer','CTO','Developer Advocate','VP Engineering','Data Scientist'])[1 + h % 5],
        company, 1, now(), now(), now(), now(), 1
    FROM (SELECT n, h, initcap(a[1 + h % 12] || b[1 + h / 12 % 12]) || ' '
              || initcap(a[1 + h / 144 % 12] || b[1 + h / 1728 % 12] || a[1 + h / 20736 % 12]) AS name,
              'company' || h % 20000 AS company
          FROM s, (SELECT n, abs(hashint4(n)) AS h FROM generate_series(1, $2) n) g) r";
const IDENTITIES: &str = "
    INSERT INTO contact_identities (org_id, told_by, contact_id, position, type, value, verified, confidence)
    SELECT org_id, id, id, 0, 'email', email, true, 1 FROM contacts";

const SEARCHES: [&str; 16] = [
    "john",
    "jo",
    "john manders",
    "john.manders",
    "mariason",
    "jonh",
    "mariasno bever",
    "company777",
    "company777.com",
    "john company77",
    "engineer",
    "software engineer john",
    "nderslo",
    "son",
    "verjo cto",
    "nobody at all",
];

#[tokio::main]
async fn main() {
    let contacts: i32 = std::env::args().nth(1).map_or(1_000_000, |n| n.parse().unwrap());
    let stores = TestStores::create(crm::SCHEMA, &crm::MIGRATOR).await;
    let records = Records::new(stores.stores(), SystemClock::shared(), SystemIds::shared());
    let org = Uuid::from_u128(1);
    let mut admin = sqlx::PgConnection::connect(&stores.database().url())
        .await
        .unwrap();
    sqlx::query("SET search_path = crm")
        .execute(&mut admin)
        .await
        .unwrap();
    let begun = Instant::now();
    sqlx::query(FILL)
        .bind(org)
        .bind(contacts)
        .execute(&mut admin)
        .await
        .unwrap();
    sqlx::query(IDENTITIES).execute(&mut admin).await.unwrap();
    println!(
        "{contacts} contacts filled in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    let begun = Instant::now();
    while records.backfill_search(Kind::Contact).await.unwrap() {}
    let spent = begun.elapsed().as_secs_f64();
    println!(
        "documents made in {spent:.1} s, {:.0} a second",
        f64::from(contacts) / spent
    );
    sqlx::query("VACUUM ANALYZE search_documents")
        .execute(&mut admin)
        .await
        .unwrap();
    let sizes: (String, String, String) = sqlx::query_as(
        "SELECT pg_size_pretty(pg_table_size('search_documents')), pg_size_pretty(pg_relation_size('search_documents_pkey')),
         pg_size_pretty(pg_relation_size('search_documents_by_terms'))",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    println!("table {}, primary key {}, terms {}", sizes.0, sizes.1, sizes.2);
    let records = Arc::new(records);
    one_after_the_other(&records, org).await;
    let four = (0..4).map(|_| one_after_the_other_silently(&records, org));
    let mut times: Vec<Duration> = futures::future::join_all(four).await.concat();
    times.sort();
    println!("four callers at once: {}", figures(&times));
    for text in SEARCHES {
        let query = Query::parse(text).unwrap();
        let plan = records
            .explain_search(&OrgScope::new(OrgId(org)), &query, &Kind::ALL)
            .await
            .unwrap();
        println!("\n{text}\n{}", plan.join("\n"));
    }
}

async fn one(records: &Records, org: Uuid, text: &str) -> (Duration, usize) {
    let query = Query::parse(text).unwrap();
    let request = SearchRequest {
        query: &query,
        kinds: &Kind::ALL,
        limit: None,
        cursor: None,
    };
    let begun = Instant::now();
    let page = records
        .search(&OrgScope::new(OrgId(org)), &request)
        .await
        .unwrap();
    (begun.elapsed(), page.items.len())
}

async fn one_after_the_other(records: &Records, org: Uuid) {
    let mut all = Vec::new();
    for text in SEARCHES {
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..40 {
            let (time, count) = one(records, org, text).await;
            times.push(time);
            found = count;
        }
        times.sort();
        println!("{text:<26} {found:>3} on the page  {}", figures(&times));
        all.extend(times);
    }
    all.sort();
    println!("all: {}", figures(&all));
}

async fn one_after_the_other_silently(records: &Records, org: Uuid) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..20 {
        for text in SEARCHES {
            times.push(one(records, org, text).await.0);
        }
    }
    times
}

fn figures(times: &[Duration]) -> String {
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1_000.0;
    format!(
        "p50 {:.1} ms, p95 {:.1} ms, slowest {:.1} ms",
        at(50),
        at(95),
        at(100)
    )
}
