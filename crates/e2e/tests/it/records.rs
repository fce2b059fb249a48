//! Records made by hand, through REST, and how they meet those that signals lead to.

use e2e::cluster::Api;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{cluster, counted, listed};

async fn send(api: &Api, method: Method, path: &str, body: &Value, status: u16) -> Value {
    let answer = Api::send(api.request(method, path).json(body)).await.unwrap();
    answer.json(status).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_by_hand_is_the_person_of_later_signals_and_its_deal_moves() {
    let (_cluster, api) = cluster().await;
    let jane = json!({"email": "Jane@Acme.com", "title": "CTO", "tags": ["champion"]});
    let made = send(&api, Method::POST, "/api/v1/contacts", &jane, 201).await;
    assert_eq!(made["email"], "jane@acme.com");
    send(&api, Method::POST, "/api/v1/contacts", &jane, 409).await;

    // identity-resolver takes the id over and finds the company.
    let known = listed(&api, "/api/v1/contacts", |c| c["accountId"].is_string()).await;
    assert_eq!(known["id"], made["id"]);
    let deal = json!({"name": "Acme", "accountId": known["accountId"], "amount": {"currency": "EUR", "units": 1200}});
    let deal = send(&api, Method::POST, "/api/v1/deals", &deal, 201).await;
    assert_eq!(deal["stage"], "identified", "{deal}");

    api.accept(&[json!({"type": "package_install", "actor": {"email": "jane@acme.com"}})])
        .await
        .unwrap();
    let path = format!("/api/v1/deals/{}", deal["id"].as_str().unwrap());
    let moved = listed(&api, "/api/v1/deals", |d| d["stage"] == "activated").await;
    assert_eq!(moved["id"], deal["id"]);
    let moves = counted(&api, &format!("{path}/moves"), 2).await;
    assert_eq!(moves[0]["movedBy"], "rule");
    assert!(moves[0]["reason"].as_str().unwrap().contains("package_install"));
    let contacts = counted(&api, "/api/v1/contacts", 1).await;
    assert_eq!(
        (&contacts[0]["id"], &contacts[0]["title"]),
        (&made["id"], &json!("CTO"))
    );
    let timeline = format!("/api/v1/contacts/{}/timeline", made["id"].as_str().unwrap());
    listed(&api, &timeline, |entry| entry["kind"] == "signal").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_known_by_signals_cannot_be_recorded_twice() {
    let (_cluster, api) = cluster().await;
    api.accept(&[json!({"type": "repo_star", "actor": {"email": "joe@acme.com"}})])
        .await
        .unwrap();
    // At once: crm may or may not have heard of Joe.
    let joe = json!({"email": "joe@acme.com", "title": "Engineer"});
    let answer = api.post("/api/v1/contacts", &joe).await.unwrap();
    assert!([201, 409].contains(&answer.status), "{}", answer.body);
    let path = "/api/v1/contacts?filter[email]=joe@acme.com";
    listed(&api, path, |c| c["accountId"].is_string()).await;
    let left = counted(&api, path, 1).await;
    if answer.status == 201 {
        assert_eq!(left[0]["title"], "Engineer");
    }
    // By the address, what is known is changed.
    let change = json!({"email": "joe@acme.com", "company": "Acme"});
    let path = "/api/v1/contacts?match=email";
    let done = send(&api, Method::PUT, path, &change, 200).await;
    assert_eq!(
        (&done["contact"]["id"], &done["outcome"]),
        (&left[0]["id"], &json!("updated"))
    );
    let again = send(&api, Method::PUT, path, &change, 200).await;
    assert_eq!(again["outcome"], "noop");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_conventions_hold_for_crms_records() {
    let (_cluster, api) = cluster().await;
    let batch = json!({"items": [{"email": "a@x.dev"}, {"email": "bad"}, {"email": "b@x.dev"}]});
    let verdicts = send(&api, Method::POST, "/api/v1/contacts/batch", &batch, 207).await;
    let statuses: Vec<_> = verdicts["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["status"])
        .collect();
    assert_eq!(json!(statuses), json!([201, 400, 201]), "{verdicts}");

    let dry = json!({"name": "nothing"});
    send(&api, Method::POST, "/api/v1/deals?dryRun=true", &dry, 200).await;
    assert_eq!(api.list("/api/v1/deals").await.unwrap().len(), 0);

    let field = json!({"object": "contact", "key": "plan", "type": "enum", "options": ["free", "pro"]});
    send(&api, Method::POST, "/api/v1/custom-fields", &field, 201).await;
    let page = api.list("/api/v1/contacts?filter[email]=a@x.dev").await.unwrap();
    let path = format!("/api/v1/contacts/{}", page[0]["id"].as_str().unwrap());
    let wrong = json!({"customFields": {"plan": "huge"}});
    let problem = send(&api, Method::PATCH, &path, &wrong, 400).await;
    assert_eq!(problem["errors"][0]["pointer"], "/customFields/plan");
    let right = json!({"customFields": {"plan": "pro"}, "tags": ["vip"]});
    let changed = send(&api, Method::PATCH, &path, &right, 200).await;
    assert_eq!(
        (&changed["customFields"]["plan"], &changed["tags"]),
        (&json!("pro"), &json!(["vip"]))
    );
    for filter in ["filter[custom.plan]=pro", "filter[tag]=VIP", "sort=-custom.plan"] {
        let found = api.list(&format!("/api/v1/contacts?{filter}")).await.unwrap();
        assert_eq!(found.len(), 1, "{filter}");
    }
    let stale = api
        .request(Method::PATCH, &path)
        .header("if-match", "\"1\"")
        .json(&right);
    assert_eq!(Api::send(stale).await.unwrap().status, 412);
    let wanted = json!({"where": {"email": {"$startsWith": "b@"}}});
    let found = send(&api, Method::POST, "/api/v1/contacts/query", &wanted, 200).await;
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
    let gone = Api::send(api.request(Method::DELETE, &path)).await.unwrap();
    assert_eq!(gone.status, 204);
    assert_eq!(api.get(&path).await.unwrap().status, 404);
}
