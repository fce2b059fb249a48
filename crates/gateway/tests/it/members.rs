//! Records are given to members, by whatever interface.

use contracts::crm::v1::account_service_client::AccountServiceClient;
use contracts::crm::v1::{BatchCreateAccountsRequest, CreateAccountRequest};
use reqwest::Method;
use serde_json::{Value, json};
use tonic::transport::Endpoint;
use tonic::{Code, Request};

use crate::harness::{Gateway, problem};
use crate::people::{call, good, register, token};

const STRANGER: &str = "0197e1c8-1f2a-7b3c-8d4e-000000000000";

async fn user_of(gateway: &Gateway, session: &Value) -> String {
    let me = good(call(gateway, Some(token(session)), Method::GET, "/me", None).await).await;
    me["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_given_to_members_only() {
    let gateway = Gateway::start().await;
    let ada = register(&gateway, "ada@example.com").await;
    let eve = register(&gateway, "eve@example.com").await;
    let (member, other) = (user_of(&gateway, &ada).await, user_of(&gateway, &eve).await);
    let create = |owner: &str| {
        let body = json!({"name": "Acme", "ownerId": owner});
        call(&gateway, Some(token(&ada)), Method::POST, "/accounts", Some(body))
    };
    for stranger in [STRANGER, &other] {
        let (status, problem) = problem(create(stranger).await).await;
        assert_eq!(
            (
                status,
                &problem["errors"][0]["pointer"],
                &problem["errors"][0]["code"]
            ),
            (400, &json!("/ownerId"), &json!("not_a_member")),
            "{problem}"
        );
    }
    assert!(gateway.seen.principals.lock().is_empty(), "no service was asked");
    good(create(&member).await).await;
    assert_eq!(gateway.seen.principals.lock().len(), 1);
    // Nobody is named by an empty text, or by none.
    good(create("").await).await;
    let body = json!({"name": "Acme"});
    good(call(&gateway, Some(token(&ada)), Method::POST, "/accounts", Some(body)).await).await;
    assert_eq!(gateway.seen.principals.lock().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_named_by_grpc_graphql_and_in_batches_too() {
    let gateway = Gateway::start().await;
    let ada = register(&gateway, "ada@example.com").await;
    let member = user_of(&gateway, &ada).await;
    let channel = Endpoint::from_shared(gateway.grpc.clone())
        .unwrap()
        .connect_lazy();
    let mut client = AccountServiceClient::new(channel);
    let account = |owner: &str| CreateAccountRequest {
        name: Some("Acme".into()),
        owner_id: Some(owner.to_owned()),
        ..CreateAccountRequest::default()
    };
    let batch = BatchCreateAccountsRequest {
        items: vec![account(&member), account(STRANGER)],
        ..BatchCreateAccountsRequest::default()
    };
    let mut request = Request::new(batch);
    let bearer = format!("Bearer {}", token(&ada)).parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    let status = client.batch_create_accounts(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let error = errors::ApiError::from_status(&status);
    assert_eq!(error.fields[0].pointer, "/items/1/ownerId", "{error:?}");

    let query = json!({
        "query": "mutation($input: CreateAccountInput!) { createAccount(input: $input) { id } }",
        "variables": {"input": {"name": "Acme", "ownerId": STRANGER}},
    });
    let url = format!("{}/graphql", gateway.base);
    let sent = gateway
        .client
        .post(url)
        .bearer_auth(token(&ada))
        .json(&query)
        .send();
    let answer: Value = sent.await.unwrap().json().await.unwrap();
    assert!(
        answer["errors"][0].to_string().contains("not_a_member"),
        "{answer}"
    );

    let items = json!({"items": [{"name": "A", "ownerId": member}, {"name": "B", "ownerId": STRANGER}]});
    let sent = call(
        &gateway,
        Some(token(&ada)),
        Method::POST,
        "/accounts/batch",
        Some(items),
    );
    let answer = good(sent.await).await;
    let statuses: Vec<&Value> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["status"])
        .collect();
    assert_eq!(statuses, [&json!(201), &json!(400)], "{answer}");
}
