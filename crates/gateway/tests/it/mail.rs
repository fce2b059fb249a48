//! Mail over a real server: invitations, proofs of addresses, forgotten passwords; what happens when the server fails.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use test_kit::wait_for;

use crate::harness::{Gateway, problem};
use crate::people::{PASSWORD, call, good, register, token};
use crate::smtp::Smtp;

async fn invite(gateway: &Gateway, by: &str, email: &str) -> Value {
    let body = json!({"email": email, "role": "MEMBER"});
    good(call(gateway, Some(by), Method::POST, "/invitations", Some(body)).await).await
}

async fn state(gateway: &Gateway, by: &str, email: &str) -> Option<String> {
    let list = good(call(gateway, Some(by), Method::GET, "/invitations", None).await).await;
    let found = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|i| i["email"] == email)?;
    found["mail"].as_str().map(str::to_owned)
}

async fn becomes(gateway: &Gateway, email: &str, wanted: &str) {
    wait_for(
        &format!("{email} is {wanted}"),
        Duration::from_secs(30),
        async || (state(gateway, &gateway.key, email).await.as_deref() == Some(wanted)).then_some(()),
    )
    .await;
}

async fn forgot(gateway: &Gateway, email: &str) -> (u16, Value) {
    let body = json!({ "email": email });
    let answer = call(gateway, None, Method::POST, "/auth/forgot-password", Some(body)).await;
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or(Value::Null))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_proved_their_address_invites_by_mail_and_the_link_lets_in() {
    let smtp = Smtp::start().await;
    let gateway = Gateway::with(smtp.settings()).await;
    let ada = register(&gateway, "ada@example.com").await;
    let early = json!({"email": "bob@example.com", "role": "MEMBER"});
    let answer = call(
        &gateway,
        Some(token(&ada)),
        Method::POST,
        "/invitations",
        Some(early),
    )
    .await;
    let (status, refused) = problem(answer).await;
    assert_eq!(status, 403, "{refused}");
    let proof = smtp.mail("ada@example.com", 0).await;
    assert_eq!(proof.header("X-Test-Tls"), "True");
    let body = json!({"token": proof.token("verify")});
    let tries = (0..8).map(|_| {
        call(
            &gateway,
            None,
            Method::POST,
            "/auth/verify-email",
            Some(body.clone()),
        )
    });
    let answers = futures::future::join_all(tries).await;
    assert_eq!(
        answers.iter().filter(|a| a.status().is_success()).count(),
        1,
        "good once"
    );
    let me = good(call(&gateway, Some(token(&ada)), Method::GET, "/me", None).await).await;
    assert_eq!(me["emailVerified"], true);
    let again = call(
        &gateway,
        Some(token(&ada)),
        Method::POST,
        "/me/verify-email",
        Some(json!({})),
    )
    .await;
    assert_eq!(again.status(), 409);

    let made = invite(&gateway, token(&ada), "bob@example.com").await;
    let mail = smtp.mail("bob@example.com", 0).await;
    assert_eq!(mail.token("invitation"), made["token"].as_str().unwrap());
    assert!(mail.0.contains("text/plain") && mail.0.contains("text/html"));
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    wait_for("it is told as sent", Duration::from_secs(30), async || {
        let told = state(&gateway, token(&ada), "bob@example.com").await;
        (told.as_deref() == Some("SENT")).then_some(())
    })
    .await;
    let accept = json!({"token": mail.token("invitation"), "password": PASSWORD, "name": "Bob"});
    let bob = good(
        call(
            &gateway,
            None,
            Method::POST,
            "/auth/accept-invitation",
            Some(accept),
        )
        .await,
    )
    .await;
    assert_eq!(bob["organizationId"], ada["organizationId"]);
    no_token_is_in_the_database(&gateway, &[proof.token("verify"), mail.token("invitation")]).await;
}

async fn no_token_is_in_the_database(gateway: &Gateway, tokens: &[String]) {
    let mut tx = gateway.stores.pipeline.begin().await.unwrap();
    for table in ["mails", "mail_tokens", "invitations"] {
        let all: String = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT coalesce(string_agg(to_jsonb(t)::text, ' '), '') FROM {table} t"
        )))
        .fetch_one(&mut *tx)
        .await
        .unwrap();
        assert!(!all.is_empty());
        for token in tokens {
            assert!(!all.contains(token.as_str()), "{table} holds a token");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_now_is_tried_again_and_what_is_refused_for_good_is_told() {
    let mut smtp = Smtp::start().await;
    let gateway = Gateway::with(smtp.settings()).await;
    invite(&gateway, &gateway.key, "busy@example.com").await;
    invite(&gateway, &gateway.key, "lost@example.com").await;
    invite(&gateway, &gateway.key, "nobody@example.com").await;
    becomes(&gateway, "busy@example.com", "SENT").await;
    becomes(&gateway, "lost@example.com", "SENT").await;
    becomes(&gateway, "nobody@example.com", "FAILED").await;
    assert_eq!(
        smtp.mails("busy@example.com").len(),
        1,
        "451 twice, then taken once"
    );
    let lost = smtp.mails("lost@example.com");
    assert_eq!(lost.len(), 2, "nobody can know that the first was taken");
    assert_eq!(lost[0].header("Message-ID"), lost[1].header("Message-ID"));
    assert!(lost[0].header("Message-ID").ends_with("@devsignal.example>"));

    smtp.stop();
    invite(&gateway, &gateway.key, "late@example.com").await;
    wait_for("a try without a server", Duration::from_secs(30), async || {
        let mut tx = gateway.stores.pipeline.begin().await.unwrap();
        let query = "SELECT reason FROM mails WHERE recipient = 'late@example.com' AND reason IS NOT NULL";
        sqlx::query_scalar::<_, String>(query)
            .fetch_optional(&mut *tx)
            .await
            .unwrap()
    })
    .await;
    assert_eq!(
        state(&gateway, &gateway.key, "late@example.com").await.as_deref(),
        Some("QUEUED")
    );
    smtp.run().await;
    becomes(&gateway, "late@example.com", "SENT").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_to_a_server_without_tls() {
    let smtp = Smtp::in_the_clear().await;
    let gateway = Gateway::with(smtp.settings()).await;
    invite(&gateway, &gateway.key, "bob@example.com").await;
    wait_for("a try", Duration::from_secs(30), async || {
        let mut tx = gateway.stores.pipeline.begin().await.unwrap();
        sqlx::query_scalar::<_, String>("SELECT reason FROM mails WHERE reason IS NOT NULL")
            .fetch_optional(&mut *tx)
            .await
            .unwrap()
    })
    .await;
    assert!(smtp.mails("bob@example.com").is_empty());
    assert_eq!(
        state(&gateway, &gateway.key, "bob@example.com").await.as_deref(),
        Some("QUEUED")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_is_set_anew_once_and_all_sessions_end() {
    let smtp = Smtp::start().await;
    let gateway = Gateway::with(smtp.settings()).await;
    let ada = register(&gateway, "ada@example.com").await;
    let known = forgot(&gateway, "Ada@example.com").await;
    let unknown = forgot(&gateway, "eve@example.com").await;
    assert_eq!(known, unknown, "it tells nothing");
    assert_eq!(known.0, 200);
    // The mail to confirm the address came first.
    let mail = smtp.mail("ada@example.com", 1).await;
    let reset = mail.token("reset");
    let short = json!({"token": reset, "newPassword": "short"});
    assert_eq!(
        call(&gateway, None, Method::POST, "/auth/reset-password", Some(short))
            .await
            .status(),
        400
    );
    let body = json!({"token": reset, "newPassword": "another good password"});
    let tries = (0..8).map(|_| {
        call(
            &gateway,
            None,
            Method::POST,
            "/auth/reset-password",
            Some(body.clone()),
        )
    });
    let answers = futures::future::join_all(tries).await;
    assert_eq!(
        answers.iter().filter(|a| a.status().is_success()).count(),
        1,
        "good once"
    );
    assert!(
        answers
            .iter()
            .all(|a| a.status().is_success() || a.status() == 401)
    );
    wait_for("the session is over", Duration::from_secs(5), async || {
        let status = call(&gateway, Some(token(&ada)), Method::GET, "/me", None)
            .await
            .status();
        (status == 401).then_some(())
    })
    .await;
    let refresh = json!({"refreshToken": ada["refreshToken"]});
    assert_eq!(
        call(&gateway, None, Method::POST, "/auth/refresh", Some(refresh))
            .await
            .status(),
        401
    );
    for (password, status) in [(PASSWORD, 401), ("another good password", 200)] {
        let body = json!({"email": "ada@example.com", "password": password});
        assert_eq!(
            call(&gateway, None, Method::POST, "/auth/login", Some(body))
                .await
                .status(),
            status
        );
    }
    assert!(
        smtp.mail("ada@example.com", 2)
            .await
            .0
            .contains("Your password was changed")
    );
    assert!(smtp.mails("eve@example.com").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_too_old_or_of_another_kind_sets_no_password() {
    let smtp = Smtp::start().await;
    let gateway = Gateway::with(smtp.settings()).await;
    register(&gateway, "ada@example.com").await;
    let proof = smtp.mail("ada@example.com", 0).await.token("verify");
    forgot(&gateway, "ada@example.com").await;
    let reset = smtp.mail("ada@example.com", 1).await.token("reset");
    let mut tx = gateway.stores.pipeline.begin().await.unwrap();
    sqlx::query("UPDATE mail_tokens SET expires_at = now() WHERE purpose = 'password_reset'")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    for wrong in [reset.as_str(), &proof, "", "dsp_x", &"x".repeat(10_000)] {
        let body = json!({"token": wrong, "newPassword": "another good password"});
        let (status, _) =
            problem(call(&gateway, None, Method::POST, "/auth/reset-password", Some(body)).await).await;
        assert_eq!(status, 401);
    }
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    assert_eq!(
        call(&gateway, None, Method::POST, "/auth/login", Some(login))
            .await
            .status(),
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_mailbox_is_not_filled_by_whoever_asks() {
    let folder = tempfile::TempDir::new().unwrap();
    let gateway =
        Gateway::with(json!({"mail": {"transport": "directory", "directory": folder.path()}})).await;
    register(&gateway, "ada@example.com").await;
    let mut statuses = Vec::new();
    for _ in 0..7 {
        statuses.push(forgot(&gateway, "ada@example.com").await.0);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429]);
    let files = wait_for("the mails are files", Duration::from_secs(30), async || {
        let files = std::fs::read_dir(folder.path()).unwrap();
        let files: Vec<_> = files
            .map(|f| f.unwrap().path())
            .filter(|f| f.extension().is_some())
            .collect();
        (files.len() == 6).then_some(files)
    })
    .await;
    let one = std::fs::read_to_string(&files[0]).unwrap();
    assert!(one.contains("To: ada@example.com"), "{one}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_mail_what_needs_it_is_refused_and_invitations_are_handed_over() {
    let gateway = Gateway::start().await;
    let ada = register(&gateway, "ada@example.com").await;
    let (status, told) = forgot(&gateway, "ada@example.com").await;
    assert_eq!((status, told["code"].as_str()), (501, Some("unimplemented")));
    let again = call(
        &gateway,
        Some(token(&ada)),
        Method::POST,
        "/me/verify-email",
        Some(json!({})),
    )
    .await;
    assert_eq!(again.status(), 501);
    let made = invite(&gateway, token(&ada), "bob@example.com").await;
    assert_eq!(made["mail"], "NONE");
    assert!(made["token"].as_str().unwrap().starts_with("dsi_"));
}
