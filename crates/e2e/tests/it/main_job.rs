//! The main job: a signal in, a scored account out, and everything that is told of it on the way.

use std::time::Duration;

use e2e::cluster::{Api, Follower};
use serde_json::{Value, json};
use test_kit::wait_for;

use crate::support::{cluster, counted, listed, told};

#[tokio::test(flavor = "multi_thread")]
async fn signals_become_scored_accounts_with_evidence_and_events() {
    let (_cluster, api) = cluster().await;
    let follower = Follower::start(&api).await.unwrap();
    let id = a_single_signal_is_accepted(&api).await;

    let account = listed(&api, "/api/v1/accounts", |a| {
        a["domain"] == "initech.com" && a["score"].is_i64()
    })
    .await;
    let account_id = account["id"].as_str().unwrap();
    the_score_adds_up_and_names_its_evidence(&api, account_id, &id).await;
    the_account_shows_what_happened(&api, account_id, &id).await;
    everything_was_told(&follower, account_id, &id).await;
    an_anonymous_visitor_becomes_known(&api, account_id).await;
    the_pipeline_is_healthy(&api).await;
}

async fn a_single_signal_is_accepted(api: &Api) -> String {
    let signal = json!({
        "type": "package_install", "idempotencyKey": "first",
        "actor": {"email": "Ada@Initech.com", "github": "ada", "name": "Ada", "title": "VP Engineering"},
        "account": {"domain": "initech.com", "name": "Initech", "employees": 250, "country": "DE"},
        "metadata": {"package": "@initech/sdk", "version": "2.1.0"},
    });
    let verdicts = api
        .post("/api/v1/signals", &signal)
        .await
        .unwrap()
        .json(202)
        .unwrap();
    assert_eq!(
        (
            &verdicts["accepted"],
            &verdicts["duplicates"],
            &verdicts["rejected"]
        ),
        (&json!(1), &json!(0), &json!(0))
    );
    assert!(verdicts["batchId"].is_string(), "{verdicts}");
    let results = verdicts["results"].as_array().unwrap();
    assert_eq!(
        (results.len(), &results[0]["index"], &results[0]["status"]),
        (1, &json!(0), &json!("accepted"))
    );
    let id = results[0]["id"].as_str().unwrap().to_owned();

    let again = api
        .post("/api/v1/signals", &signal)
        .await
        .unwrap()
        .json(202)
        .unwrap();
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(1)));
    assert_eq!(
        again["results"][0]["id"], *id,
        "a duplicate answers the id of the first"
    );
    id
}

async fn the_score_adds_up_and_names_its_evidence(api: &Api, account: &str, signal: &str) {
    // The company has a score as soon as it is known, and another one when the signal is counted.
    let score = wait_for("a score with the signal", Duration::from_secs(60), async || {
        let path = format!("/api/v1/accounts/{account}/score");
        let score = api.read(&path).await.unwrap();
        let counted = score["factors"]
            .as_array()?
            .iter()
            .any(|factor| factor["name"] == "user_count" && factor["evidence"]["hasData"] == true);
        counted.then_some(score)
    })
    .await;
    assert_eq!(score["accountId"], account);
    for field in ["tier", "trend", "computedAt", "modelVersion"] {
        assert!(score[field].is_string(), "{field}: {score}");
    }
    let factors = score["factors"].as_array().unwrap();
    assert_eq!(factors.len(), 8, "{score}");
    let points: i64 = factors.iter().map(|f| f["points"].as_i64().unwrap()).sum();
    assert_eq!(points, score["score"].as_i64().unwrap(), "{score}");
    assert!(points > 0, "{score}");
    for factor in factors {
        let (points, weight) = (
            factor["points"].as_f64().unwrap(),
            factor["weight"].as_f64().unwrap(),
        );
        assert!((0.0..=weight.ceil()).contains(&points), "{factor}");
        let evidence = &factor["evidence"];
        assert!(evidence["summary"].is_string(), "{factor}");
        if evidence["hasData"] == false {
            assert_eq!(factor["points"], 0, "what has no data gives no points: {factor}");
        }
        for id in evidence["signalIds"].as_array().into_iter().flatten() {
            assert_eq!(id, signal, "the only signal there is: {factor}");
        }
    }
    let users = factors.iter().find(|f| f["name"] == "user_count").unwrap();
    assert_eq!(
        (&users["evidence"]["hasData"], &users["evidence"]["count"]),
        (&json!(true), &json!(1)),
        "{users}"
    );
    let evidence = factors.iter().any(|f| {
        f["evidence"]["signalIds"]
            .as_array()
            .is_some_and(|ids| !ids.is_empty())
    });
    assert!(evidence, "no factor links to its signals: {score}");
}

async fn the_account_shows_what_happened(api: &Api, account: &str, signal: &str) {
    let timeline = listed(api, &format!("/api/v1/accounts/{account}/timeline"), |e| {
        e["kind"] == "score_changed"
    })
    .await;
    assert!(
        timeline["title"].is_string() && timeline["timestamp"].is_string(),
        "{timeline}"
    );
    let entry = listed(api, &format!("/api/v1/accounts/{account}/timeline"), |e| {
        e["kind"] == "signal"
    })
    .await;
    assert_eq!(entry["id"], signal);

    let signals = counted(api, &format!("/api/v1/accounts/{account}/signals"), 1).await;
    assert_eq!(signals[0]["id"], signal);
    let read = api.read(&format!("/api/v1/signals/{signal}")).await.unwrap();
    assert_eq!(
        (&read["type"], &read["accountId"]),
        (&json!("package_install"), &json!(account))
    );
    assert_eq!(
        read["metadata"],
        json!({"package": "@initech/sdk", "version": "2.1.0"})
    );
    assert_eq!(read["accountResolution"]["rule"], "stated_domain", "{read}");
    let contact = listed(api, "/api/v1/contacts", |c| {
        c["id"] == read["contactId"] && c["accountId"] == account
    })
    .await;
    assert_eq!(
        (&contact["name"], &contact["email"]),
        (&json!("Ada"), &json!("ada@initech.com"))
    );
    let account = listed(api, "/api/v1/accounts", |a| {
        a["id"] == account && a["contactCount"] == 1
    })
    .await;
    assert_eq!(
        (&account["name"], &account["employees"]),
        (&json!("Initech"), &json!(250))
    );
}

async fn everything_was_told(follower: &Follower, account: &str, signal: &str) {
    let of_type = |kind: &'static str| move |event: &Value| event["type"] == kind;
    let received = told(follower, "signal.received", of_type("signal.received")).await;
    assert_eq!(received["data"]["signal"]["id"], signal, "{received}");
    assert_eq!(received["data"]["signal"]["accountId"], account);
    let matched = told(
        follower,
        "signal.account_matched",
        of_type("signal.account_matched"),
    )
    .await;
    assert_eq!(
        (&matched["data"]["signalId"], &matched["data"]["accountId"]),
        (&json!(signal), &json!(account))
    );
    for kind in [
        "contact.identified",
        "account.discovered",
        "account.created",
        "contact.created",
    ] {
        told(follower, kind, of_type(kind)).await;
    }
    let changed = told(
        follower,
        "account.score_changed",
        of_type("account.score_changed"),
    )
    .await;
    let score = &changed["data"]["score"];
    assert_eq!(score["accountId"], account, "{changed}");
    let points: i64 = score["factors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["points"].as_i64().unwrap())
        .sum();
    assert_eq!(points, score["score"].as_i64().unwrap());
    let told = follower.told();
    assert_eq!((told.faults, told.repeats), (Vec::new(), 0));
}

async fn an_anonymous_visitor_becomes_known(api: &Api, account: &str) {
    let visit = |n: u32| json!({"type": "page_view", "anonymousId": "visitor-7", "metadata": {"path": format!("/{n}")}});
    let visits = api.accept(&[visit(1), visit(2), visit(3)]).await.unwrap();
    let path = "/api/v1/signals?filter[anonymousId]=visitor-7";
    for signal in counted(api, path, 3).await {
        assert!(
            signal["actorId"].is_string() && signal["contactId"].is_null() && signal["accountId"].is_null(),
            "{signal}"
        );
    }
    let known =
        json!({"type": "identify", "anonymousId": "visitor-7", "actor": {"email": "grace@initech.com"}});
    api.accept(&[known]).await.unwrap();
    let contact = listed(api, "/api/v1/contacts", |c| c["email"] == "grace@initech.com").await;
    for visit in visits {
        let stitched = listed(api, path, |s| {
            s["id"] == *visit && s["contactId"] == contact["id"]
        })
        .await;
        assert_eq!(stitched["accountId"], account, "{stitched}");
        let timeline = format!("/api/v1/accounts/{account}/timeline");
        listed(api, &timeline, |entry| entry["id"] == *visit).await;
    }
    listed(api, "/api/v1/accounts", |a| {
        a["id"] == account && a["contactCount"] == 2
    })
    .await;
}

async fn the_pipeline_is_healthy(api: &Api) {
    let health = wait_for("a healthy pipeline", Duration::from_secs(60), async || {
        let health = api.read("/health/signals").await.unwrap();
        (health["status"] == "ok").then_some(health)
    })
    .await;
    assert_eq!(health["deadLetters"], 0, "{health}");
    assert!(health["stages"].as_array().unwrap().len() >= 8, "{health}");
}
