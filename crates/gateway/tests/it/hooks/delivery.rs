//! Deliveries: what arrives, signed how, at which pace, in which order.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use http::HeaderMap;
use reqwest::Method;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use test_kit::wait_for;

use super::receiver::{Hit, Receiver, Reply};
use super::{
    SOON, account, assert_gap_free, call, deal, get, hits, hook, log, ok, post, publish, started, until,
};
use crate::harness::problem;

fn verifies(secret: &str, hit: &Hit) -> bool {
    let mut headers = HeaderMap::new();
    for (name, value) in &hit.headers {
        let name: http::HeaderName = name.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    Webhook::new(secret).unwrap().verify(&hit.body, &headers).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_arrives_signed_with_its_sequence_its_schema_and_ones_own_headers() {
    let (gateway, receiver) = (started().await, Receiver::start().await);
    let more = json!({"events": ["account.deleted"], "headers": {"X-Token": "t"}});
    let (id, secret) = hook(&gateway, receiver.url("/h?x=1"), more).await;
    publish(&gateway, gateway.org, &[deal(1)]).await;
    let events = publish(&gateway, gateway.org, &[account(1), account(2)]).await;
    let hits = hits(&receiver, 2).await;
    let first = hits.iter().find(|h| h.id() == events[0]).unwrap();
    assert_eq!(first.path, "/h?x=1");
    let body = first.json();
    assert_eq!(body["id"], events[0].as_str());
    assert_eq!(
        (&body["type"], &body["organizationId"]),
        (&json!("account.deleted"), &json!(gateway.org.to_string()))
    );
    assert!(body["timestamp"].is_string() && body["data"]["accountId"].is_string());
    assert_eq!(body.as_object().unwrap().len(), 5);
    assert_eq!(first.headers["devsignal-schema"], "account.deleted/1");
    assert_eq!((first.sequence(), first.headers["x-token"].as_str()), (1, "t"));
    assert_eq!(first.headers["content-type"], "application/json");
    assert!(hits.iter().all(|hit| verifies(&secret, hit)));
    assert!(!verifies("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", first));
    let all = until(&gateway, &id, "delivered", 2).await;
    assert_gap_free(&all);
    assert_eq!(all.len(), 2, "the deal's event is not wanted");
    let one = get(
        &gateway,
        &format!("/{id}/deliveries/{}", all[0]["id"].as_str().unwrap()),
    )
    .await;
    assert_eq!(one["body"].as_str().unwrap().as_bytes(), first.body);
    let attempt = &one["attemptLog"][0];
    assert_eq!(
        (&attempt["number"], &attempt["status"], &attempt["outcome"]),
        (&json!(1), &json!(200), &json!("delivered"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn types_filters_thin_payloads_and_ed25519_are_the_webhooks_own() {
    let (gateway, receiver) = (started().await, Receiver::start().await);
    let wanted = "00000000-0000-0000-0000-000000000007";
    hook(&gateway, receiver.url("/all"), json!({})).await;
    hook(&gateway, receiver.url("/deals"), json!({"events": ["deal.*"]})).await;
    hook(
        &gateway,
        receiver.url("/seven"),
        json!({"filter": {"data.accountId": wanted}, "payload": "thin"}),
    )
    .await;
    hook(
        &gateway,
        receiver.url("/own"),
        json!({"events": ["webhook.endpoint_created"], "signature": "ed25519"}),
    )
    .await;
    publish(&gateway, gateway.org, &[account(6), account(7)]).await;
    publish(&gateway, gateway.org, &[deal(1)]).await;
    hook(
        &gateway,
        receiver.url("/late"),
        json!({"events": ["note.created"]}),
    )
    .await;
    let by_path = wait_for("all have theirs", SOON, async || {
        let mut by_path = HashMap::<String, Vec<Hit>>::new();
        for hit in receiver.hits() {
            by_path.entry(hit.path.clone()).or_default().push(hit);
        }
        let count = |path: &str| by_path.get(path).map_or(0, Vec::len);
        (count("/all") == 3 && count("/deals") == 1 && count("/seven") == 1 && count("/own") >= 1)
            .then_some(by_path)
    })
    .await;
    assert_eq!(by_path["/seven"][0].json()["data"], json!({"accountId": wanted}));
    assert!(
        by_path["/all"]
            .iter()
            .all(|hit| !hit.json()["type"].as_str().unwrap().starts_with("webhook."))
    );
    assert!(
        by_path["/own"]
            .iter()
            .all(|hit| hit.headers["webhook-signature"].starts_with("v1a,"))
    );
    assert!(!by_path.contains_key("/late"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_and_the_old_one_both_sign_until_the_overlap_ends() {
    let (gateway, receiver) = (started().await, Receiver::start().await);
    let (id, old) = hook(&gateway, receiver.url("/h"), json!({})).await;
    let rotated = post(
        &gateway,
        &format!("/{id}/rotate-secret"),
        json!({"overlapHours": 1}),
    )
    .await;
    let new = rotated["secret"].as_str().unwrap().to_owned();
    assert!(rotated["previousSecretUntil"].is_string() && new != old);
    post(&gateway, &format!("/{id}/test"), json!({})).await;
    let first = hits(&receiver, 1).await[0].clone();
    assert!(verifies(&new, &first) && verifies(&old, &first));
    let third = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let body = json!({"overlapHours": 0, "secret": third});
    let own = post(&gateway, &format!("/{id}/rotate-secret"), body).await;
    assert_eq!(own["secret"], third);
    post(&gateway, &format!("/{id}/test"), json!({})).await;
    let second = hits(&receiver, 2).await[1].clone();
    assert!(verifies(third, &second) && !verifies(&new, &second) && !verifies(&old, &second));
    assert_eq!(second.json()["type"], "webhook.test");
}

#[tokio::test(flavor = "multi_thread")]
async fn above_its_rate_a_delivery_waits_and_none_is_dropped() {
    let (gateway, receiver) = (started().await, Receiver::start().await);
    let (id, _) = hook(&gateway, receiver.url("/h"), json!({"ratePerSecond": 20})).await;
    let events: Vec<_> = (0..40).map(account).collect();
    let began = Instant::now();
    publish(&gateway, gateway.org, &events).await;
    let hits = hits(&receiver, 40).await;
    assert!(
        began.elapsed() > Duration::from_millis(1900),
        "{:?}",
        began.elapsed()
    );
    for pair in hits.windows(10) {
        let took = pair[9].at - pair[0].at;
        assert!(took > Duration::from_millis(400), "ten within {took:?}");
    }
    let all = until(&gateway, &id, "delivered", 40).await;
    assert!(all.iter().all(|d| d["attempts"] == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_holds_also_when_every_event_comes_after_the_one_before_arrived() {
    let (gateway, receiver) = (started().await, Receiver::start().await);
    hook(&gateway, receiver.url("/h"), json!({"ratePerSecond": 2})).await;
    for n in 0..5 {
        publish(&gateway, gateway.org, &[account(u128::try_from(n).unwrap())]).await;
        hits(&receiver, n + 1).await;
    }
    let all = receiver.hits();
    let took = all[4].at - all[0].at;
    assert!(took > Duration::from_millis(1_800), "five within {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_strict_order_an_event_waits_for_the_one_before_of_its_object_and_for_no_other() {
    let (gateway, receiver) = (started().await, Receiver::start().await);
    let blocked = account(1).account_id;
    let held = blocked.clone();
    receiver.now_answer(
        move |hit| match hit.json()["data"]["accountId"] == held.as_str() {
            true => Reply::status(500),
            false => Reply::status(200),
        },
    );
    let (id, _) = hook(
        &gateway,
        receiver.url("/h"),
        json!({"ordered": true, "events": ["account.deleted"]}),
    )
    .await;
    let mut events = vec![account(1), account(1), account(1)];
    events.extend((2..30).map(account));
    let ids = publish(&gateway, gateway.org, &events).await;
    until(&gateway, &id, "delivered", 28).await;
    let of_blocked: Vec<Hit> = receiver
        .hits()
        .into_iter()
        .filter(|h| h.json()["data"]["accountId"] == blocked.as_str())
        .collect();
    assert!(
        of_blocked.iter().all(|hit| hit.id() == ids[0]),
        "only the first of the object is tried"
    );
    receiver.now_answer(|_| Reply::status(200));
    // The first is due again after seconds; sent again by hand, it makes way at once.
    let first = log(&gateway, &id).await[0]["id"].as_str().unwrap().to_owned();
    post(&gateway, &format!("/{id}/deliveries/{first}/resend"), json!({})).await;
    until(&gateway, &id, "delivered", 31).await;
    let order: Vec<String> = receiver
        .hits()
        .iter()
        .filter(|h| h.json()["data"]["accountId"] == blocked.as_str())
        .map(|h| h.id().to_owned())
        .collect();
    assert_eq!(order[order.len() - 3..], ids[..3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_it_is_gone_disables_with_an_event_and_what_waits_is_held() {
    let (gateway, receiver) = (started().await, Receiver::start().await);
    let (watch, _) = hook(&gateway, receiver.url("/watch"), json!({"events": ["webhook.*"]})).await;
    let (id, _) = hook(
        &gateway,
        receiver.url("/h"),
        json!({"maxInFlight": 1, "events": ["account.deleted"]}),
    )
    .await;
    receiver.now_answer(|hit| Reply::status(if hit.path == "/h" { 410 } else { 200 }));
    publish(&gateway, gateway.org, &(0..5).map(account).collect::<Vec<_>>()).await;
    let read = wait_for("it is disabled", SOON, async || {
        let read = get(&gateway, &format!("/{id}")).await;
        (read["status"] == "disabled").then_some(read)
    })
    .await;
    assert_eq!(read["disabledReason"], "gone");
    publish(&gateway, gateway.org, &[account(9)]).await;
    let all = until(&gateway, &id, "held", 5).await;
    assert_eq!(all.iter().filter(|d| d["status"] == "failed").count(), 1);
    assert_eq!(receiver.at("/h").len(), 1, "nothing more is sent");
    until(&gateway, &watch, "delivered", 3).await;
    let told: Vec<Value> = receiver.at("/watch").iter().map(Hit::json).collect();
    let disabled = told
        .iter()
        .find(|e| e["type"] == "webhook.endpoint_disabled")
        .unwrap();
    assert_eq!(
        (&disabled["data"]["webhookId"], &disabled["data"]["reason"]),
        (&json!(id), &json!("gone"))
    );
    assert!(told.iter().any(|e| e["type"] == "webhook.delivery_exhausted"));
    let test = call(&gateway, Method::POST, &format!("/{id}/test"), json!({})).await;
    assert_eq!(problem(test).await.0, 409);

    // Enabled again it is sent nothing unasked; a replay sends what was missed, with the ids that it had.
    receiver.now_answer(|_| Reply::status(200));
    post(&gateway, &format!("/{id}/enable"), json!({})).await;
    publish(&gateway, gateway.org, &[account(10)]).await;
    until(&gateway, &id, "delivered", 1).await;
    assert_eq!(receiver.at("/h").len(), 2);
    let replay = post(
        &gateway,
        &format!("/{id}/replays"),
        json!({"from": "2020-01-01T00:00:00Z"}),
    )
    .await;
    let all = until(&gateway, &id, "delivered", 7).await;
    assert_gap_free(&all);
    let path = format!("/{id}/replays/{}", replay["id"].as_str().unwrap());
    let done = wait_for("the replay is done", SOON, async || {
        let read = get(&gateway, &path).await;
        (read["status"] == "done").then_some(read)
    })
    .await;
    assert_eq!(done["requeued"], 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_range_comes_again_with_the_same_ids_and_sequences() {
    let (gateway, receiver) = (started().await, Receiver::start().await);
    let (id, _) = hook(&gateway, receiver.url("/h"), json!({})).await;
    let events: Vec<_> = (0..1200).map(account).collect();
    publish(&gateway, gateway.org, &events).await;
    until(&gateway, &id, "delivered", 1200).await;
    let seen = |hits: &[Hit]| {
        hits.iter()
            .map(|h| (h.id().to_owned(), h.sequence(), h.body.clone()))
            .collect::<Vec<_>>()
    };
    let mut first = seen(&receiver.hits());
    let none = json!({"from": "2020-01-01T00:00:00Z", "statuses": ["failed"]});
    post(
        &gateway,
        &format!("/{id}/replays?dryRun=true"),
        json!({"from": "2020-01-01T00:00:00Z", "statuses": ["delivered"]}),
    )
    .await;
    post(&gateway, &format!("/{id}/replays"), none).await;
    let body =
        json!({"from": "2020-01-01T00:00:00Z", "statuses": ["delivered"], "types": ["account.deleted"]});
    post(&gateway, &format!("/{id}/replays"), body).await;
    let all = hits(&receiver, 2400).await;
    let mut second = seen(&all[1200..]);
    first.sort();
    second.sort();
    assert_eq!(first, second);
    let bad = call(&gateway, Method::POST, &format!("/{id}/replays"), json!({})).await;
    assert_eq!(problem(bad).await.0, 400);
    let stats = wait_for("the figures are there", SOON, async || {
        let stats = get(&gateway, &format!("/{id}/stats")).await;
        (stats["succeeded"] == 2400).then_some(stats)
    })
    .await;
    assert_eq!(
        (&stats["pending"], &stats["failed"], &stats["held"]),
        (&json!(0), &json!(0), &json!(0))
    );
    assert!(stats["p95Ms"].as_i64().unwrap() > 0);
    let found = ok(gateway
        .get(&format!(
            "/api/v1/webhooks/{id}/deliveries?filter[eventId]={}",
            first[0].0
        ))
        .send()
        .await
        .unwrap())
    .await;
    assert_eq!(found["data"][0]["attempts"], 2);
    let future = get(&gateway, &format!("/{id}/deliveries?from=2100-01-01T00:00:00Z")).await;
    assert_eq!(future["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_whose_endpoints_hang_slows_nobody_else() {
    let gateway = crate::harness::Gateway::with(super::open(
        json!({"webhooks": {"max_in_flight": 64, "max_in_flight_per_organization": 32}}),
    ))
    .await;
    let receiver = Receiver::answering(|hit| match hit.path.as_str() {
        "/good" => Reply::status(200),
        _ => Reply::status(200).after(Duration::from_secs(30)),
    })
    .await;
    let (stranger, key) = gateway.other_organization().await;
    for n in 0..20 {
        let body = json!({"url": receiver.url(&format!("/hang/{n}")), "maxInFlight": 64});
        let made = gateway
            .client
            .post(format!("{}/api/v1/webhooks", gateway.base))
            .bearer_auth(&key)
            .json(&body);
        ok(made.send().await.unwrap()).await;
    }
    let (id, _) = hook(&gateway, receiver.url("/good"), json!({})).await;
    publish(&gateway, stranger, &(0..100).map(account).collect::<Vec<_>>()).await;
    wait_for("the hanging ones hang", SOON, async || {
        (receiver.hits().len() >= 32).then_some(())
    })
    .await;
    let began = Instant::now();
    publish(&gateway, gateway.org, &(0..200).map(account).collect::<Vec<_>>()).await;
    until(&gateway, &id, "delivered", 200).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let hanging = receiver.hits().iter().filter(|h| h.path != "/good").count();
    assert!(
        hanging <= 32,
        "no organization has more than its places: {hanging}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_and_admins_are_mailed_when_their_webhook_is_disabled() {
    let mails = tempfile::tempdir().unwrap();
    let mail = json!({"transport": "directory", "directory": mails.path()});
    let gateway = crate::harness::Gateway::with(super::open(json!({"mail": mail}))).await;
    let receiver = Receiver::answering(|_| Reply::status(410)).await;
    let register = json!({"email": "ada@example.com", "password": "correct horse battery staple", "name": "Ada",
        "organizationName": "Analytical"});
    let session = gateway
        .client
        .post(format!("{}/api/v1/auth/register", gateway.base))
        .json(&register);
    let session = ok(session.send().await.unwrap()).await;
    let token = session["accessToken"].as_str().unwrap();
    let made = gateway
        .client
        .post(format!("{}/api/v1/webhooks", gateway.base))
        .bearer_auth(token);
    let made = ok(made
        .json(&json!({"url": receiver.url("/h")}))
        .send()
        .await
        .unwrap())
    .await;
    let id = made["id"].as_str().unwrap();
    let test = gateway
        .client
        .post(format!("{}/api/v1/webhooks/{id}/test", gateway.base))
        .bearer_auth(token);
    ok(test.json(&json!({})).send().await.unwrap()).await;
    wait_for("the mail", SOON, async || {
        let files = std::fs::read_dir(mails.path()).unwrap();
        let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap_or_default());
        texts.into_iter().find(|text| {
            text.contains("ada@example.com") && text.contains("Analytical") && text.contains("disabled")
        })
    })
    .await;
}

/// A row that waits while its partition is made finds itself in the wrong one, and is written again.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_meets_the_making_of_a_partition_is_sent() {
    let (gateway, receiver) = (started().await, Receiver::start().await);
    let (id, _) = hook(&gateway, receiver.url("/h"), json!({})).await;
    let mut owner = gateway.stores.owner.begin().await.unwrap();
    let (today, bounds): (String, String) = sqlx::query_as(
        "SELECT c.relname::text, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
         WHERE i.inhparent = 'webhook_bodies'::regclass AND c.relname = 'webhook_bodies_p' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')",
    )
    .fetch_one(&mut *owner)
    .await
    .unwrap();
    let detach = format!("ALTER TABLE webhook_bodies DETACH PARTITION {today}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(detach))
        .execute(&mut *owner)
        .await
        .unwrap();
    owner.commit().await.unwrap();

    let mut owner = gateway.stores.owner.begin().await.unwrap();
    let attach = format!(
        "LOCK TABLE webhook_bodies_default IN ACCESS EXCLUSIVE MODE; \
         ALTER TABLE webhook_bodies ATTACH PARTITION {today} {bounds}"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(attach))
        .execute(&mut *owner)
        .await
        .unwrap();
    let path = format!("/{id}/test");
    let test = post(&gateway, &path, json!({}));
    let made = async {
        wait_for("the row waits for the partition", SOON, async || {
            let waits: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'webhook_bodies_default'::regclass)",
            )
            .fetch_one(&mut *owner)
            .await
            .unwrap();
            waits.then_some(())
        })
        .await;
        owner.commit().await.unwrap();
    };
    tokio::join!(test, made);
    hits(&receiver, 1).await;
}
