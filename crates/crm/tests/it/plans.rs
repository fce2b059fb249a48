//! Every list that is offered is read from a position in an index that begins with the organization, on filled tables.

use std::time::Duration;

use crm::domain::timeline::Position;
use ids::OrgId;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sqlx::{Connection as _, PgConnection, Postgres, QueryBuilder};
use store::paging::{Cursor, Fingerprint};
use uuid::Uuid;

use crate::harness::World;

/// Fills one big organization and a small one with SQL, as fast as Postgres takes it.
pub async fn fill(world: &World, accounts: i32, contacts: i32) {
    let mut admin = world.admin().await;
    let statements = [
        "INSERT INTO accounts (org_id, id, recorded, name, name_key, domain, country, industry, score, tier, trend, scored_at,
             created_at, updated_at, version)
         SELECT org, id, true, name, name, 'c' || n || '.dev',
             (ARRAY['DE','US','FR','GB','JP'])[1 + (h % 5)], 'Industry ' || (h / 5 % 20),
             s, CASE WHEN s IS NULL THEN 0 WHEN s < 20 THEN 1 WHEN s < 50 THEN 2 WHEN s < 80 THEN 3 ELSE 4 END,
             CASE WHEN s IS NULL THEN 0 ELSE 1 + h / 7 % 3 END, CASE WHEN s IS NULL THEN NULL ELSE now() END,
             now() - n * interval '1 second', now(), 1
         FROM (SELECT n, abs(hashint4(n)) AS h,
                   CASE WHEN n % 50 = 0 THEN '00000000-0000-0000-0000-000000000002' ELSE '00000000-0000-0000-0000-000000000001' END::uuid AS org,
                   md5('a' || n)::uuid AS id, 'company ' || md5(n::text) AS name,
                   CASE WHEN abs(hashint4(n)) % 10 = 0 THEN NULL ELSE abs(hashint4(n + 1)) % 101 END::smallint AS s
               FROM generate_series(1, $1) n) g",
        "INSERT INTO contacts (org_id, id, recorded, name, name_key, email, account_id, account_told_at, account_told_by,
             revision, first_seen_at, last_seen_at, created_at, updated_at, version)
         SELECT CASE WHEN n % 50 = 0 THEN '00000000-0000-0000-0000-000000000002' ELSE '00000000-0000-0000-0000-000000000001' END::uuid,
             md5('c' || n)::uuid, true, 'dev ' || md5(n::text), 'dev ' || md5(n::text), 'dev' || n || '@x.dev',
             -- A tenth of all contacts belongs to one company, the rest is spread.
             md5('a' || CASE WHEN n % 10 = 0 THEN 1 ELSE 1 + abs(hashint4(n)) % ($1 / 10) END)::uuid, now(), md5('e' || n)::uuid,
             1, now(), now() - abs(hashint4(n)) % 1000000 * interval '1 second', now() - n * interval '1 second', now(), 1
         FROM generate_series(1, $1) n",
        "INSERT INTO contact_identities (org_id, told_by, contact_id, position, type, value, verified, confidence)
         SELECT CASE WHEN n % 50 = 0 THEN '00000000-0000-0000-0000-000000000002' ELSE '00000000-0000-0000-0000-000000000001' END::uuid,
             md5('c' || n)::uuid, md5('c' || n)::uuid, p, (ARRAY['email','github'])[1 + p],
             'dev' || n || CASE WHEN p = 0 THEN '@x.dev' ELSE '' END, true, 1
         FROM generate_series(1, $1) n, generate_series(0, 1) p",
    ];
    for (statement, rows) in statements.into_iter().zip([accounts, contacts, contacts]) {
        sqlx::query(statement)
            .bind(rows)
            .execute(&mut admin)
            .await
            .unwrap();
    }
    for table in [
        "VACUUM ANALYZE accounts",
        "VACUUM ANALYZE contacts",
        "VACUUM ANALYZE contact_identities",
    ] {
        sqlx::query(table).execute(&mut admin).await.unwrap();
    }
    admin.close().await.unwrap();
}

/// The big organization.
pub const BIG: u128 = 1;

/// One list as a caller asks for it, and what its plan may contain.
pub struct Asked {
    pub contacts: bool,
    pub sort: &'static str,
    pub filters: &'static [(&'static str, &'static str)],
}

pub const ACCOUNT_SORTS: [&str; 6] = ["-score", "score", "name", "-name", "createdAt", "-createdAt"];
pub const CONTACT_SORTS: [&str; 6] = [
    "-createdAt",
    "createdAt",
    "name",
    "-name",
    "lastSeenAt",
    "-lastSeenAt",
];

/// The company that a tenth of all contacts belongs to: md5('a1') as a UUID.
const BIG_ACCOUNT: &str = "8a8bb7cd-343a-a2ad-99b7-d762030857a2";

/// Every sort with every filter.
pub fn all() -> Vec<Asked> {
    let account_filters: [&'static [(&'static str, &'static str)]; 9] = [
        &[],
        &[("tier", "HOT")],
        &[("tier", "INACTIVE")],
        &[("trend", "RISING")],
        &[("country", "DE")],
        &[("industry", "Industry 7")],
        &[("domain", "c77.dev")],
        &[("tier", "WARM"), ("country", "US")],
        &[("tier", "INACTIVE"), ("country", "DE")],
    ];
    let contact_filters: [&'static [(&'static str, &'static str)]; 4] = [
        &[],
        &[("accountId", BIG_ACCOUNT)],
        &[("email", "dev4711@x.dev")],
        &[("github", "dev4711")],
    ];
    let accounts = ACCOUNT_SORTS.iter().flat_map(|sort| {
        account_filters.iter().map(|filters| Asked {
            contacts: false,
            sort,
            filters,
        })
    });
    let contacts = CONTACT_SORTS.iter().flat_map(|sort| {
        contact_filters.iter().map(|filters| Asked {
            contacts: true,
            sort,
            filters,
        })
    });
    accounts.chain(contacts).collect()
}

impl Asked {
    pub fn request<'a>(&self, cursor: Option<&'a str>) -> store::list::ListRequest<'a> {
        store::list::ListRequest {
            limit: Some(50),
            cursor,
            sort: Some(self.sort),
            filters: self
                .filters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            include: None,
        }
    }

    fn table(&self) -> &'static str {
        if self.contacts { "contacts" } else { "accounts" }
    }

    pub fn name(&self) -> String {
        let list = self.table();
        format!("{list} {} {:?}", self.sort, self.filters)
    }

    /// Reads one page; returns the cursor of the next.
    pub async fn page(&self, world: &World, cursor: Option<&str>) -> (usize, Option<String>) {
        let scope = store::OrgScope::new(OrgId(Uuid::from_u128(BIG)));
        let request = self.request(cursor);
        if self.contacts {
            let page = world.records.list_contacts(&scope, &request, None).await.unwrap();
            (page.items.len(), page.next_cursor)
        } else {
            let page = world.records.list_accounts(&scope, &request, None).await.unwrap();
            (page.items.len(), page.next_cursor)
        }
    }
}

/// The column behind the sort.
fn column(asked: &Asked) -> &'static str {
    let scored_only = asked
        .filters
        .iter()
        .any(|(name, _)| *name == "tier" || *name == "trend");
    match asked.sort {
        "score" if !scored_only => "score_up",
        "score" | "-score" => "score_down",
        "name" | "-name" => "name_key",
        "createdAt" | "-createdAt" => "created_at",
        _ => "last_seen_at",
    }
}

/// `FROM … WHERE …` as the list selects, written anew.
fn push_selection(sql: &mut QueryBuilder<Postgres>, asked: &Asked) {
    sql.push(" FROM ")
        .push(asked.table())
        .push(" WHERE recorded AND org_id = ")
        .push_bind(Uuid::from_u128(BIG));
    for (name, value) in asked.filters {
        let number = match *value {
            "INACTIVE" => 1_i16,
            "COLD" => 2,
            "WARM" | "RISING" => 3,
            _ => 4,
        };
        sql.push(" AND ");
        match *name {
            "tier" | "trend" => sql.push(name).push(" = ").push_bind(number),
            "accountId" => sql
                .push("account_id = ")
                .push_bind(value.parse::<Uuid>().unwrap()),
            other => sql.push(other).push(" = ").push_bind(*value),
        };
    }
}

/// Cursors that lead to these shares of the list (0 to 1), made as the service makes them.
pub async fn cursors(admin: &mut PgConnection, asked: &Asked, shares: &[f64]) -> Vec<Option<String>> {
    if asked
        .filters
        .iter()
        .any(|(name, _)| ["email", "github", "domain"].contains(name))
    {
        // One row each: there is no other page.
        return vec![None];
    }
    let mut sql = QueryBuilder::new("SELECT count(*)");
    push_selection(&mut sql, asked);
    let rows: i64 = sql.build_query_scalar().fetch_one(&mut *admin).await.unwrap();
    let mut found = Vec::new();
    for share in shares {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "a share"
        )]
        let place = ((rows - 1) as f64 * share) as i64;
        found.push(if place == 0 {
            None
        } else {
            Some(cursor_at(admin, asked, place).await)
        });
    }
    found
}

async fn cursor_at(admin: &mut PgConnection, asked: &Asked, place: i64) -> String {
    let column = column(asked);
    let direction = if asked.sort.starts_with('-') { " DESC" } else { "" };
    let mut sql = QueryBuilder::new("SELECT to_jsonb(");
    sql.push(column).push("), id");
    push_selection(&mut sql, asked);
    sql.push(" ORDER BY ")
        .push(column)
        .push(direction)
        .push(", id")
        .push(direction);
    sql.push(" OFFSET ").push_bind(place).push(" LIMIT 1");
    let (key, id): (serde_json::Value, Uuid) = sql.build_query_as().fetch_one(admin).await.unwrap();
    let key = match (column, key.as_str()) {
        ("created_at" | "last_seen_at", Some(text)) => json!(text.parse::<Timestamp>().unwrap().to_string()),
        _ => key,
    };
    let method = if asked.contacts {
        "ListContacts"
    } else {
        "ListAccounts"
    };
    let org = OrgId(Uuid::from_u128(BIG));
    let fingerprint = Fingerprint::new(org, method, asked.sort, &asked.request(None).filters);
    Cursor(vec![key, json!(id)]).encode(fingerprint)
}

/// What Postgres counted of our tables: sequential scans, and rows fetched. Ends the request path's sessions first: a
/// session's counts are visible for certain once it has ended.
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
         WHERE schemaname = 'crm' AND relname IN ('accounts', 'contacts', 'contact_identities', 'score_changes')",
    )
    .fetch_one(admin)
    .await
    .unwrap()
}

#[tokio::test]
async fn every_list_reads_about_as_many_rows_as_it_shows_wherever_the_page_lies() {
    let world = World::new().await;
    fill(&world, 20_000, 40_000).await;
    let shares = [0.0, 0.9];
    let mut looking_up = world.admin().await;
    let mut lists = Vec::new();
    for asked in all() {
        let places = cursors(&mut looking_up, &asked, &shares).await;
        lists.push((asked, places));
    }
    let looked_up_by: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut looking_up)
        .await
        .unwrap();
    looking_up.close().await.unwrap();
    let mut admin = world.admin().await;
    // What that session read must be counted before we begin.
    test_kit::wait_for("the session ends", Duration::from_secs(10), async || {
        let gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)";
        sqlx::query_scalar::<_, bool>(gone)
            .bind(looked_up_by)
            .fetch_one(&mut admin)
            .await
            .unwrap()
            .then_some(())
    })
    .await;
    for (asked, places) in lists {
        for (share, cursor) in shares.into_iter().zip(places) {
            let before = counters(&mut admin).await;
            let (shown, _) = asked.page(&world, cursor.as_deref()).await;
            let after = counters(&mut admin).await;
            let rows = after.1 - before.1;
            let what = format!("{} at {share}: {rows} rows for {shown}", asked.name());
            assert!(shown > 0, "{what}");
            assert_eq!(after.0 - before.0, 0, "{what}");
            // A page, one row more, and two identities for each contact. Of two filters the index answers one, the other
            // is checked row by row, and Postgres takes filters and sort for independent: a part of the list is read.
            let allowed = if asked.filters.len() > 1 { 2_000 } else { 51 * 3 };
            assert!(rows <= allowed, "{what}");
        }
    }
}

#[tokio::test]
async fn a_page_of_score_changes_reads_as_many_rows_as_it_shows_wherever_it_lies() {
    let world = World::new().await;
    fill(&world, 100, 100).await;
    let mut filling = world.admin().await;
    sqlx::query(
        "INSERT INTO score_changes (org_id, account_id, at, id, score, tier, trend, previous_tier, model_version)
         SELECT '00000000-0000-0000-0000-000000000001', md5('a1')::uuid, now() - n * interval '1 minute',
             md5(n::text)::uuid, 50, 3, 2, 3, 'm' FROM generate_series(1, 20000) n",
    )
    .execute(&mut filling)
    .await
    .unwrap();
    sqlx::query("VACUUM ANALYZE score_changes")
        .execute(&mut filling)
        .await
        .unwrap();
    filling.close().await.unwrap();
    let mut admin = world.admin().await;
    let scope = store::OrgScope::new(OrgId(Uuid::from_u128(BIG)));
    let account = BIG_ACCOUNT.parse().unwrap();
    let mut after = None;
    for hours_ago in [0, 30, 300] {
        let before = counters(&mut admin).await;
        let page = world
            .records
            .score_changes(&scope, account, after, 51)
            .await
            .unwrap();
        let rows = counters(&mut admin).await.1 - before.1;
        // The account itself, and the page.
        assert!(page.len() == 51 && rows <= 52, "{rows} rows for {}", page.len());
        let last = page.last().unwrap().score.at;
        after = Some(Position {
            at: last - SignedDuration::from_hours(hours_ago + 1),
            id: Uuid::max(),
        });
    }
}

#[tokio::test]
async fn every_index_begins_with_the_organization() {
    let world = World::new().await;
    let others: Vec<String> = sqlx::query_scalar(
        "SELECT i.indexrelid::regclass::text FROM pg_index i
         JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
         WHERE n.nspname = 'crm' AND a.attname <> 'org_id'
         AND c.relname NOT IN ('outbox', 'outbox_streams', 'inbox', 'dead_letters', '_sqlx_migrations')
         AND c.relname NOT LIKE 'outbox%'
         -- Retention and workers look at all organizations. The organization is part of the terms of search.
         AND i.indexrelid::regclass::text NOT IN ('score_changes_by_time', 'imports_to_do', 'imports_uploading',
             'search_backfill_pkey', 'search_documents_by_terms')",
    )
    .fetch_all(&mut world.admin().await)
    .await
    .unwrap();
    assert_eq!(others, Vec::<String>::new());
}
