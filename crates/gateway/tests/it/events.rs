//! The event stream, with real events on a real broker.

use std::time::{Duration, Instant};

use contracts::events::v1::{AccountScoreChanged, ContactIdentified, SignalsRecorded};
use contracts::signals::v1::Signal;
use contracts::{Envelope, Event};
use gateway::access::revoke_key;
use ids::{Clock as _, EventId, IdGen as _, OrgId, SystemClock, SystemIds};
use reqwest::Response;
use rpc::Role;
use serde_json::{Value, json};
use store::OrgScope;
use store::outbox::OutboxEvent;
use test_kit::wait_for;

use crate::harness::{Gateway, problem};

const SOON: Duration = Duration::from_secs(15);

/// A client of the stream.
pub struct Client {
    response: Option<Response>,
    buffer: String,
    pub last_id: String,
}

impl Client {
    pub async fn open(gateway: &Gateway, key: &str, query: &str, last: Option<&str>) -> Self {
        let response = wait_for("the stream opens", SOON, async || {
            let request = gateway
                .client
                .get(format!("{}/api/v1/events{query}", gateway.base))
                .bearer_auth(key);
            let request = match last {
                Some(last) => request.header("last-event-id", last),
                None => request,
            };
            let response = request.send().await.unwrap();
            (response.status() != 503).then_some(response)
        })
        .await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut client = Self {
            response: Some(response),
            buffer: String::new(),
            last_id: String::new(),
        };
        let greeting = client.frame().await.unwrap();
        assert!(
            greeting.contains(": connected") && greeting.contains("retry: "),
            "{greeting}"
        );
        client
    }

    /// The next block; `None` when the server has ended the stream.
    pub async fn frame(&mut self) -> Option<String> {
        loop {
            if let Some((frame, rest)) = self.buffer.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.buffer = rest;
                if let Some(id) = frame.lines().find_map(|l| l.strip_prefix("id: ")) {
                    id.clone_into(&mut self.last_id);
                }
                return Some(frame);
            }
            let chunk = tokio::time::timeout(SOON, self.response.as_mut()?.chunk())
                .await
                .expect("silence");
            let chunk = chunk.ok().flatten()?;
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event.
    pub async fn event(&mut self) -> Value {
        loop {
            let frame = self.frame().await.expect("the stream goes on");
            if let Some(data) = frame.lines().find_map(|l| l.strip_prefix("data: ")) {
                return serde_json::from_str(data).unwrap();
            }
        }
    }
}

pub async fn publish<E: Event>(gateway: &Gateway, org: OrgId, event: &E) {
    let envelope = Envelope::wrap(
        event,
        EventId(SystemIds.next()),
        org,
        String::new(),
        SystemClock.now(),
    );
    let row = OutboxEvent {
        id: envelope.id.uuid(),
        org,
        subject: envelope.subject.text(),
        about: envelope.about,
        source: envelope.source,
        encoding: "identity".into(),
        traceparent: None,
        payload: envelope.payload,
        occurred_at: envelope.time,
    };
    let mut tx = gateway.stores.db.begin(&OrgScope::new(org)).await.unwrap();
    store::outbox::enqueue(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
}

pub fn person(n: i64) -> ContactIdentified {
    ContactIdentified {
        contact_id: "c".into(),
        revision: n,
        ..ContactIdentified::default()
    }
}

pub fn batch(size: usize) -> SignalsRecorded {
    let signal = |n: usize| Signal {
        id: SystemIds.next().to_string(),
        r#type: format!("t{n}"),
        account_id: Some("acct".into()),
        ..Signal::default()
    };
    SignalsRecorded {
        batch_id: "b".into(),
        signals: (0..size).map(signal).collect(),
        ..SignalsRecorded::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_in_order_and_only_ones_own() {
    let gateway = Gateway::start().await;
    let (other, other_key) = gateway.other_organization().await;
    let mut mine = Client::open(&gateway, &gateway.key, "", None).await;
    let mut theirs = Client::open(&gateway, &other_key, "", None).await;
    let mut scores = Client::open(
        &gateway,
        &gateway.key,
        "?types=account.score_changed,signal.account_matched",
        None,
    )
    .await;
    publish(&gateway, gateway.org, &person(1)).await;
    publish(&gateway, other, &person(2)).await;
    publish(&gateway, gateway.org, &batch(2)).await;
    publish(
        &gateway,
        gateway.org,
        &AccountScoreChanged {
            revision: 3,
            ..Default::default()
        },
    )
    .await;
    let first = mine.event().await;
    assert_eq!(first["type"], "contact.identified");
    assert_eq!(
        (&first["data"]["revision"], &first["organizationId"]),
        (&json!(1), &json!(gateway.org.to_string()))
    );
    let mut kinds = Vec::new();
    for _ in 0..5 {
        kinds.push(mine.event().await["type"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        kinds,
        [
            "signal.received",
            "signal.account_matched",
            "signal.received",
            "signal.account_matched",
            "account.score_changed"
        ]
    );
    assert_eq!(theirs.event().await["data"]["revision"], 2);
    for kind in [
        "signal.account_matched",
        "signal.account_matched",
        "account.score_changed",
    ] {
        assert_eq!(scores.event().await["type"], kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_resumes_in_the_middle_of_a_batch_without_gap_or_repeat() {
    let gateway = Gateway::start().await;
    let mut client = Client::open(&gateway, &gateway.key, "", None).await;
    publish(&gateway, gateway.org, &batch(5)).await;
    publish(&gateway, gateway.org, &person(1)).await;
    let mut whole = Vec::new();
    let mut cursors = vec![client.last_id.clone()];
    for _ in 0..11 {
        whole.push(client.event().await["id"].clone());
        cursors.push(client.last_id.clone());
    }
    for (passed, cursor) in cursors.iter().enumerate() {
        let query = format!("?after={cursor}");
        let (query, last) = if passed % 2 == 0 {
            (query.as_str(), None)
        } else {
            ("", Some(cursor.as_str()))
        };
        let mut again = Client::open(&gateway, &gateway.key, query, last).await;
        for id in &whole[passed..] {
            assert_eq!(&again.event().await["id"], id, "after {passed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fell_out_of_memory_comes_from_the_broker_and_then_goes_on_live() {
    let gateway = Gateway::with(json!({"events": {"buffer_bytes": 4096}})).await;
    let mut client = Client::open(&gateway, &gateway.key, "", None).await;
    let start = client.last_id.clone();
    for n in 0..100 {
        publish(&gateway, gateway.org, &person(n)).await;
    }
    for n in 0..100 {
        assert_eq!(client.event().await["data"]["revision"], n);
    }
    let mut late = Client::open(&gateway, &gateway.key, &format!("?after={start}"), None).await;
    let more = async {
        for n in 100..200 {
            publish(&gateway, gateway.org, &person(n)).await;
        }
    };
    let read = async {
        for n in 0..200 {
            assert_eq!(late.event().await["data"]["revision"], n);
        }
    };
    tokio::join!(more, read);
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_that_are_not_ones_own_are_refused() {
    let gateway = Gateway::start().await;
    let client = Client::open(&gateway, &gateway.key, "", None).await;
    let (_, other_key) = gateway.other_organization().await;
    let ask = |key: &str, query: String| {
        gateway
            .client
            .get(format!("{}/api/v1/events{query}", gateway.base))
            .bearer_auth(key)
            .send()
    };
    let good = client.last_id.clone();
    for (key, query, code) in [
        (&other_key, format!("?after={good}"), "invalid_cursor"),
        (
            &gateway.key,
            format!("?after={}A", &good[..good.len() - 1]),
            "invalid_cursor",
        ),
        (&gateway.key, "?after=x".to_owned(), "invalid_cursor"),
        (&gateway.key, "?types=nope".to_owned(), "invalid_parameter"),
        (
            &gateway.key,
            "?types=signals.recorded".to_owned(),
            "invalid_parameter",
        ),
        (&gateway.key, "?from=1".to_owned(), "invalid_parameter"),
    ] {
        if query.ends_with(&good) && *key == gateway.key {
            continue;
        }
        let (status, body) = problem(ask(key, query.clone()).await.unwrap()).await;
        assert_eq!((status, body["code"].as_str()), (400, Some(code)), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_ends_its_stream_and_a_quiet_stream_is_kept_alive() {
    let gateway = Gateway::with(json!({"events": {"heartbeat_secs": 1}})).await;
    let (id, key) = gateway.key(Role::Viewer, &["events:read"]).await;
    let mut client = Client::open(&gateway, &key, "", None).await;
    let beat = client.frame().await.unwrap();
    assert!(beat.contains("\n: ") && beat.starts_with("id: "), "{beat}");
    revoke_key(&gateway.stores, &SystemClock, gateway.org, id)
        .await
        .unwrap();
    let revoked = Instant::now();
    while client.frame().await.is_some() {}
    assert!(
        revoked.elapsed() < Duration::from_secs(6),
        "{:?}",
        revoked.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_when_the_gateway_stops() {
    let gateway = Gateway::start().await;
    let mut client = Client::open(&gateway, &gateway.key, "", None).await;
    let stopping = Instant::now();
    let lifecycle = gateway.stores.lifecycle().clone();
    let (stopped, ()) = tokio::join!(lifecycle.stop(Duration::from_secs(10)), async {
        while client.frame().await.is_some() {}
    });
    stopped.unwrap();
    assert!(
        stopping.elapsed() < Duration::from_secs(10),
        "{:?}",
        stopping.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_older_than_what_is_kept_has_expired() {
    let gateway = Gateway::forgetful(json!({"events": {"buffer_bytes": 1024}})).await;
    let mut client = Client::open(&gateway, &gateway.key, "", None).await;
    let start = client.last_id.clone();
    for n in 0..5 {
        publish(&gateway, gateway.org, &person(n)).await;
        assert_eq!(client.event().await["data"]["revision"], n);
    }
    let expired = wait_for("the broker forgets", SOON, async || {
        let request = gateway.get(&format!("/api/v1/events?after={start}"));
        let response = request.send().await.unwrap();
        (response.status() == 410).then_some(response)
    })
    .await;
    let (_, body) = problem(expired).await;
    assert_eq!(body["code"], "cursor_expired");
    assert!(body["detail"].as_str().unwrap().contains("kept"));
}

/// Waits until streams can be opened.
pub async fn wait_until_open(gateway: &Gateway) {
    drop(Client::open(gateway, &gateway.key, "", None).await);
}

/// Publishes recorded signals of an organization.
pub async fn publish_signals(gateway: &Gateway, org: OrgId, signals: Vec<Signal>) {
    let recorded = SignalsRecorded {
        batch_id: "batch".into(),
        organization_id: org.to_string(),
        signals,
    };
    publish(gateway, org, &recorded).await;
}
