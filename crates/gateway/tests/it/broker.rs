//! Followers while the broker is killed and comes back.

use std::collections::HashSet;

use contracts::events::v1::SubscribeRequest;
use local_stack::{Nats, NatsOptions};
use serde_json::{Value, json};

use crate::events::{Client as Sse, person, publish};
use crate::followers::*;
use crate::harness::Gateway;

const TOLD: i64 = 40;

/// What a follower heard: revisions in the order in which they came first.
#[derive(Default)]
struct Told {
    ids: HashSet<String>,
    revisions: Vec<i64>,
}

impl Told {
    fn take(&mut self, event: &Value) {
        if self.ids.insert(event["id"].as_str().unwrap().to_owned()) {
            self.revisions.push(event["data"]["revision"].as_i64().unwrap());
        }
    }

    fn all(&self) -> bool {
        self.revisions.len() >= usize::try_from(TOLD).unwrap()
    }
}

async fn by_sse(gateway: &Gateway, start: &str) -> Told {
    let mut told = Told::default();
    let mut client = Sse::open(gateway, &gateway.key, "", Some(start)).await;
    while !told.all() {
        told.take(&client.event().await);
    }
    told
}

async fn by_poll(gateway: &Gateway, start: &str) -> Told {
    let (mut told, mut after) = (Told::default(), start.to_owned());
    while !told.all() {
        let path = format!("/api/v1/events?wait=2s&after={after}");
        let page: Value = gateway.get(&path).send().await.unwrap().json().await.unwrap();
        page["data"]
            .as_array()
            .unwrap()
            .iter()
            .for_each(|event| told.take(event));
        page["nextCursor"].as_str().unwrap().clone_into(&mut after);
    }
    told
}

async fn by_socket(gateway: &Gateway, start: &str) -> Told {
    let mut told = Told::default();
    let mut open = subscribed(gateway, &gateway.key, json!({"after": start})).await;
    while !told.all() {
        let frame = hear(&mut open).await;
        let events = frame["events"].as_array().cloned().unwrap_or_default();
        events.iter().for_each(|event| told.take(event));
        say(&mut open, json!({"type": "ack", "cursor": frame["cursor"]})).await;
    }
    told
}

async fn by_grpc(gateway: &Gateway, start: &str) -> Vec<String> {
    let asked = SubscribeRequest {
        cursor: Some(start.to_owned()),
        ..SubscribeRequest::default()
    };
    let mut stream = subscribe(&mut grpc(gateway), &gateway.key, asked).await.unwrap();
    let mut ids = Vec::new();
    while ids.len() < usize::try_from(TOLD).unwrap() {
        if let Some(event) = stream.message().await.unwrap().unwrap().event
            && !ids.contains(&event.id)
        {
            ids.push(event.id);
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stream_goes_on_when_the_broker_is_killed_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut nats = Nats::start(NatsOptions::new(directory.path().join("nats")))
        .await
        .unwrap();
    let gateway = Gateway::on(&nats.url()).await;
    let start = now(&gateway, &gateway.key).await;
    let telling = async {
        for n in 0..TOLD {
            match n {
                10 | 25 => nats.kill().await.unwrap(),
                15 | 30 => nats.restart().await.unwrap(),
                _ => {}
            }
            publish(&gateway, gateway.org, &person(n)).await;
        }
    };
    let (sse, poll, socket, grpc, ()) = tokio::join!(
        by_sse(&gateway, &start),
        by_poll(&gateway, &start),
        by_socket(&gateway, &start),
        by_grpc(&gateway, &start),
        telling
    );
    let expected: Vec<i64> = (0..TOLD).collect();
    for told in [sse, poll, socket] {
        assert_eq!(told.revisions, expected);
    }
    assert_eq!(grpc.len(), expected.len());
}
