//! Every list that is offered is read from a position in an index that begins with the organization, on filled tables.

use sqlx::Connection as _;

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

    pub fn name(&self) -> String {
        let list = if self.contacts { "contacts" } else { "accounts" };
        format!("{list} {} {:?}", self.sort, self.filters)
    }

    /// Reads one page; returns the cursor of the next.
    pub async fn page(&self, world: &World, cursor: Option<&str>) -> (usize, Option<String>) {
        let scope = store::OrgScope::new(ids::OrgId(uuid::Uuid::from_u128(BIG)));
        let request = self.request(cursor);
        if self.contacts {
            let page = world.records.list_contacts(&scope, &request).await.unwrap();
            (page.items.len(), page.next_cursor)
        } else {
            let page = world.records.list_accounts(&scope, &request).await.unwrap();
            (page.items.len(), page.next_cursor)
        }
    }
}

/// Cursors that lead to these shares of the list (0 to 1), made as the service makes them.
pub async fn cursors(world: &World, asked: &Asked, shares: &[f64]) -> Vec<Option<String>> {
    let mut admin = world.admin().await;
    let org = ids::OrgId(uuid::Uuid::from_u128(BIG));
    let (column, descending) = match asked.sort.trim_start_matches('-') {
        "score"
            if asked.sort == "score"
                && !asked
                    .filters
                    .iter()
                    .any(|(name, _)| *name == "tier" || *name == "trend") =>
        {
            ("score_up", false)
        }
        "score" => ("score_down", asked.sort.starts_with('-')),
        "name" => ("name_key", asked.sort.starts_with('-')),
        "createdAt" => ("created_at", asked.sort.starts_with('-')),
        _ => ("last_seen_at", asked.sort.starts_with('-')),
    };
    let table = if asked.contacts { "contacts" } else { "accounts" };
    let mut sql = sqlx::QueryBuilder::new("SELECT to_jsonb(");
    sql.push(column)
        .push(") AS key, id FROM ")
        .push(table)
        .push(" t WHERE recorded AND org_id = ")
        .push_bind(org.uuid());
    for (name, value) in asked.filters {
        match *name {
            "tier" => sql.push(" AND tier = ").push_bind(match *value {
                "INACTIVE" => 1_i16,
                "COLD" => 2,
                "WARM" => 3,
                _ => 4,
            }),
            "trend" => sql.push(" AND trend = ").push_bind(3_i16),
            "accountId" => sql
                .push(" AND account_id = ")
                .push_bind(value.parse::<uuid::Uuid>().unwrap()),
            // One row each: there is no other page.
            "email" | "github" | "domain" => return vec![None],
            other => sql.push(" AND ").push(other).push(" = ").push_bind(*value),
        };
    }
    let direction = if descending { " DESC" } else { "" };
    sql.push(" ORDER BY ")
        .push(column)
        .push(direction)
        .push(", id")
        .push(direction);
    let rows: Vec<(serde_json::Value, uuid::Uuid)> =
        sql.build_query_as().fetch_all(&mut admin).await.unwrap();
    let method = if asked.contacts {
        "ListContacts"
    } else {
        "ListAccounts"
    };
    let fingerprint = store::paging::Fingerprint::new(org, method, asked.sort, &asked.request(None).filters);
    let at = |share: &f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share"
        )]
        let place = (rows.len().saturating_sub(1) as f64 * share) as usize;
        let (key, id) = rows.get(place).filter(|_| *share > 0.0)?;
        let key = match (column, key.as_str()) {
            ("created_at" | "last_seen_at", Some(text)) => {
                serde_json::json!(text.parse::<jiff::Timestamp>().unwrap().to_string())
            }
            _ => key.clone(),
        };
        Some(store::paging::Cursor(vec![key, serde_json::json!(id)]).encode(fingerprint))
    };
    shares.iter().map(at).collect()
}

/// What Postgres counted of our tables: sequential scans, and rows fetched.
async fn counters(world: &World) -> (i64, i64) {
    sqlx::query_as(
        "SELECT sum(seq_scan)::bigint, sum(idx_tup_fetch + seq_tup_read)::bigint FROM pg_stat_user_tables
         WHERE schemaname = 'crm' AND relname IN ('accounts', 'contacts', 'contact_identities', 'score_changes')",
    )
    .fetch_one(&mut world.admin().await)
    .await
    .unwrap()
}

/// Ends the request path's sessions: a session's counts are visible for certain once it has ended.
async fn end_sessions(world: &World) {
    let mut admin = world.admin().await;
    sqlx::query("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'crm_app' AND datname = current_database()")
        .execute(&mut admin)
        .await
        .unwrap();
}

#[tokio::test]
async fn every_list_reads_about_as_many_rows_as_it_shows_wherever_the_page_lies() {
    let world = World::new().await;
    fill(&world, 20_000, 60_000).await;
    end_sessions(&world).await;
    for asked in all() {
        for (share, cursor) in [0.0, 0.6, 0.999]
            .into_iter()
            .zip(cursors(&world, &asked, &[0.0, 0.6, 0.999]).await)
        {
            let (scans, rows) = counters(&world).await;
            let (shown, _) = asked.page(&world, cursor.as_deref()).await;
            end_sessions(&world).await;
            let (scans_after, rows_after) = counters(&world).await;
            let what = format!(
                "{} at {share}: {} rows for {shown}",
                asked.name(),
                rows_after - rows
            );
            assert!(shown > 0, "{what}");
            assert_eq!(scans_after - scans, 0, "{what}");
            // A page, one row more, and two identities for each contact. Of two filters the index answers one, the other
            // is checked row by row, and Postgres takes filters and sort for independent: a part of the list is read.
            let allowed = if asked.filters.len() > 1 { 2_000 } else { 51 * 3 };
            assert!(rows_after - rows <= allowed, "{what}");
        }
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
         AND c.relname IN ('accounts', 'contacts', 'contact_identities', 'contact_merges', 'score_changes')",
    )
    .fetch_all(&mut world.admin().await)
    .await
    .unwrap();
    assert_eq!(others, Vec::<String>::new());
}
