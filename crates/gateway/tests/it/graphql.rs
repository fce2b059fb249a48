//! GraphQL: the same records by the same calls, many of them as few.

use std::time::Duration;

use contracts::signals::v1::Signal;
use futures::{SinkExt as _, StreamExt as _};
use rpc::Role;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::fakes::KNOWN;
use crate::harness::Gateway;

impl Gateway {
    /// The answer to a query.
    pub async fn graphql(&self, query: &str, variables: Value) -> Value {
        let body = json!({"query": query, "variables": variables});
        let answer = self.post("/graphql", body.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/json");
        answer.json().await.unwrap()
    }
}

const WITH_CONTEXT: &str = "query AccountWithContext($id: ID!) {
  account(id: $id) {
    name
    domain
    pqaScore { score factors { name weight value } trend }
    contacts { name email identities { type value } lastActive }
    signals(last: 50) { source type actor { name } metadata timestamp }
  }
}";

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_read_with_its_context() {
    let gateway = Gateway::start().await;
    let answer = gateway.graphql(WITH_CONTEXT, json!({"id": KNOWN})).await;
    assert_eq!(answer.get("errors"), None, "{answer}");
    let account = &answer["data"]["account"];
    assert_eq!(account["name"], "Acme");
    assert_eq!(
        account["pqaScore"],
        json!({"score": 87, "trend": "RISING", "factors": [{"name": "user_count", "weight": 15, "value": 0.5}]})
    );
    assert_eq!(account["contacts"].as_array().unwrap().len(), 3);
    assert_eq!(account["contacts"][0]["lastActive"], "2023-11-14T22:13:20Z");
    assert_eq!(
        account["contacts"][0]["identities"],
        json!([{"type": "email", "value": "dev@acme.com"}])
    );
    let signal = &account["signals"][1];
    assert_eq!(
        (&signal["source"], &signal["actor"], &signal["metadata"]),
        (&json!("github"), &json!({"name": "Dev"}), &json!({"n": 1}))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_accounts_with_all_that_belongs_to_them_are_few_calls() {
    let gateway = Gateway::start().await;
    let query = "{ accounts(limit: 50, sort: \"name\") { data { id name pqaScore { score }
        contacts(first: 10) { name account { name } } signals(last: 10) { source type } } hasMore } }";
    let answer = gateway.graphql(query, json!({})).await;
    assert_eq!(answer.get("errors"), None, "{answer}");
    let accounts = answer["data"]["accounts"]["data"].as_array().unwrap();
    assert_eq!(accounts.len(), 50);
    for account in accounts {
        assert_eq!(account["pqaScore"]["score"], 87);
        assert_eq!(account["signals"].as_array().unwrap().len(), 3);
        assert_eq!(account["contacts"][2]["account"]["name"], "Acme");
    }
    let mut calls = gateway.seen.batches.lock().clone();
    calls.sort_unstable();
    assert_eq!(calls, ["accounts", "contacts", "scores", "signals", "sources"]);
    assert_eq!(gateway.seen.lists.lock().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_fails_is_null_with_its_code_and_the_rest_is_there() {
    let gateway = Gateway::start().await;
    let query = "query($id: ID!) { account(id: $id) { name signals(last: 1) { type contact { name } matchedAccount { name } } } }";
    let answer = gateway.graphql(query, json!({"id": KNOWN})).await;
    assert_eq!(
        answer["data"]["account"]["signals"][0]["matchedAccount"]["name"],
        "Acme"
    );
    assert_eq!(answer["data"]["account"]["name"], "Acme");
    let query = "query($id: ID!) { account(id: $id) { name signals(last: 500) { id } } }";
    let answer = gateway.graphql(query, json!({"id": KNOWN})).await;
    assert_eq!(
        answer["data"]["account"],
        json!({"name": "Acme", "signals": null})
    );
    assert_eq!(answer["errors"][0]["path"], json!(["account", "signals"]));
    let missing = "0197e1c8-1f2a-7b3c-8d4e-999999999999";
    let answer = gateway
        .graphql(
            "query($id: ID!) { account(id: $id) { name } }",
            json!({"id": missing}),
        )
        .await;
    assert_eq!(answer["data"], json!({"account": null}));
    let error = &answer["errors"][0];
    assert_eq!(error["extensions"]["code"], "not_found");
    assert_eq!(error["path"], json!(["account"]));
    assert!(error["extensions"]["requestId"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_is_the_write_of_rest_with_its_rules() {
    let gateway = Gateway::start().await;
    let change = "mutation($id: ID!, $input: UpdateAccountInput!, $v: Long) {
        updateAccount(id: $id, input: $input, ifVersion: $v) { id version } }";
    let good = gateway
        .graphql(change, json!({"id": KNOWN, "input": {"name": "New"}, "v": 7}))
        .await;
    assert_eq!(good["data"]["updateAccount"]["version"], 8, "{good}");
    assert_eq!(gateway.seen.updates.lock()[0].name.as_deref(), Some("New"));
    let late = gateway
        .graphql(change, json!({"id": KNOWN, "input": {"name": "New"}, "v": 6}))
        .await;
    assert_eq!(late["errors"][0]["extensions"]["code"], "precondition_failed");
    let made =
        "mutation { createSource(input: {type: \"github\", name: \"x\"}, dryRun: true) { name secret } }";
    let made = gateway.graphql(made, json!({})).await;
    assert_eq!(made["data"]["createSource"]["name"], "x", "{made}");
    assert!(gateway.seen.created.lock()[0].dry_run());
    let gone = gateway
        .graphql(
            "mutation($id: ID!) { deleteSource(id: $id) }",
            json!({"id": KNOWN}),
        )
        .await;
    assert_eq!(gone["data"]["deleteSource"], true);
    let faulty = gateway
        .graphql(
            change,
            json!({"id": KNOWN, "input": {"name": "a\u{0}b", "employees": 1}}),
        )
        .await;
    let error = &faulty["errors"][0]["extensions"];
    assert_eq!(
        (&error["code"], &error["errors"][0]["pointer"]),
        (&json!("validation_failed"), &json!("/name"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_is_the_services_principal_and_needs_a_key() {
    let gateway = Gateway::start().await;
    let body = json!({"query": "{ accounts { hasMore } }"}).to_string();
    let url = format!("{}/graphql", gateway.base);
    let nobody = gateway
        .client
        .post(&url)
        .header("content-type", "application/json")
        .body(body.clone());
    assert_eq!(crate::harness::problem(nobody.send().await.unwrap()).await.0, 401);
    assert!(gateway.untouched());
    let (_, key) = gateway.key(Role::Viewer, &[]).await;
    let viewer = gateway
        .client
        .post(&url)
        .bearer_auth(key)
        .header("content-type", "application/json")
        .body(body);
    assert_eq!(viewer.send().await.unwrap().status(), 200);
    assert_eq!(gateway.seen.principals.lock()[0].role, Role::Viewer);
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn connect(gateway: &Gateway) -> Socket {
    let mut request = format!("ws://{}/graphql", gateway.http)
        .into_client_request()
        .unwrap();
    let protocol = "graphql-transport-ws".parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    let (socket, response) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(
        response.headers()["sec-websocket-protocol"],
        "graphql-transport-ws"
    );
    socket
}

async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

async fn hear(socket: &mut Socket) -> Value {
    let next = tokio::time::timeout(Duration::from_secs(10), socket.next());
    match next.await.unwrap().unwrap().unwrap() {
        Message::Text(text) => serde_json::from_str(&text).unwrap(),
        Message::Close(frame) => json!({"closed": u16::from(frame.unwrap().code)}),
        other => panic!("{other:?}"),
    }
}

async fn ready(gateway: &Gateway) -> Socket {
    let mut socket = connect(gateway).await;
    let payload = json!({"authorization": format!("Bearer {}", gateway.key)});
    say(
        &mut socket,
        json!({"type": "connection_init", "payload": payload}),
    )
    .await;
    assert_eq!(hear(&mut socket).await["type"], "connection_ack");
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_tells_of_signals_as_they_are_recorded() {
    let gateway = Gateway::start().await;
    crate::events::wait_until_open(&gateway).await;
    let mut socket = ready(&gateway).await;
    let query = format!("subscription {{ signals(accountId: \"{KNOWN}\") {{ id type source }} }}");
    say(
        &mut socket,
        json!({"id": "1", "type": "subscribe", "payload": {"query": query}}),
    )
    .await;
    // A query on the same connection is answered, so the subscription before it is in place.
    say(
        &mut socket,
        json!({"id": "2", "type": "subscribe", "payload": {"query": "{ accounts { hasMore } }"}}),
    )
    .await;
    let answer = hear(&mut socket).await;
    assert_eq!(
        (&answer["id"], &answer["payload"]["data"]["accounts"]["hasMore"]),
        (&json!("2"), &json!(true))
    );
    assert_eq!(hear(&mut socket).await, json!({"type": "complete", "id": "2"}));
    let signal = |id: &str, account: Option<&str>| Signal {
        id: id.to_owned(),
        r#type: "repo_star".into(),
        account_id: account.map(str::to_owned),
        ..Signal::default()
    };
    let other = "0197e1c8-1f2a-7b3c-8d4e-000000000009";
    let signals = vec![
        signal("a", None),
        signal("b", Some(other)),
        signal("c", Some(KNOWN)),
    ];
    crate::events::publish_signals(&gateway, gateway.org, signals).await;
    let told = hear(&mut socket).await;
    assert_eq!(told["id"], "1");
    assert_eq!(
        told["payload"]["data"]["signals"],
        json!({"id": "c", "type": "repo_star", "source": null})
    );
    say(&mut socket, json!({"id": "1", "type": "complete"})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_good_key_is_closed_and_floods_are_bounded() {
    let gateway = Gateway::start().await;
    let mut socket = connect(&gateway).await;
    say(
        &mut socket,
        json!({"type": "connection_init", "payload": {"authorization": "Bearer nope"}}),
    )
    .await;
    let closed = hear(&mut socket).await["closed"].as_u64().unwrap();
    assert!((4400..=4410).contains(&closed), "{closed}");
    let mut early = connect(&gateway).await;
    say(
        &mut early,
        json!({"id": "1", "type": "subscribe", "payload": {"query": "{ accounts { hasMore } }"}}),
    )
    .await;
    assert_eq!(hear(&mut early).await["closed"], 4401);
    assert!(gateway.untouched());

    crate::events::wait_until_open(&gateway).await;
    let mut socket = ready(&gateway).await;
    for n in 0..21 {
        let payload = json!({"query": "subscription { signals { id } }"});
        say(
            &mut socket,
            json!({"id": n.to_string(), "type": "subscribe", "payload": payload}),
        )
        .await;
    }
    let refused = hear(&mut socket).await;
    assert_eq!(
        refused["payload"]["errors"][0]["extensions"]["code"], "rate_limited",
        "{refused}"
    );
}
