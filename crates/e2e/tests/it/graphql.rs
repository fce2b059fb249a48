//! GraphQL over the real services.

use e2e::cluster::Api;
use serde_json::{Value, json};

use crate::support::{cluster, counted, listed};

const WITH_CONTEXT: &str = "query AccountWithContext($id: ID!) {
  account(id: $id) {
    name
    domain
    pqaScore {
      score
      factors { name weight value }
      trend
    }
    contacts {
      name
      email
      identities { type value }
      lastActive
    }
    signals(last: 50) {
      source
      type
      actor { name }
      metadata
      timestamp
    }
    deals {
      stage
      amount
      owner { name }
    }
  }
}";

async fn ask(api: &Api, query: &str, variables: Value) -> Value {
    let body = json!({"query": query, "variables": variables});
    api.post("/graphql", &body).await.unwrap().json(200).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_read_with_its_context_by_its_organization_only() {
    let (cluster, api) = cluster().await;
    let source = json!({"type": "product_api", "name": "API"});
    let source = api
        .post("/api/v1/sources", &source)
        .await
        .unwrap()
        .json(201)
        .unwrap();
    let signals: Vec<Value> = (0..3)
        .map(|n| {
            json!({"type": "api_call", "sourceId": source["id"], "idempotencyKey": format!("k{n}"),
                "actor": {"email": "dev@acme.com", "name": "Dev"}, "metadata": {"n": n}})
        })
        .collect();
    api.accept(&signals).await.unwrap();
    let account = listed(&api, "/api/v1/accounts", |a| a["score"].is_number()).await;
    let id = account["id"].as_str().unwrap();
    counted(&api, &format!("/api/v1/accounts/{id}/signals"), 3).await;
    counted(&api, "/api/v1/contacts", 1).await;
    let deal =
        json!({"name": "Rollout", "accountId": id, "amount": {"currency": "EUR", "units": 1200, "nanos": 0}});
    api.post("/api/v1/deals", &deal).await.unwrap().json(201).unwrap();

    let answer = ask(&api, WITH_CONTEXT, json!({ "id": id })).await;
    assert_eq!(answer.get("errors"), None, "{answer}");
    let told = &answer["data"]["account"];
    assert_eq!(told["domain"], "acme.com");
    assert_eq!(told["pqaScore"]["factors"].as_array().unwrap().len(), 8);
    assert_eq!(told["contacts"][0]["email"], "dev@acme.com");
    assert_eq!(told["signals"].as_array().unwrap().len(), 3);
    assert_eq!(told["signals"][0]["source"], "product_api");
    assert_eq!(told["signals"][0]["actor"]["name"], "Dev");
    assert_eq!(told["deals"][0]["amount"]["units"], 1200);

    let other = cluster.create_organization("Other").await.unwrap();
    let answer = ask(&other, WITH_CONTEXT, json!({ "id": id })).await;
    assert_eq!(answer["data"], json!({"account": null}));
    assert_eq!(answer["errors"][0]["extensions"]["code"], "not_found");
    let nobody = "0197e1c8-1f2a-7b3c-8d4e-5f6071829304";
    let missing = ask(&other, WITH_CONTEXT, json!({ "id": nobody })).await;
    assert_eq!(missing["errors"][0]["message"], answer["errors"][0]["message"]);
}
