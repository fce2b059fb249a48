//! The security checklist, where no other test has its row; `docs/SECURITY.md` lists them all.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
use ids::{Clock as _, SystemClock};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::harness::{Gateway, problem};
use crate::people::{PASSWORD, call, good, register, token};

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1024.0
}

/// argon2id takes 19 MiB per hash: as many at a time as there are cores for, not as many as ask.
#[tokio::test(flavor = "multi_thread")]
async fn s_10_a_hundred_logins_at_once_take_the_memory_of_a_few() {
    let rate = json!({"per_minute": 60_000, "burst": 10_000});
    let gateway = Gateway::with(json!({"access": {"logins": rate, "strangers": rate}})).await;
    register(&gateway, "ada@example.com").await;
    let before = resident_mib();
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let tries = (0..100).map(|_| call(&gateway, None, Method::POST, "/auth/login", Some(body.clone())));
    let answers = futures::future::join_all(tries).await;
    assert!(answers.iter().all(|a| a.status() == 200));
    let grown = resident_mib() - before;
    assert!(grown < 400.0, "{grown} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn s_11_no_forged_token_is_taken() {
    let seed = [7_u8; 32];
    let gateway = Gateway::with(json!({"access": {"token_keys": [STANDARD.encode(seed)]}})).await;
    let session = register(&gateway, "ada@example.com").await;
    let good_token = token(&session);
    let part = |n: usize| {
        URL_SAFE_NO_PAD
            .decode(good_token.split('.').nth(n).unwrap())
            .unwrap()
    };
    let (head, claims): (Value, Value) = (
        serde_json::from_slice(&part(0)).unwrap(),
        serde_json::from_slice(&part(1)).unwrap(),
    );
    let kid = head["kid"].as_str().unwrap();
    let ours = SigningKey::from_bytes(&seed);
    let ours_der = ours.to_pkcs8_der().unwrap();
    let signed = |changes: Value, kid: &str| {
        let mut claims = claims.clone();
        claims
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(kid.to_owned());
        header.jku = Some("https://evil.example/jwks.json".to_owned());
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(ours_der.as_bytes())).unwrap()
    };
    let ask = async |token: &str| {
        call(&gateway, Some(token), Method::GET, "/me", None)
            .await
            .status()
            .as_u16()
    };
    assert_eq!(
        ask(&signed(json!({}), kid)).await,
        200,
        "the walk signs as we do; a `jku` is not looked at"
    );

    let now = SystemClock.now().as_second();
    let raw = |head: Value, signature: &[u8]| {
        let encode = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
        format!(
            "{}.{}.{}",
            encode(&head),
            encode(&claims),
            URL_SAFE_NO_PAD.encode(signature)
        )
    };
    let public = ours.verifying_key().to_public_key_der().unwrap();
    let mut hs = Header::new(Algorithm::HS256);
    hs.kid = Some(kid.to_owned());
    let confused = jsonwebtoken::encode(&hs, &claims, &EncodingKey::from_secret(public.as_bytes())).unwrap();
    let theirs = SigningKey::from_bytes(&[8; 32]).to_pkcs8_der().unwrap();
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(kid.to_owned());
    let stranger =
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(theirs.as_bytes())).unwrap();
    let mut flipped = good_token.to_owned().into_bytes();
    let last = flipped.len() - 5;
    flipped[last] = if flipped[last] == b'A' { b'B' } else { b'A' };
    for (what, forged) in [
        ("expired", signed(json!({"exp": now - 1}), kid)),
        ("another issuer", signed(json!({"iss": "evil"}), kid)),
        ("another audience", signed(json!({"aud": "evil"}), kid)),
        (
            "a session that there is not",
            signed(json!({"sid": "018f3c5e-0000-7000-8000-00000000abcd"}), kid),
        ),
        ("an unknown key", signed(json!({}), "AAAAAAAAAAA")),
        ("a key's path", signed(json!({}), "../../etc/passwd")),
        ("a key's SQL", signed(json!({}), "' OR 1=1--")),
        ("alg none", raw(json!({"alg": "none", "kid": kid}), b"")),
        (
            "alg None, signed",
            raw(json!({"alg": "None", "kid": kid}), &[0; 64]),
        ),
        (
            "a key in the head",
            raw(
                json!({"alg": "EdDSA", "kid": kid, "jwk": {"kty": "OKP"}}),
                &[0; 64],
            ),
        ),
        ("HS256 by the public key", confused),
        ("another's key", stranger),
        ("a changed signature", String::from_utf8(flipped).unwrap()),
        ("no signature", good_token.rsplit_once('.').unwrap().0.to_owned()),
        ("too long", format!("{good_token}{}", "A".repeat(4_000))),
    ] {
        assert_eq!(ask(&forged).await, 401, "{what}");
    }
    assert_eq!(ask(good_token).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_12_a_session_ends_at_its_end_however_often_it_is_refreshed() {
    let gateway = Gateway::start().await;
    let session = register(&gateway, "ada@example.com").await;
    let body = json!({"refreshToken": session["refreshToken"]});
    let second = good(call(&gateway, None, Method::POST, "/auth/refresh", Some(body)).await).await;
    let mut tx = gateway.stores.pipeline.begin().await.unwrap();
    sqlx::query("UPDATE sessions SET expires_at = now()")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let body = json!({"refreshToken": second["refreshToken"]});
    assert_eq!(
        call(&gateway, None, Method::POST, "/auth/refresh", Some(body))
            .await
            .status(),
        401
    );
}

/// A client at another address of this machine.
fn at(address: &str) -> Client {
    let address: IpAddr = address.parse().unwrap();
    Client::builder().local_address(address).build().unwrap()
}

async fn log_in(gateway: &Gateway, client: &Client, password: &str) -> u16 {
    let body = json!({"email": "ada@example.com", "password": password});
    let request = client
        .post(format!("{}/api/v1/auth/login", gateway.base))
        .json(&body);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_14_guessing_from_many_addresses_is_slowed_and_locks_nobody_out() {
    let limits =
        json!({"logins": {"per_minute": 60, "burst": 10}, "strangers": {"per_minute": 1, "burst": 12}});
    let gateway = Gateway::with(json!({ "access": limits })).await;
    register(&gateway, "ada@example.com").await;
    let home = at("127.0.0.1");
    assert_eq!(
        log_in(&gateway, &home, PASSWORD).await,
        200,
        "now this address is known"
    );
    let mut refused = 0;
    for n in 2..12 {
        let client = at(&format!("127.0.0.{n}"));
        for _ in 0..3 {
            let status = log_in(&gateway, &client, "a guess of theirs").await;
            assert!(status == 401 || status == 429);
            refused += u32::from(status == 429);
        }
    }
    assert_eq!(refused, 30 - 11, "many addresses have few tries together");
    assert_eq!(
        log_in(&gateway, &home, PASSWORD).await,
        200,
        "from where she is, she comes in"
    );
    assert_eq!(
        log_in(&gateway, &at("127.0.0.20"), PASSWORD).await,
        429,
        "from elsewhere, later"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn s_14_tries_are_counted_over_all_gateways() {
    let limits = json!({"logins": {"per_minute": 1, "burst": 4}});
    let gateway = Gateway::with(json!({ "access": limits })).await;
    register(&gateway, "ada@example.com").await;
    let client = at("127.0.0.1");
    for _ in 0..4 {
        assert_eq!(log_in(&gateway, &client, "a guess of theirs").await, 401);
    }
    // What was counted is in Postgres, for every gateway.
    let mut tx = gateway.stores.pipeline.begin().await.unwrap();
    let counted: i64 = sqlx::query_scalar("SELECT count(*) FROM throttles")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert!(counted >= 3, "{counted}");
    assert_eq!(log_in(&gateway, &client, PASSWORD).await, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_15_no_header_and_no_spelling_gets_around_a_limit() {
    let rate = json!({"per_minute": 1, "burst": 5});
    let gateway = Gateway::with(json!({"limits": {"read": rate}})).await;
    let ask = async |path: &str, header: (&str, &str)| {
        let request = gateway.get(path).header(header.0, header.1);
        request.send().await.unwrap().status().as_u16()
    };
    let none = ("x-nothing", "1");
    for _ in 0..5 {
        assert_eq!(ask("/api/v1/accounts", none).await, 200);
    }
    for header in [
        ("x-forwarded-for", "10.0.0.1"),
        ("x-real-ip", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1"),
        ("x-originating-ip", "10.0.0.1"),
        ("authorization-key", "other"),
    ] {
        assert_eq!(ask("/api/v1/accounts", header).await, 429, "{header:?}");
    }
    for path in [
        "/api/v1/accounts?limit=1",
        "/api/v1/%61ccounts",
        "/api/v1/contacts",
        "/api/v1/accounts?fields=id",
    ] {
        assert_eq!(ask(path, none).await, 429, "{path}");
    }
    // Many fields of one query count as many requests.
    let limits = json!({"limits": {"read": {"per_minute": 1, "burst": 5}}});
    let other = Gateway::with(limits).await;
    let query = (0..10)
        .map(|n| format!("a{n}: accounts(limit: 1) {{ data {{ id }} }}"))
        .collect::<Vec<_>>()
        .join(" ");
    let body = json!({"query": format!("{{ {query} }}")}).to_string();
    let (status, _) = problem(other.post("/graphql", body).send().await.unwrap()).await;
    assert_eq!(status, 429);
}
