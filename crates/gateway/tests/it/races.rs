//! Many at the same time, and one wins: thousands of rounds of each race.

use std::collections::HashMap;

use futures::StreamExt as _;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::Gateway;
use crate::people::{PASSWORD, call, good, register, token};

/// Rounds that run at the same time.
const AT_ONCE: usize = 16;
/// Of those with passwords, which take their time.
const FEW: usize = 2;

/// Limits that no round reaches.
fn unlimited() -> Value {
    let rate = json!({"per_minute": 6_000_000, "burst": 1_000_000});
    json!({"access": {"logins": rate, "strangers": rate}, "limits": {"read": rate, "write": rate}})
}

/// Runs `round` so many times.
async fn rounds<F: Future<Output = ()>>(count: u32, at_once: usize, round: impl Fn(u32) -> F) {
    futures::stream::iter((0..count).map(round))
        .buffer_unordered(at_once)
        .collect::<()>()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_times_a_write_under_a_key_that_is_sent_four_times_at_once_is_done_once() {
    let gateway = Gateway::with(unlimited()).await;
    let count = 3_000;
    rounds(count, AT_ONCE, async |n| {
        let body = json!({"type": "github", "name": format!("n{n}")}).to_string();
        let send = || {
            let request = gateway.post("/api/v1/sources", body.clone());
            request.header("idempotency-key", format!("k{n}")).send()
        };
        let mut answers = Vec::new();
        for answer in join_all((0..4).map(|_| send())).await {
            let answer = answer.unwrap();
            let status = answer.status().as_u16();
            assert!(status == 201 || status == 409, "{status}");
            if status == 201 {
                answers.push(answer.text().await.unwrap());
            }
        }
        assert!(!answers.is_empty(), "somebody did it");
        assert!(
            answers.iter().all(|a| *a == answers[0]),
            "and all were told of the same"
        );
    })
    .await;
    let mut done: HashMap<String, u32> = HashMap::new();
    for request in gateway.seen.created.lock().iter() {
        *done.entry(request.name.clone()).or_default() += 1;
    }
    assert_eq!(done.len(), 3_000);
    assert!(done.values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_five_hundred_times_of_four_uses_of_a_refresh_token_one_wins_and_the_session_ends() {
    let gateway = Gateway::with(unlimited()).await;
    let ada = register(&gateway, "ada@example.com").await;
    let count: u32 = 2_500;
    let mut tx = gateway.stores.pipeline.begin().await.unwrap();
    for n in 0..count {
        sqlx::query(
            "WITH made AS (INSERT INTO sessions (id, user_id, organization, created_at, expires_at) \
             VALUES (gen_random_uuid(), $1::uuid, $2::uuid, now(), now() + interval '1 day') RETURNING id) \
             INSERT INTO refresh_tokens (sha256, session_id) SELECT $3, id FROM made",
        )
        .bind(ada["userId"].as_str().unwrap())
        .bind(ada["organizationId"].as_str().unwrap())
        .bind(Sha256::digest(format!("dsr_{n}").as_bytes()).to_vec())
        .execute(&mut *tx)
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
    rounds(count, AT_ONCE, async |n| {
        let body = json!({"refreshToken": format!("dsr_{n}")});
        let tries = (0..4).map(|_| call(&gateway, None, Method::POST, "/auth/refresh", Some(body.clone())));
        let answers = join_all(tries).await;
        let won = answers.iter().filter(|a| a.status().is_success()).count();
        assert_eq!(won, 1);
        assert!(
            answers
                .iter()
                .all(|a| a.status().is_success() || a.status() == 401)
        );
    })
    .await;
    let mut tx = gateway.stores.pipeline.begin().await.unwrap();
    let open: i64 = sqlx::query_scalar("SELECT count(*) FROM sessions WHERE revoked_at IS NULL")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(open, 1, "only the first, which nobody used twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_register_an_address_at_once_one_does() {
    let gateway = Gateway::with(unlimited()).await;
    rounds(60, FEW, async |n| {
        let body = json!({"email": format!("p{n}@example.com"), "password": PASSWORD, "name": "A", "organizationName": "B"});
        let tries = (0..4).map(|_| call(&gateway, None, Method::POST, "/auth/register", Some(body.clone())));
        let mut statuses: Vec<u16> = join_all(tries).await.iter().map(|a| a.status().as_u16()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses[0], 200);
        assert!(statuses[1..].iter().all(|s| *s == 409), "{statuses:?}");
    })
    .await;
    let mut tx = gateway.stores.pipeline.begin().await.unwrap();
    let counts: (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM organizations) - 1")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
    assert_eq!(counts, (60, 60), "nothing is left of those who lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_accept_an_invitation_at_once_one_joins() {
    let gateway = Gateway::with(unlimited()).await;
    let ada = register(&gateway, "ada@example.com").await;
    rounds(40, FEW, async |n| {
        let invite = json!({"email": format!("g{n}@example.com"), "role": "VIEWER"});
        let made = call(
            &gateway,
            Some(token(&ada)),
            Method::POST,
            "/invitations",
            Some(invite),
        )
        .await;
        let made = good(made).await;
        let accept = json!({"token": made["token"], "password": PASSWORD, "name": "G"});
        let tries = (0..4).map(|_| {
            call(
                &gateway,
                None,
                Method::POST,
                "/auth/accept-invitation",
                Some(accept.clone()),
            )
        });
        let answers = join_all(tries).await;
        assert_eq!(answers.iter().filter(|a| a.status().is_success()).count(), 1);
    })
    .await;
    let mut tx = gateway.stores.pipeline.begin().await.unwrap();
    let members: i64 = sqlx::query_scalar("SELECT count(*) FROM members")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(members, 41);
}
