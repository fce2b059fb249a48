//! People: how they come in, stay, change their organization, and leave.

use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use serde_json::{Value, json};
use test_kit::wait_for;

use crate::harness::{Gateway, problem};

pub const PASSWORD: &str = "correct horse battery staple";

pub async fn call(
    gateway: &Gateway,
    token: Option<&str>,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Response {
    let mut request = gateway
        .client
        .request(method, format!("{}/api/v1{path}", gateway.base));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    request.send().await.unwrap()
}

pub async fn good(response: Response) -> Value {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{status} {text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

pub async fn register(gateway: &Gateway, email: &str) -> Value {
    let body = json!({"email": email, "password": PASSWORD, "name": "Ada", "organizationName": "Analytical"});
    good(call(gateway, None, Method::POST, "/auth/register", Some(body)).await).await
}

pub fn token(session: &Value) -> &str {
    session["accessToken"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_registers_comes_in_and_is_known() {
    let gateway = Gateway::start().await;
    let session = register(&gateway, "Ada@Example.com").await;
    assert_eq!(session["role"], "OWNER");
    let me = good(call(&gateway, Some(token(&session)), Method::GET, "/me", None).await).await;
    assert_eq!(me["email"], "ada@example.com");
    assert_eq!(me["organizations"][0]["name"], "Analytical");
    let again = json!({"email": "ada@example.com", "password": PASSWORD});
    let session = good(call(&gateway, None, Method::POST, "/auth/login", Some(again)).await).await;
    good(call(&gateway, Some(token(&session)), Method::GET, "/members", None).await).await;
    let twice =
        json!({"email": "ada@example.com", "password": PASSWORD, "name": "A", "organizationName": "B"});
    let refused = problem(call(&gateway, None, Method::POST, "/auth/register", Some(twice)).await).await;
    assert_eq!((refused.0, refused.1["code"].as_str()), (409, Some("conflict")));
    let keys: Value = gateway
        .client
        .get(format!("{}/.well-known/jwks.json", gateway.base))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(keys["keys"][0]["crv"], "Ed25519");
}

#[tokio::test(flavor = "multi_thread")]
async fn s_14_an_unknown_address_and_a_wrong_password_are_told_alike_and_throttled() {
    let gateway = Gateway::with(json!({"access": {"logins": {"per_minute": 1, "burst": 4}}})).await;
    register(&gateway, "ada@example.com").await;
    let mut answers = Vec::new();
    for email in ["ada@example.com", "nobody@example.com"] {
        let body = json!({"email": email, "password": "not the password"});
        let (status, mut body) =
            problem(call(&gateway, None, Method::POST, "/auth/login", Some(body)).await).await;
        body["requestId"] = Value::Null;
        answers.push((status, body));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].0, 401);
    let mut last = 0;
    for _ in 0..5 {
        let body = json!({"email": "ada@example.com", "password": "not the password"});
        last = call(&gateway, None, Method::POST, "/auth/login", Some(body))
            .await
            .status()
            .as_u16();
    }
    assert_eq!(last, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_12_of_many_uses_of_a_refresh_token_one_wins_and_the_session_ends() {
    let gateway = Gateway::start().await;
    let session = register(&gateway, "ada@example.com").await;
    let body = json!({"refreshToken": session["refreshToken"]});
    let second = good(call(&gateway, None, Method::POST, "/auth/refresh", Some(body)).await).await;
    let body = json!({"refreshToken": second["refreshToken"]});
    let tries = (0..20).map(|_| call(&gateway, None, Method::POST, "/auth/refresh", Some(body.clone())));
    let answers = futures::future::join_all(tries).await;
    let won = answers.iter().filter(|r| r.status().is_success()).count();
    assert_eq!(won, 1);
    let began = Instant::now();
    wait_for("the session is over", Duration::from_secs(6), async || {
        let done = call(&gateway, Some(token(&second)), Method::GET, "/me", None)
            .await
            .status()
            == 401;
        done.then_some(())
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn s_13_an_invited_person_joins_changes_role_and_is_out_within_five_seconds() {
    let gateway = Gateway::start().await;
    let owner = register(&gateway, "ada@example.com").await;
    let owner = token(&owner).to_owned();
    let invite = json!({"email": "bob@example.com", "role": "VIEWER"});
    let invitation =
        good(call(&gateway, Some(&owner), Method::POST, "/invitations", Some(invite)).await).await;
    let accept = json!({"token": invitation["token"], "password": PASSWORD, "name": "Bob"});
    let tries = (0..8).map(|_| {
        call(
            &gateway,
            None,
            Method::POST,
            "/auth/accept-invitation",
            Some(accept.clone()),
        )
    });
    let mut answers = futures::future::join_all(tries).await;
    answers.retain(|r| r.status().is_success());
    assert_eq!(answers.len(), 1, "an invitation is good once");
    let bob = good(answers.remove(0)).await;
    assert_eq!(bob["role"], "VIEWER");
    let (id, bob) = (bob["userId"].as_str().unwrap().to_owned(), token(&bob).to_owned());
    let rename = || {
        call(
            &gateway,
            Some(&bob),
            Method::PATCH,
            "/organization",
            Some(json!({"name": "Mine"})),
        )
    };
    assert_eq!(rename().await.status(), 403);
    let member = format!("/members/{id}");
    good(
        call(
            &gateway,
            Some(&owner),
            Method::PATCH,
            &member,
            Some(json!({"role": "ADMIN"})),
        )
        .await,
    )
    .await;
    wait_for("the new role", Duration::from_secs(5), async || {
        let done = rename().await.status() == 200;
        done.then_some(())
    })
    .await;
    let raise = json!({"role": "OWNER"});
    assert_eq!(
        call(&gateway, Some(&bob), Method::PATCH, &member, Some(raise))
            .await
            .status(),
        403
    );
    assert_eq!(
        call(&gateway, Some(&owner), Method::DELETE, &member, None)
            .await
            .status(),
        204
    );
    wait_for("Bob is out", Duration::from_secs(5), async || {
        let done = call(&gateway, Some(&bob), Method::GET, "/organization", None)
            .await
            .status()
            == 401;
        done.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_keeps_an_owner_and_others_do_not_see_its_members() {
    let gateway = Gateway::start().await;
    let ada = register(&gateway, "ada@example.com").await;
    let eve = register(&gateway, "eve@example.com").await;
    let member = format!("/members/{}", ada["userId"].as_str().unwrap());
    let demote = json!({"role": "VIEWER"});
    let (status, _) = problem(
        call(
            &gateway,
            Some(token(&ada)),
            Method::PATCH,
            &member,
            Some(demote.clone()),
        )
        .await,
    )
    .await;
    assert_eq!(status, 409);
    let (status, _) =
        problem(call(&gateway, Some(token(&eve)), Method::PATCH, &member, Some(demote)).await).await;
    assert_eq!(status, 404, "another organization's member");
    let made = good(
        call(
            &gateway,
            Some(token(&ada)),
            Method::POST,
            "/organizations",
            Some(json!({"name": "Second"})),
        )
        .await,
    )
    .await;
    let go = json!({"organizationId": made["id"]});
    let there = good(
        call(
            &gateway,
            Some(token(&ada)),
            Method::POST,
            "/auth/switch",
            Some(go.clone()),
        )
        .await,
    )
    .await;
    let seen = good(call(&gateway, Some(token(&there)), Method::GET, "/organization", None).await).await;
    assert_eq!(seen["name"], "Second");
    assert_eq!(
        call(
            &gateway,
            Some(token(&eve)),
            Method::POST,
            "/auth/switch",
            Some(go)
        )
        .await
        .status(),
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_shown_once_limited_to_their_maker_and_revoked() {
    let gateway = Gateway::start().await;
    let made = good(
        call(
            &gateway,
            Some(&gateway.key),
            Method::POST,
            "/api-keys",
            Some(json!({"name": "ci", "role": "ADMIN", "scopes": ["accounts:read", "api_keys:admin"]})),
        )
        .await,
    )
    .await;
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert!(key.starts_with("dsk_"));
    let listed = good(call(&gateway, Some(&gateway.key), Method::GET, "/api-keys", None).await).await;
    assert!(!listed.to_string().contains(key));
    assert_eq!(
        call(&gateway, Some(key), Method::GET, "/accounts", None)
            .await
            .status(),
        200
    );
    assert_eq!(
        call(&gateway, Some(key), Method::GET, "/contacts", None)
            .await
            .status(),
        403
    );
    for wider in [
        json!({"name": "x", "role": "ADMIN"}),
        json!({"name": "x", "role": "VIEWER", "scopes": ["*:read"]}),
        json!({"name": "x", "role": "OWNER", "scopes": ["accounts:read"]}),
    ] {
        assert_eq!(
            call(&gateway, Some(key), Method::POST, "/api-keys", Some(wider))
                .await
                .status(),
            403
        );
    }
    let path = format!("/api-keys/{id}");
    assert_eq!(
        call(&gateway, Some(&gateway.key), Method::DELETE, &path, None)
            .await
            .status(),
        204
    );
    wait_for("the key is refused", Duration::from_secs(5), async || {
        let done = call(&gateway, Some(key), Method::GET, "/accounts", None)
            .await
            .status()
            == 401;
        done.then_some(())
    })
    .await;
}
