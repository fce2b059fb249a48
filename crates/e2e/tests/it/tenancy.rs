//! Two organizations, and nothing of one is ever seen by the other.

use e2e::cluster::{Api, Cluster, Follower};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{cluster, counted, listed, told};

/// In every text of the first organization.
const CANARY: &str = "canary-7f3a";

/// What the first organization has: its resources, by route.
struct Secrets {
    routes: Vec<(&'static str, String)>,
    place: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_organization_sees_a_byte_of_another() {
    let (cluster, first) = cluster().await;
    let second = cluster.create_organization("Other").await.unwrap();
    let watcher = Follower::start(&second).await.unwrap();
    let secrets = fill(&first, CANARY).await;
    fill(&second, "harmless").await;

    lists_show_only_ones_own(&first, &second).await;
    foreign_ids_are_like_unknown_ones(&second, &secrets).await;
    nothing_of_the_first_was_changed(&first, &secrets).await;
    cursors_belong_to_their_organization(&first, &second, &secrets).await;
    keys_of_signals_belong_to_their_organization(&first, &second).await;
    a_foreign_source_is_no_source(&first, &second).await;

    told(&watcher, "a score of the second", |e| {
        e["type"] == "account.score_changed"
    })
    .await;
    let told = watcher.told();
    assert!(!told.events.is_empty());
    for event in &told.events {
        assert_eq!(event["organizationId"], second.org.to_string(), "{event}");
        assert_clean(&event.to_string(), &first);
    }
    the_catalogue_shows_no_way_around(&cluster).await;
}

/// Signals, people, accounts and a source, all with `word` in every text.
async fn fill(api: &Api, word: &str) -> Secrets {
    let follower = Follower::start(api).await.unwrap();
    let source = json!({"type": "github", "name": format!("source {word}"), "config": {"note": word}});
    let source = api
        .post("/api/v1/sources", &source)
        .await
        .unwrap()
        .json(201)
        .unwrap();
    let signal = |n: u32| {
        json!({
            "type": format!("{word}.install"), "idempotencyKey": format!("{word}-{n}"), "anonymousId": format!("{word}-v"),
            "sourceId": source["id"],
            "actor": {"email": format!("dev{n}@{word}.example"), "name": format!("Dev {word}"), "company": word},
            "account": {"domain": format!("{word}.example"), "name": format!("Company {word}")},
            "metadata": {"note": word},
        })
    };
    let ids = api.accept(&[signal(1), signal(2), signal(3)]).await.unwrap();
    let domain = format!("{word}.example");
    let account = listed(api, "/api/v1/accounts", |a| {
        a["domain"] == *domain && a["score"].is_i64()
    })
    .await;
    let contact = counted(api, "/api/v1/contacts", 3).await.remove(0);
    listed(
        api,
        &format!("/api/v1/accounts/{}/timeline", text(&account)),
        |e| e["kind"] == "score_changed",
    )
    .await;
    let routes = vec![
        ("/api/v1/signals/{id}", ids[0].clone()),
        ("/api/v1/accounts/{id}", text(&account)),
        ("/api/v1/accounts/{id}/score", text(&account)),
        ("/api/v1/accounts/{id}/timeline", text(&account)),
        ("/api/v1/accounts/{id}/signals", text(&account)),
        ("/api/v1/contacts/{id}", text(&contact)),
        ("/api/v1/sources/{id}", text(&source)),
    ];
    Secrets {
        routes,
        place: follower.begin.clone(),
    }
}

async fn lists_show_only_ones_own(first: &Api, second: &Api) {
    let id = listed(first, "/api/v1/accounts", |a| a["score"].is_i64()).await;
    let id = text(&id);
    for path in [
        "/api/v1/signals",
        "/api/v1/sources",
        "/api/v1/accounts",
        "/api/v1/contacts",
    ] {
        let (own, theirs) = (first.list(path).await.unwrap(), second.list(path).await.unwrap());
        assert!(!own.is_empty() && !theirs.is_empty(), "{path}");
        assert!(
            own.iter().all(|item| item.to_string().contains(CANARY)),
            "{path}: the canary does not sing"
        );
        for item in theirs {
            assert_clean(&item.to_string(), first);
        }
        let counted = second.read(&format!("{path}?include=totalCount")).await.unwrap();
        assert_eq!(
            counted["totalCount"],
            counted["data"].as_array().unwrap().len(),
            "{path}"
        );
    }
    for filter in [
        format!("/api/v1/signals?filter[type]={CANARY}.install"),
        format!("/api/v1/signals?filter[anonymousId]={CANARY}-v"),
        format!("/api/v1/signals?filter[accountId]={id}"),
        format!("/api/v1/contacts?filter[accountId]={id}"),
        format!("/api/v1/contacts?filter[email]=dev1@{CANARY}.example"),
        format!("/api/v1/accounts?filter[domain]={CANARY}.example"),
    ] {
        assert!(
            !first.list(&filter).await.unwrap().is_empty(),
            "{filter} finds nothing of one's own"
        );
        assert_eq!(
            second.list(&filter).await.unwrap(),
            Vec::<Value>::new(),
            "{filter}"
        );
    }
}

/// Every verb on every resource: the answer to a foreign id is the answer to an id that nobody has, but for the request's id.
async fn foreign_ids_are_like_unknown_ones(second: &Api, secrets: &Secrets) {
    for (route, id) in &secrets.routes {
        let writes = match *route {
            "/api/v1/accounts/{id}" | "/api/v1/contacts/{id}" => vec![Method::PATCH],
            "/api/v1/sources/{id}" => vec![Method::PATCH, Method::DELETE],
            _ => vec![],
        };
        for method in [Method::GET].into_iter().chain(writes) {
            // Whose account it is, only crm knows: the signals of any account that one does not have are none.
            let status = if route.ends_with("/signals") { 200 } else { 404 };
            let mut answers = Vec::new();
            for id in [id.as_str(), "018f3c5e-0000-7000-8000-00000000abcd"] {
                let mut request = second.request(method.clone(), &route.replace("{id}", id));
                if method == Method::PATCH {
                    request = request.json(&json!({"name": "taken over"}));
                }
                let answer = Api::send(request).await.unwrap();
                let mut problem = answer
                    .json(status)
                    .unwrap_or_else(|e| panic!("{method} {route} {id}: {e}"));
                assert!(!answer.body.contains(CANARY));
                problem.as_object_mut().unwrap().remove("requestId");
                answers.push(problem);
            }
            assert_eq!(answers[0], answers[1], "{method} {route}");
        }
    }
}

async fn nothing_of_the_first_was_changed(first: &Api, secrets: &Secrets) {
    for (route, id) in &secrets.routes {
        let answer = first.get(&route.replace("{id}", id)).await.unwrap();
        assert_eq!(answer.status, 200, "{route}: {}", answer.body);
        assert!(!answer.body.contains("taken over"), "{route}");
    }
}

async fn cursors_belong_to_their_organization(first: &Api, second: &Api, secrets: &Secrets) {
    for path in ["/api/v1/signals", "/api/v1/contacts"] {
        let page = first.read(&format!("{path}?limit=1")).await.unwrap();
        let cursor = page["nextCursor"]
            .as_str()
            .unwrap_or_else(|| panic!("one page only: {page}"));
        let next = format!("{path}?limit=1&cursor={cursor}");
        assert_eq!(first.get(&next).await.unwrap().status, 200);
        assert_eq!(
            second.get(&next).await.unwrap().json(400).unwrap()["code"],
            "invalid_cursor",
            "{path}"
        );
    }
    let events = format!("/api/v1/events?after={}", secrets.place);
    assert_eq!(
        second.get(&events).await.unwrap().json(400).unwrap()["code"],
        "invalid_cursor"
    );
}

async fn keys_of_signals_belong_to_their_organization(first: &Api, second: &Api) {
    let signal = json!({"type": "shared", "idempotencyKey": "the same key"});
    let own = first.accept(std::slice::from_ref(&signal)).await.unwrap();
    let theirs = second.accept(&[signal]).await.unwrap();
    assert_ne!(own, theirs);
}

/// A signal cannot be attached to another's source; it is refused as for a source that nobody has.
async fn a_foreign_source_is_no_source(first: &Api, second: &Api) {
    let source = first.list("/api/v1/sources").await.unwrap().remove(0);
    let mut answers = Vec::new();
    for id in [text(&source), "018f3c5e-0000-7000-8000-00000000abcd".to_owned()] {
        let answer = second
            .post("/api/v1/signals", &json!({"type": "x", "sourceId": id}))
            .await
            .unwrap();
        let mut problem = answer.json(400).unwrap();
        problem.as_object_mut().unwrap().remove("requestId");
        answers.push(problem);
    }
    assert_eq!(answers[0], answers[1]);
}

async fn the_catalogue_shows_no_way_around(cluster: &Cluster) {
    let mut sql = cluster.sql().await.unwrap();
    for schema in devsignal::wiring::SCHEMAS {
        let violations = store::catalog::violations(&mut sql, schema).await.unwrap();
        assert_eq!(violations, Vec::<String>::new(), "{schema}");
    }
    let ways = [
        (
            "CREATE TABLE crm.leak (org_id uuid, id uuid)",
            "leak has org_id but no forced row-level security",
        ),
        (
            "CREATE VIEW crm.leak AS SELECT * FROM crm.contacts",
            "view leak lacks security_invoker",
        ),
        (
            "CREATE TABLE crm.leak (org_id uuid, id uuid, of uuid, other uuid, FOREIGN KEY (other, of) REFERENCES crm.accounts)",
            "leaves out org_id",
        ),
        (
            "GRANT TRUNCATE ON crm.accounts TO crm_app",
            "TRUNCATE on table accounts",
        ),
        ("ALTER ROLE crm_app BYPASSRLS", "may bypass row-level security"),
    ];
    for (statement, sentence) in ways {
        sqlx::query("BEGIN").execute(&mut sql).await.unwrap();
        sqlx::query(statement).execute(&mut sql).await.unwrap();
        let violations = store::catalog::violations(&mut sql, "crm").await.unwrap();
        assert!(
            violations.iter().any(|v| v.contains(sentence)),
            "{statement}: {violations:?}"
        );
        sqlx::query("ROLLBACK").execute(&mut sql).await.unwrap();
    }
}

fn assert_clean(seen: &str, first: &Api) {
    assert!(
        !seen.contains(CANARY) && !seen.contains(&first.org.to_string()),
        "{seen}"
    );
}

fn text(item: &Value) -> String {
    item["id"].as_str().unwrap().to_owned()
}
