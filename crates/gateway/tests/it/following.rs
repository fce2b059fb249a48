//! What holds for every way to follow events.

use std::time::{Duration, Instant};

use contracts::events::v1::{AccountScoreChanged, SignalAccountMatched, SubscribeRequest};
use contracts::scores::v1::AccountScore;
use gateway::access::revoke_key;
use ids::{IdGen as _, SystemClock, SystemIds};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use prost::Message as _;
use rpc::Role;
use serde_json::{Value, json};
use test_kit::wait_for;

use crate::events::{Client as Sse, batch, person, publish};
use crate::followers::*;
use crate::harness::{Gateway, problem};

#[tokio::test(flavor = "multi_thread")]
async fn every_interface_tells_the_same_events_and_takes_the_cursors_of_the_others() {
    let gateway = Gateway::start().await;
    let start = now(&gateway, &gateway.key).await;
    publish(&gateway, gateway.org, &batch(3)).await;
    publish(&gateway, gateway.org, &person(1)).await;
    let all = follow(&gateway, &gateway.key, Way::Sse, &start, 7, "").await;
    assert_eq!(all.events.len(), 7);
    for first in WAYS {
        for second in WAYS {
            let head = follow(&gateway, &gateway.key, first, &start, 3, "").await;
            let rest = 7 - head.events.len();
            let tail = follow(&gateway, &gateway.key, second, &head.cursor, rest, "").await;
            let both = [head.events, tail.events].concat();
            assert_eq!(both, all.events, "{first:?} then {second:?}");
        }
    }
    // By gRPC the data is the type's own message.
    let asked = SubscribeRequest {
        cursor: Some(start),
        types: vec!["signal.account_matched".into()],
        ..SubscribeRequest::default()
    };
    let mut stream = subscribe(&mut grpc(&gateway), &gateway.key, asked).await.unwrap();
    let event = stream.message().await.unwrap().unwrap().event.unwrap();
    let data = event.data.unwrap();
    assert_eq!(
        data.type_url,
        "type.googleapis.com/devsignal.events.v1.SignalAccountMatched"
    );
    assert_eq!(
        SignalAccountMatched::decode(data.value.as_slice())
            .unwrap()
            .account_id,
        "acct"
    );
    assert_eq!(event.organization_id, gateway.org.to_string());
}

/// Cuts: after how many events, and how the client comes back.
fn cuts() -> impl Strategy<Value = (Vec<usize>, Vec<(usize, usize)>)> {
    let messages = prop::collection::vec(0_usize..9, 5..40);
    let cuts = prop::collection::vec((1_usize..25, 0_usize..4), 1..12);
    (messages, cuts)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_cut_at_random_misses_nothing_repeats_nothing_and_keeps_the_order() {
    // Small, so that clients fall out of memory and read from the broker.
    let gateway = Gateway::with(json!({"events": {"buffer_bytes": 6_000}})).await;
    let runtime = tokio::runtime::Handle::current();
    let checked = tokio::task::spawn_blocking(move || {
        let mut runner = TestRunner::new(Config {
            cases: 24,
            max_shrink_iters: 40,
            failure_persistence: None,
            ..Config::default()
        });
        runner.run(&cuts(), |(messages, cuts)| {
            runtime.block_on(one_history(&gateway, &messages, &cuts));
            Ok(())
        })
    });
    checked.await.unwrap().unwrap();
}

/// An hour of virtual traffic, a message a second, none of which waits for a clock; the client is killed every half minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_killed_at_random_for_an_hour_resumes_by_its_cursor() {
    use rand::{RngExt as _, SeedableRng as _};
    let gateway = Gateway::with(json!({"events": {"buffer_bytes": 60_000}})).await;
    let seed = rand::random();
    println!("seed of the hour: {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let messages: Vec<usize> = (0..3_600).map(|_| random.random_range(0..3)).collect();
    let cuts: Vec<(usize, usize)> = (0..120)
        .map(|_| (random.random_range(1..120), random.random_range(0..WAYS.len())))
        .collect();
    one_history(&gateway, &messages, &cuts).await;
}

async fn one_history(gateway: &Gateway, messages: &[usize], cuts: &[(usize, usize)]) {
    let (org, key) = gateway.other_organization().await;
    let start = now(gateway, &key).await;
    // An event at the end is known by its type.
    let telling = async {
        for (at, size) in messages.iter().enumerate() {
            match size {
                0 => publish(gateway, org, &person(i64::try_from(at).unwrap())).await,
                size => publish(gateway, org, &batch(*size)).await,
            }
        }
        publish(gateway, org, &AccountScoreChanged::default()).await;
    };
    let expected = messages.iter().map(|size| (2 * size).max(1)).sum::<usize>() + 1;
    let hearing = async {
        let (mut heard, mut cursor) = (Vec::new(), start.clone());
        let mut cuts = cuts.iter().cycle();
        while heard.len() < expected {
            let (count, way) = cuts.next().unwrap();
            let count = (*count).min(expected - heard.len());
            let piece = follow(gateway, &key, WAYS[*way], &cursor, count, "").await;
            heard.extend(piece.events);
            cursor = piece.cursor;
        }
        heard
    };
    let ((), heard) = tokio::join!(telling, hearing);
    let whole = follow(gateway, &key, Way::Grpc, &start, expected, "").await;
    assert_eq!(heard, whole.events, "no gap, no repeat, the same order");
    let unique: std::collections::HashSet<_> = heard.iter().map(|(id, _)| id).collect();
    assert_eq!(unique.len(), expected);
    assert_eq!(heard.last().unwrap().1, "account.score_changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_organizations_cursors_are_refused_by_every_interface() {
    let gateway = Gateway::start().await;
    let (_, other) = gateway.other_organization().await;
    let theirs = now(&gateway, &other).await;
    for way in WAYS {
        for bad in [theirs.as_str(), "x", "AAAA"] {
            let (status, body) = refusal(&gateway, &gateway.key, way, bad).await;
            assert_eq!(
                (status, body["code"].as_str()),
                (400, Some("invalid_cursor")),
                "{way:?} {bad}"
            );
        }
        let (status, _) = refusal(&gateway, "dsk_test_nobody", way, &theirs).await;
        assert_eq!(status, 401, "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_cursor_comes_with_the_earliest_on_every_interface() {
    let gateway = Gateway::forgetful(json!({"events": {"buffer_bytes": 1024}})).await;
    let start = now(&gateway, &gateway.key).await;
    for n in 0..5 {
        publish(&gateway, gateway.org, &person(n)).await;
    }
    follow(&gateway, &gateway.key, Way::Sse, &start, 5, "").await;
    wait_for("the broker forgets", SOON, async || {
        let path = format!("/api/v1/events?wait=0s&after={start}");
        let status = gateway.get(&path).send().await.unwrap().status();
        (status == 410).then_some(())
    })
    .await;
    for way in WAYS {
        let (status, body) = refusal(&gateway, &gateway.key, way, &start).await;
        assert_eq!(
            (status, body["code"].as_str()),
            (410, Some("cursor_expired")),
            "{way:?}"
        );
        let earliest = body["earliestCursor"].as_str().unwrap();
        let path = format!("/api/v1/events?wait=0s&after={earliest}");
        assert_eq!(gateway.get(&path).send().await.unwrap().status(), 200, "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_and_an_ended_session_end_every_stream_within_five_seconds() {
    let gateway = Gateway::start().await;
    now(&gateway, &gateway.key).await;
    let (id, key) = gateway.key(Role::Viewer, &["events:read"]).await;
    let body = json!({"email": "ada@example.com", "password": "correct horse battery staple", "name": "Ada", "organizationName": "Analytical"});
    let register = gateway
        .client
        .post(format!("{}/api/v1/auth/register", gateway.base))
        .json(&body);
    let session: Value = register.send().await.unwrap().json().await.unwrap();
    let token = session["accessToken"].as_str().unwrap().to_owned();
    let mut open = Vec::new();
    for key in [&key, &token] {
        let sse = Sse::open(&gateway, key, "", None).await;
        let socket = subscribed(&gateway, key, json!({})).await;
        let stream = subscribe(&mut grpc(&gateway), key, SubscribeRequest::default())
            .await
            .unwrap();
        let poll = gateway
            .client
            .get(format!(
                "{}/api/v1/events?wait=60s&types=note.deleted",
                gateway.base
            ))
            .bearer_auth(key);
        let poll = lifecycle::detach("poll", async move { poll.send().await.unwrap() });
        open.push((sse, socket, stream, poll));
    }
    let logout = gateway
        .client
        .post(format!("{}/api/v1/auth/logout", gateway.base))
        .bearer_auth(&token);
    let logout = logout
        .json(&json!({"refreshToken": session["refreshToken"]}))
        .send()
        .await
        .unwrap();
    assert!(logout.status().is_success(), "{}", logout.text().await.unwrap());
    revoke_key(&gateway.stores, &SystemClock, gateway.org, id)
        .await
        .unwrap();
    let revoked = Instant::now();
    for (mut sse, mut socket, mut stream, poll) in open {
        while sse.frame().await.is_some() {}
        let mut last = Value::Null;
        while last["closed"].is_null() {
            last = hear(&mut socket).await;
        }
        assert_eq!(last["closed"], 4401);
        let ended = loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                other => break other.unwrap_err(),
            }
        };
        assert_eq!(ended.code(), tonic::Code::Unauthenticated);
        let (status, body) = problem(poll.await.unwrap()).await;
        assert_eq!((status, body["code"].as_str()), (401, Some("unauthenticated")));
    }
    assert!(
        revoked.elapsed() < Duration::from_secs(6),
        "{:?}",
        revoked.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_by_type_and_object_hold_on_every_interface() {
    let gateway = Gateway::start().await;
    let start = now(&gateway, &gateway.key).await;
    let account = SystemIds.next().to_string();
    let score = |account: &str| AccountScoreChanged {
        score: Some(AccountScore {
            account_id: account.to_owned(),
            ..AccountScore::default()
        }),
        ..AccountScoreChanged::default()
    };
    publish(&gateway, gateway.org, &score(&SystemIds.next().to_string())).await;
    publish(&gateway, gateway.org, &person(1)).await;
    publish(&gateway, gateway.org, &score(&account)).await;
    let object = format!("account:{account}");
    let path = format!("/api/v1/events?wait=10s&after={start}&types=account.*&objects={object}");
    let page: Value = gateway.get(&path).send().await.unwrap().json().await.unwrap();
    assert_eq!(page["data"].as_array().unwrap().len(), 1, "{page}");
    let id = page["data"][0]["id"].clone();
    let mut sse = Sse::open(
        &gateway,
        &gateway.key,
        &format!("?objects={object}"),
        Some(&start),
    )
    .await;
    assert_eq!(sse.event().await["id"], id);
    let asked = json!({"after": start, "types": ["account.score_changed"], "objects": [object]});
    let mut socket = subscribed(&gateway, &gateway.key, asked).await;
    assert_eq!(hear(&mut socket).await["events"][0]["id"], id);
    let asked = SubscribeRequest {
        cursor: Some(start),
        objects: vec![object],
        ..SubscribeRequest::default()
    };
    let mut stream = subscribe(&mut grpc(&gateway), &gateway.key, asked).await.unwrap();
    assert_eq!(
        json!(stream.message().await.unwrap().unwrap().event.unwrap().id),
        id
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_harms_nobody_and_loses_nothing() {
    let gateway = Gateway::with(json!({"events": {"buffer_bytes": 100_000, "patience_secs": 2}})).await;
    let start = now(&gateway, &gateway.key).await;
    // By gRPC nothing is read; the socket's client acknowledges nothing.
    let asked = SubscribeRequest {
        cursor: Some(start.clone()),
        ..SubscribeRequest::default()
    };
    let mut slow = subscribe(&mut grpc(&gateway), &gateway.key, asked).await.unwrap();
    let mut lazy = subscribed(&gateway, &gateway.key, json!({"after": start, "window": 5})).await;
    for _ in 0..40 {
        publish(&gateway, gateway.org, &batch(50)).await;
    }
    let whole = follow(&gateway, &gateway.key, Way::Socket, &start, 4_000, "").await;
    assert_eq!(whole.events.len(), 4_000);
    let (mut told, mut last) = (0, String::new());
    let closed = loop {
        let frame = hear(&mut lazy).await;
        if let Some(closed) = frame.get("closed") {
            break closed.clone();
        }
        told += frame["events"].as_array().map_or(0, Vec::len);
        if let Some(cursor) = frame["cursor"].as_str() {
            cursor.clone_into(&mut last);
        }
    };
    assert_eq!((told, closed), (5, json!(4429)), "no more than its window");
    let rest = follow(&gateway, &gateway.key, Way::Poll, &last, 3_995, "").await;
    assert_eq!(rest.events[..], whole.events[5..]);
    for (id, _) in &whole.events {
        let next = tokio::time::timeout(SOON, slow.message()).await.unwrap();
        assert_eq!(&next.unwrap().unwrap().event.unwrap().id, id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_query_is_named() {
    let gateway = Gateway::start().await;
    now(&gateway, &gateway.key).await;
    let many = format!("?types={}", vec!["deal.created"; 101].join(","));
    for (query, pointer) in [
        ("?wait=61s", "?wait"),
        ("?wait=soon", "?wait"),
        ("?wait=1s&limit=0", "?limit"),
        ("?limit=5", "?limit"),
        ("?wait=1s&wait=2s", "?wait"),
        ("?types=deal.invented", "?types"),
        ("?types=invented.*", "?types"),
        ("?types=signals.recorded", "?types"),
        ("?objects=account", "?objects"),
        ("?objects=planet:0197e1c8-1f2a-7b3c-8d4e-5f6071829304", "?objects"),
        ("?objects=account:1", "?objects"),
        (&many, "?types"),
    ] {
        let path = format!("/api/v1/events{query}");
        let (status, body) = problem(gateway.get(&path).send().await.unwrap()).await;
        assert_eq!(
            (status, body["errors"][0]["pointer"].as_str()),
            (400, Some(pointer)),
            "{query} {body}"
        );
    }
    let plain = problem(gateway.get("/api/v1/events/ws").send().await.unwrap()).await;
    assert_eq!(plain.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_frame_is_named_and_closes_the_socket() {
    let gateway = Gateway::start().await;
    now(&gateway, &gateway.key).await;
    let bearer = format!("Bearer {}", gateway.key);
    for (frame, code, about) in [
        ("nonsense".to_owned(), 4400, "malformed_json"),
        (
            r#"{"type":"ack","cursor":"x"}"#.to_owned(),
            4400,
            "validation_failed",
        ),
        (r#"{"type":"subscribe"}"#.to_owned(), 4401, "unauthenticated"),
        (
            r#"{"type":"subscribe","authorization":"Basic x"}"#.to_owned(),
            4401,
            "unauthenticated",
        ),
        (
            json!({"type": "subscribe", "authorization": bearer, "window": 0}).to_string(),
            4400,
            "validation_failed",
        ),
        (
            json!({"type": "subscribe", "authorization": bearer, "from": 1}).to_string(),
            4400,
            "validation_failed",
        ),
        (
            json!({"type": "subscribe", "authorization": bearer, "types": ["x"]}).to_string(),
            4400,
            "validation_failed",
        ),
    ] {
        let mut open = socket(&gateway).await;
        futures::SinkExt::send(
            &mut open,
            tokio_tungstenite::tungstenite::Message::text(frame.clone()),
        )
        .await
        .unwrap();
        let error = hear(&mut open).await;
        assert_eq!(error["error"]["code"], about, "{frame} {error}");
        assert_eq!(hear(&mut open).await["closed"], code, "{frame}");
    }
    let (_, elsewhere) = gateway.key(Role::Viewer, &["accounts:read"]).await;
    let mut open = socket(&gateway).await;
    say(
        &mut open,
        json!({"type": "subscribe", "authorization": format!("Bearer {elsewhere}")}),
    )
    .await;
    assert_eq!(hear(&mut open).await["error"]["code"], "permission_denied");
    assert_eq!(hear(&mut open).await["closed"], 4403);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_call_is_named() {
    let gateway = Gateway::start().await;
    now(&gateway, &gateway.key).await;
    let (_, elsewhere) = gateway.key(Role::Viewer, &["accounts:read"]).await;
    for (asked, code) in [
        (
            SubscribeRequest {
                types: vec!["x".into()],
                ..Default::default()
            },
            tonic::Code::InvalidArgument,
        ),
        (
            SubscribeRequest {
                objects: vec!["x".into()],
                ..Default::default()
            },
            tonic::Code::InvalidArgument,
        ),
        (
            SubscribeRequest {
                event_subscription_id: Some("x".into()),
                ..Default::default()
            },
            tonic::Code::InvalidArgument,
        ),
        (
            SubscribeRequest {
                event_subscription_id: Some(SystemIds.next().to_string()),
                ..Default::default()
            },
            tonic::Code::NotFound,
        ),
    ] {
        let status = subscribe(&mut grpc(&gateway), &gateway.key, asked.clone())
            .await
            .unwrap_err();
        assert_eq!(status.code(), code, "{asked:?} {status}");
    }
    let denied = subscribe(&mut grpc(&gateway), &elsewhere, SubscribeRequest::default())
        .await
        .unwrap_err();
    assert_eq!(denied.code(), tonic::Code::PermissionDenied);
}
