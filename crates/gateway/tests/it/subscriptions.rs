//! The catalogue, schemas, and durable subscriptions.

use contracts::events::v1::{AcknowledgeEventsRequest, SubscribeRequest};
use futures::future::join_all;
use reqwest::Method;
use rpc::Role;
use serde_json::{Value, json};

use crate::events::{batch, person, publish};
use crate::followers::*;
use crate::harness::{Gateway, problem};

async fn json_of(gateway: &Gateway, path: &str) -> Value {
    let answer = gateway.get(path).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_has_a_schema_that_its_events_fit() {
    let gateway = Gateway::start().await;
    let (mut types, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = json_of(&gateway, &format!("/api/v1/event-types?limit=7&cursor={cursor}")).await;
        types.extend(page["data"].as_array().unwrap().clone());
        if page["hasMore"] == false {
            break;
        }
        page["nextCursor"].as_str().unwrap().clone_into(&mut cursor);
    }
    let names: Vec<_> = types.iter().map(|of| of["type"].as_str().unwrap()).collect();
    assert!(names.is_sorted() && names.contains(&"signal.received") && names.contains(&"deal.closed"));
    for of in &types {
        let schema = json_of(&gateway, of["schemaPath"].as_str().unwrap()).await;
        assert_eq!(schema["type"], of["type"]);
        assert!(
            jsonschema::is_valid(&schema["jsonSchema"], &schema["example"]),
            "{}",
            of["type"]
        );
    }
    let start = now(&gateway, &gateway.key).await;
    publish(&gateway, gateway.org, &batch(1)).await;
    publish(&gateway, gateway.org, &person(1)).await;
    let page = json_of(&gateway, &format!("/api/v1/events?wait=10s&after={start}")).await;
    for event in page["data"].as_array().unwrap() {
        let kind = event["type"].as_str().unwrap();
        let schema = json_of(&gateway, &format!("/api/v1/schemas/{kind}/1")).await;
        let validator = jsonschema::validator_for(&schema["jsonSchema"]).unwrap();
        let faults: Vec<_> = validator.iter_errors(event).map(|e| e.to_string()).collect();
        assert!(faults.is_empty(), "{kind}: {faults:?}");
    }
    for (path, status) in [
        ("/api/v1/schemas/deal.closed/2", 404),
        ("/api/v1/schemas/deal.invented/1", 404),
        ("/api/v1/schemas/signals.recorded/1", 404),
        ("/api/v1/schemas/deal.closed/one", 404),
        ("/api/v1/event-types?limit=0", 400),
        ("/api/v1/event-types?cursor=x", 400),
    ] {
        assert_eq!(
            problem(gateway.get(path).send().await.unwrap()).await.0,
            status,
            "{path}"
        );
    }
}

async fn create(gateway: &Gateway, body: Value) -> Value {
    let answer = gateway
        .post("/api/v1/event-subscriptions", body.to_string())
        .send()
        .await
        .unwrap();
    let (status, place) = (answer.status(), answer.headers().get("location").cloned());
    let text = answer.text().await.unwrap();
    assert_eq!(status, 201, "{text}");
    let made: Value = serde_json::from_str(&text).unwrap();
    let path = format!("/api/v1/event-subscriptions/{}", made["id"].as_str().unwrap());
    assert_eq!(place.unwrap().to_str().unwrap(), path);
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_subscription_goes_on_after_what_was_acknowledged_also_after_a_restart() {
    let gateway = Gateway::start().await;
    now(&gateway, &gateway.key).await;
    let made = create(&gateway, json!({"name": "warehouse", "types": ["contact.*"]})).await;
    let id = made["id"].as_str().unwrap().to_owned();
    publish(&gateway, gateway.org, &batch(2)).await;
    for n in 0..10 {
        publish(&gateway, gateway.org, &person(n)).await;
    }
    let asked = SubscribeRequest {
        event_subscription_id: Some(id.clone()),
        ..SubscribeRequest::default()
    };
    let mut client = grpc(&gateway);
    let mut stream = subscribe(&mut client, &gateway.key, asked.clone()).await.unwrap();
    let mut heard = Vec::new();
    for _ in 0..10 {
        let message = stream.message().await.unwrap().unwrap();
        heard.push((message.cursor, message.event.unwrap().id));
    }
    // Acknowledgements in any order, at the same time: the farthest holds.
    let acks = [3, 6, 1, 5, 0, 6, 2].map(|at: usize| {
        let ack = AcknowledgeEventsRequest {
            event_subscription_id: id.clone(),
            cursor: heard[at].0.clone(),
            dry_run: None,
        };
        let (mut client, key) = (client.clone(), gateway.key.clone());
        async move { client.acknowledge_events(with_key(ack, &key)).await.unwrap() }
    });
    join_all(acks).await;
    let path = format!("/api/v1/event-subscriptions/{id}");
    let kept = json_of(&gateway, &path).await;
    assert_eq!(kept["cursor"], heard[6].0.as_str());
    assert!(kept["acknowledgedAt"].is_string());
    let (_, other_process) = gateway.again().await;
    let again = test_kit::wait_for("the other process follows", SOON, async || {
        subscribe(&mut grpc_at(&other_process), &gateway.key, asked.clone())
            .await
            .ok()
    });
    let mut stream = again.await;
    for (_, id) in &heard[7..] {
        assert_eq!(&stream.message().await.unwrap().unwrap().event.unwrap().id, id);
    }
    // By REST too; a trial changes nothing.
    let ack = json!({"cursor": heard[8].0}).to_string();
    let tried = gateway
        .post(&format!("{path}/acknowledge?dryRun=true"), ack.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(tried.status(), 200);
    assert_eq!(json_of(&gateway, &path).await["cursor"], heard[6].0.as_str());
    let moved: Value = gateway
        .post(&format!("{path}/acknowledge"), ack)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(moved["cursor"], heard[8].0.as_str());
    let gone = gateway.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(gone.status(), 204);
    let ended = subscribe(&mut client, &gateway.key, asked).await.unwrap_err();
    assert_eq!(ended.code(), tonic::Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_belong_to_their_organization_and_their_names_are_their_own() {
    let gateway = Gateway::start().await;
    let cursor = now(&gateway, &gateway.key).await;
    let made = create(&gateway, json!({"name": "one", "after": cursor})).await;
    assert_eq!(made["cursor"], cursor.as_str());
    let id = made["id"].as_str().unwrap();
    let (_, other) = gateway.other_organization().await;
    let path = format!("{}/api/v1/event-subscriptions/{id}", gateway.base);
    let theirs = now(&gateway, &other).await;
    for (request, status) in [
        (gateway.client.get(&path).bearer_auth(&other), 404),
        (gateway.client.delete(&path).bearer_auth(&other), 404),
        (
            gateway
                .client
                .post(format!("{path}/acknowledge"))
                .bearer_auth(&other)
                .json(&json!({"cursor": theirs})),
            404,
        ),
        (
            gateway
                .client
                .post(format!("{path}/acknowledge"))
                .bearer_auth(&gateway.key)
                .json(&json!({"cursor": theirs})),
            400,
        ),
        (
            gateway.post("/api/v1/event-subscriptions", json!({"name": "one"}).to_string()),
            409,
        ),
        (
            gateway.post("/api/v1/event-subscriptions", json!({"name": " "}).to_string()),
            400,
        ),
        (
            gateway.post(
                "/api/v1/event-subscriptions",
                json!({"name": "x", "types": ["y"]}).to_string(),
            ),
            400,
        ),
        (
            gateway.post(
                "/api/v1/event-subscriptions",
                json!({"name": "x", "objects": ["y"]}).to_string(),
            ),
            400,
        ),
        (
            gateway.post(
                "/api/v1/event-subscriptions",
                json!({"name": "x", "after": theirs}).to_string(),
            ),
            400,
        ),
        (
            gateway.post(
                "/api/v1/event-subscriptions",
                json!({"name": "x", "position": 1}).to_string(),
            ),
            400,
        ),
        (gateway.get("/api/v1/event-subscriptions/x"), 400),
    ] {
        let (got, body) = problem(request.send().await.unwrap()).await;
        assert_eq!(got, status, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_listed_tried_and_not_without_number() {
    let gateway = Gateway::start().await;
    now(&gateway, &gateway.key).await;
    let made = create(&gateway, json!({"name": "one"})).await;
    let path = format!(
        "{}/api/v1/event-subscriptions/{}",
        gateway.base,
        made["id"].as_str().unwrap()
    );
    // Whoever may only read can follow by it, and not move it.
    let (_, reader) = gateway.key(Role::Viewer, &[]).await;
    let ack = gateway
        .client
        .post(format!("{path}/acknowledge"))
        .bearer_auth(&reader);
    let ack = ack.json(&json!({"cursor": made["cursor"]})).send().await.unwrap();
    assert_eq!(problem(ack).await.0, 403);
    let tried = gateway.post(
        "/api/v1/event-subscriptions?dryRun=true",
        json!({"name": "two"}).to_string(),
    );
    assert_eq!(tried.send().await.unwrap().status(), 200);
    create(&gateway, json!({"name": "two"})).await;
    let list = json_of(
        &gateway,
        "/api/v1/event-subscriptions?sort=name&include=totalCount",
    )
    .await;
    let names: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].clone())
        .collect();
    assert_eq!(
        (names, &list["totalCount"]),
        (vec![json!("one"), json!("two")], &json!(2))
    );
    let named = json_of(&gateway, "/api/v1/event-subscriptions?filter[name]=two").await;
    assert_eq!(named["data"].as_array().unwrap().len(), 1);
    for n in 3..=100 {
        create(&gateway, json!({"name": format!("s{n}")})).await;
    }
    let full = gateway.post("/api/v1/event-subscriptions", json!({"name": "more"}).to_string());
    assert_eq!(problem(full.send().await.unwrap()).await.0, 409);
}

/// A call by a person, or by nobody.
async fn call(gateway: &Gateway, method: Method, path: &str, token: &str, body: Value) -> Value {
    let url = format!("{}/api/v1{path}", gateway.base);
    let mut request = gateway.client.request(method, url);
    if !body.is_null() {
        request = request.json(&body);
    }
    let request = if token.is_empty() {
        request
    } else {
        request.bearer_auth(token)
    };
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{status} {text}");
    serde_json::from_str::<Value>(&text).unwrap_or(Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_an_organization_and_its_members_is_told() {
    let gateway = Gateway::start().await;
    now(&gateway, &gateway.key).await;
    let password = "correct horse battery staple";
    let ada = json!({"email": "ada@example.com", "password": password, "name": "Ada", "organizationName": "Analytical"});
    let session = call(&gateway, Method::POST, "/auth/register", "", ada).await;
    let token = session["accessToken"].as_str().unwrap();
    let start = now(&gateway, token).await;
    call(
        &gateway,
        Method::PATCH,
        "/organization",
        token,
        json!({"name": "Engines"}),
    )
    .await;
    let invited = json!({"email": "bob@example.com", "role": "VIEWER"});
    let invitation = call(&gateway, Method::POST, "/invitations", token, invited).await;
    let accept = json!({"token": invitation["token"], "name": "Bob", "password": password});
    let bob = call(&gateway, Method::POST, "/auth/accept-invitation", "", accept).await;
    let path = format!("/members/{}", bob["userId"].as_str().unwrap());
    call(&gateway, Method::PATCH, &path, token, json!({"role": "MEMBER"})).await;
    call(&gateway, Method::PATCH, &path, token, json!({"role": "MEMBER"})).await;
    call(&gateway, Method::DELETE, &path, token, Value::Null).await;
    let mut told = Vec::new();
    let mut after = start;
    while told
        .last()
        .is_none_or(|event: &Value| event["type"] != "member.removed")
    {
        let path = format!(
            "{}/api/v1/events?wait=10s&types=organization.updated,member.*&after={after}",
            gateway.base
        );
        let page: Value = gateway
            .client
            .get(path)
            .bearer_auth(token)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        page["nextCursor"].as_str().unwrap().clone_into(&mut after);
        told.extend(page["data"].as_array().unwrap().clone());
    }
    let theirs = |event: &&Value| event["data"]["member"]["id"] != session["userId"];
    let kinds: Vec<_> = told
        .iter()
        .filter(theirs)
        .map(|e| e["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "organization.updated",
            "member.joined",
            "member.role_changed",
            "member.removed"
        ]
    );
    let changed = told.iter().find(|e| e["type"] == "member.role_changed").unwrap();
    assert_eq!(
        (
            &changed["data"]["previousRole"],
            &changed["data"]["member"]["role"],
            &changed["data"]["member"]["name"]
        ),
        (&json!("VIEWER"), &json!("MEMBER"), &json!("Bob"))
    );
}
