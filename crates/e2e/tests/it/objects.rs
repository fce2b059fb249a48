//! Custom objects, search and accounts as they were, through REST.

use e2e::cluster::Api;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::cluster;

async fn send(api: &Api, method: Method, path: &str, body: &Value, status: u16) -> Value {
    let answer = Api::send(api.request(method, path).json(body)).await.unwrap();
    answer.json(status).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_keeps_and_finds_records_of_its_own_kind() {
    let (_cluster, api) = cluster().await;
    let object = json!({"key": "licence", "fields": [
        {"key": "name", "type": "text", "required": true},
        {"key": "code", "type": "text", "unique": true},
        {"key": "seats", "type": "number"}]});
    send(&api, Method::POST, "/api/v1/objects", &object, 201).await;
    let at = "/api/v1/objects/licence/records";
    let upsert = json!({"values": {"name": "Zürich", "code": "A-1", "seats": 50}});
    let first = send(&api, Method::PUT, &format!("{at}?match=code"), &upsert, 201).await;
    assert_eq!(first["outcome"], "created");
    let again = send(&api, Method::PUT, &format!("{at}?match=code"), &upsert, 200).await;
    assert_eq!(again["outcome"], "noop");
    let batch = json!({"items": [{"values": {"name": "b", "seats": 5}}, {"values": {"seats": 1}}]});
    let verdicts = send(&api, Method::POST, &format!("{at}/batch"), &batch, 207).await;
    assert_eq!(
        verdicts["results"][1]["error"]["errors"][0]["pointer"],
        "/values/name"
    );
    let dry = json!({"values": {"name": "never"}});
    send(&api, Method::POST, &format!("{at}?dryRun=true"), &dry, 200).await;
    assert_eq!(api.list(&format!("{at}?sort=-seats")).await.unwrap().len(), 2);
    assert_eq!(
        api.list(&format!("{at}?filter[seats]=50")).await.unwrap().len(),
        1
    );
    let range = json!({"where": {"seats": {"$gte": 1, "$lt": 50}}});
    let found = send(&api, Method::POST, &format!("{at}/query"), &range, 200).await;
    assert_eq!(found["data"][0]["values"]["name"], "b");
    let narrower = json!({"fields": [{"key": "name", "type": "text", "required": true}]});
    let refused = send(&api, Method::PATCH, "/api/v1/objects/licence", &narrower, 409).await;
    assert_eq!(refused["errors"][0]["code"], "removed", "{refused}");
    let document = api.read("/api/v1/objects/openapi").await.unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"][at]["get"].is_object(), "{document}");
    let hits = api.read("/api/v1/search?q=zurich").await.unwrap();
    let hit = &hits["data"][0];
    assert_eq!(
        (&hit["type"], &hit["object"]),
        (&json!("record"), &json!("licence")),
        "{hits}"
    );
    let query = json!({"query": "{ records(object: \"licence\") { data { object values } } search(q: \"zurich\") { data { title } } }"});
    let answer = send(&api, Method::POST, "/graphql", &query, 200).await;
    assert_eq!(
        answer["data"]["records"]["data"].as_array().unwrap().len(),
        2,
        "{answer}"
    );
    assert_eq!(answer["data"]["search"]["data"][0]["title"], "Zürich");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_shown_as_it_was() {
    let (_cluster, api) = cluster().await;
    let made = json!({"name": "Before", "domain": "acme.com"});
    let account = send(&api, Method::POST, "/api/v1/accounts", &made, 201).await;
    let path = format!("/api/v1/accounts/{}", account["id"].as_str().unwrap());
    let then = account["updatedAt"].as_str().unwrap();
    send(&api, Method::PATCH, &path, &json!({"name": "After"}), 200).await;
    let was = api.read(&format!("{path}?asOf={then}")).await.unwrap();
    assert_eq!(
        (&was["name"], &was["snapshot"]["asOf"]),
        (&json!("Before"), &json!(then)),
        "{was}"
    );
    assert_eq!(api.read(&path).await.unwrap()["name"], "After");
    let early = api
        .get(&format!("{path}?asOf=2020-01-01T00:00:00Z"))
        .await
        .unwrap();
    assert_eq!(early.status, 404);
    assert!(early.body.contains("history begins"), "{}", early.body);
    for bad in ["2999-01-01T00:00:00Z", "yesterday"] {
        assert_eq!(
            api.get(&format!("{path}?asOf={bad}")).await.unwrap().status,
            400,
            "{bad}"
        );
    }
}
