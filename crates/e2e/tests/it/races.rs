//! Many at the same time, and one wins, through the whole system.

use e2e::cluster::Api;
use futures::StreamExt as _;
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::support::cluster;

const ROUNDS: u32 = 2_500;
/// Rounds that run at the same time.
const AT_ONCE: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_five_hundred_times_of_four_changes_of_one_version_one_is_made() {
    let (_cluster, api) = cluster().await;
    let chains = (0..AT_ONCE).map(async |chain| {
        let made = api
            .post("/api/v1/tags", &json!({"name": format!("chain {chain}")}))
            .await
            .unwrap();
        let path = format!("/api/v1/tags/{}", made.json(201).unwrap()["id"].as_str().unwrap());
        let rounds = ROUNDS.div_ceil(u32::try_from(AT_ONCE).unwrap());
        for n in 0..rounds {
            let etag = api.get(&path).await.unwrap().header("etag").to_owned();
            let tries = (0..4).map(|who| {
                let body = json!({"name": format!("{chain} {n} {who}")});
                Api::send(
                    api.request(Method::PATCH, &path)
                        .header("if-match", &etag)
                        .json(&body),
                )
            });
            let answers = join_all(tries).await;
            let mut statuses: Vec<u16> = answers.into_iter().map(|a| a.unwrap().status).collect();
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 412, 412, 412]);
        }
        rounds
    });
    let walked: u32 = join_all(chains).await.into_iter().sum();
    assert!(walked >= ROUNDS);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_five_hundred_times_of_four_who_record_an_address_at_once_one_does() {
    let (_cluster, api) = cluster().await;
    let rounds = (0..ROUNDS).map(|n| {
        let api = api.clone();
        async move {
            let body = json!({"email": format!("p{n}@race.example")});
            let answers = join_all((0..4).map(|_| api.post("/api/v1/contacts", &body))).await;
            let mut statuses: Vec<u16> = answers.into_iter().map(|a| a.unwrap().status).collect();
            statuses.sort_unstable();
            assert_eq!(statuses, [201, 409, 409, 409], "{n}");
        }
    });
    futures::stream::iter(rounds)
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
    let counted = api
        .read("/api/v1/contacts?include=totalCount&limit=1")
        .await
        .unwrap();
    assert_eq!(counted["totalCount"], ROUNDS);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_contact_fifty_times_at_once_is_one_record_everywhere() {
    let (_cluster, api) = cluster().await;
    let body = json!({"email": "one@race.example"});
    for kind in [Method::POST, Method::PUT] {
        let tries = (0..50).map(|_| {
            let path = if kind == Method::PUT {
                "/api/v1/contacts?match=email"
            } else {
                "/api/v1/contacts"
            };
            Api::send(api.request(kind.clone(), path).json(&body))
        });
        for answer in join_all(tries).await {
            let answer = answer.unwrap();
            assert!([200, 201, 409].contains(&answer.status), "{}", answer.body);
        }
    }
    let found = api
        .list("/api/v1/contacts?filter[email]=one@race.example")
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
}
