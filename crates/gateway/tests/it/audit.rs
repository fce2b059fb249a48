//! The audit log: every write by every interface, who, what, before and after, from where; as a list and as a file.

use contracts::access::v1::UpdateOrganizationRequest;
use contracts::access::v1::organization_service_client::OrganizationServiceClient;
use reqwest::Method;
use rpc::Role;
use serde_json::{Value, json};
use tonic::Request;
use tonic::transport::Endpoint;

use crate::harness::{Gateway, problem};
use crate::people::{PASSWORD, call, good, register, token};
use crate::smtp::Smtp;

async fn log(gateway: &Gateway, filter: &str) -> Vec<Value> {
    let path = format!("/audit?sort=createdAt&{filter}");
    let page = good(call(gateway, Some(&gateway.key), Method::GET, &path, None).await).await;
    page["data"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_is_in_the_audit_log_without_secrets_and_cannot_be_changed() {
    let gateway = Gateway::start().await;
    let create = json!({"name": "ci", "role": "VIEWER"});
    let made = good(
        call(
            &gateway,
            Some(&gateway.key),
            Method::POST,
            "/api-keys",
            Some(create),
        )
        .await,
    )
    .await;
    let bad = json!({"name": "", "role": "VIEWER"});
    assert_eq!(
        call(&gateway, Some(&gateway.key), Method::POST, "/api-keys", Some(bad))
            .await
            .status(),
        400
    );
    let log = good(
        call(
            &gateway,
            Some(&gateway.key),
            Method::GET,
            "/audit?filter[resource]=api_keys&sort=createdAt",
            None,
        )
        .await,
    )
    .await;
    let entries = log["data"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "{log}");
    assert_eq!(entries[0]["action"], "access.v1.ApiKeyService/CreateApiKey");
    assert_eq!(
        (entries[0]["outcome"].as_str(), entries[1]["outcome"].as_str()),
        (Some("ok"), Some("validation_failed"))
    );
    assert_eq!(entries[0]["recordId"], made["id"]);
    assert_eq!(entries[0]["actorType"], "api_key");
    assert_eq!(entries[0]["address"], "127.0.0.1");
    assert!(!log.to_string().contains(made["key"].as_str().unwrap()));
    let (_, other) = gateway.other_organization().await;
    let theirs = good(call(&gateway, Some(&other), Method::GET, "/audit", None).await).await;
    let theirs = theirs["data"].as_array().unwrap();
    assert_eq!(theirs.len(), 1, "{theirs:?}");
    assert_eq!(theirs[0]["actorId"], "command line");
    let mut tx = gateway.stores.pipeline.begin().await.unwrap();
    for statement in [
        "UPDATE audit_entries SET action = 'x'",
        "DELETE FROM audit_outcomes",
    ] {
        let refused = sqlx::query(statement).execute(&mut *tx).await.unwrap_err();
        assert!(
            refused.to_string().contains("permission denied") || refused.to_string().contains("aborted"),
            "{refused}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_tells_the_record_before_and_after_by_every_interface() {
    let gateway = Gateway::start().await;
    let rename = |name: &str| json!({ "name": name });
    let rest = call(
        &gateway,
        Some(&gateway.key),
        Method::PATCH,
        "/organization",
        Some(rename("By REST")),
    );
    good(rest.await).await;
    let channel = Endpoint::from_shared(gateway.grpc.clone())
        .unwrap()
        .connect_lazy();
    let mut request = Request::new(UpdateOrganizationRequest {
        name: "By gRPC".into(),
    });
    let key = format!("Bearer {}", gateway.key).parse().unwrap();
    request.metadata_mut().insert("authorization", key);
    let told = OrganizationServiceClient::new(channel)
        .update_organization(request)
        .await
        .unwrap();
    assert_eq!(
        told.into_inner().organization.unwrap().name,
        "By gRPC",
        "the answer comes through"
    );
    let query = json!({"query": "mutation { updateOrganization(input: {name: \"By GraphQL\"}) { name } }"});
    let sent = gateway
        .client
        .post(format!("{}/graphql", gateway.base))
        .bearer_auth(&gateway.key);
    let answered: Value = sent.json(&query).send().await.unwrap().json().await.unwrap();
    assert_eq!(
        answered["data"]["updateOrganization"]["name"], "By GraphQL",
        "{answered}"
    );

    let entries = log(
        &gateway,
        "filter[action]=access.v1.OrganizationService/UpdateOrganization",
    )
    .await;
    assert_eq!(entries.len(), 3);
    let mut was = "Acme";
    for (entry, is) in entries.iter().zip(["By REST", "By gRPC", "By GraphQL"]) {
        assert_eq!(entry["before"]["organization"]["name"], was, "{entry}");
        assert_eq!(entry["after"]["organization"]["name"], is, "{entry}");
        assert_eq!(entry["request"]["name"], is);
        assert_eq!(
            (entry["outcome"].as_str(), entry["address"].as_str()),
            (Some("ok"), Some("127.0.0.1"))
        );
        assert_eq!(entry["actorType"], "api_key");
        assert!(!entry["requestId"].as_str().unwrap().is_empty());
        was = is;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_to_a_record_is_found_by_its_id_with_what_was_deleted() {
    let gateway = Gateway::start().await;
    let (id, _) = gateway.key(Role::Viewer, &["accounts:read"]).await;
    let path = format!("/api-keys/{id}");
    assert_eq!(
        call(&gateway, Some(&gateway.key), Method::DELETE, &path, None)
            .await
            .status(),
        204
    );
    assert_eq!(
        call(&gateway, Some(&gateway.key), Method::DELETE, &path, None)
            .await
            .status(),
        404
    );
    let entries = log(&gateway, &format!("filter[recordId]={id}")).await;
    let outcomes: Vec<_> = entries.iter().map(|e| e["outcome"].as_str().unwrap()).collect();
    assert_eq!(
        outcomes,
        ["ok", "ok", "not_found"],
        "made, deleted, and not again"
    );
    assert_eq!(entries[0]["actorId"], "command line");
    assert_eq!(entries[1]["before"]["apiKey"]["scopes"], json!(["accounts:read"]));
    assert!(
        entries[1]["before"]["apiKey"].get("revokedAt").is_none(),
        "as it was before"
    );
    let refused = log(&gateway, "filter[outcome]=not_found").await;
    assert_eq!(refused.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::too_many_lines,
    reason = "one story, from the first person to the second organization"
)]
async fn people_who_come_in_and_organizations_that_begin_are_in_the_log() {
    let smtp = Smtp::start().await;
    let gateway = Gateway::with(smtp.settings()).await;
    let ada = register(&gateway, "ada@example.com").await;
    let proof = json!({"token": smtp.mail("ada@example.com", 0).await.token("verify")});
    good(call(&gateway, None, Method::POST, "/auth/verify-email", Some(proof)).await).await;
    let invite = json!({"email": "bob@example.com", "role": "MEMBER"});
    let invited = good(
        call(
            &gateway,
            Some(token(&ada)),
            Method::POST,
            "/invitations",
            Some(invite),
        )
        .await,
    )
    .await;
    let accept = json!({"token": invited["token"], "password": PASSWORD, "name": "Bob"});
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
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    good(call(&gateway, None, Method::POST, "/auth/login", Some(login)).await).await;
    let made = json!({"name": "Second"});
    let second = good(
        call(
            &gateway,
            Some(token(&ada)),
            Method::POST,
            "/organizations",
            Some(made),
        )
        .await,
    )
    .await;

    let seen = good(
        call(
            &gateway,
            Some(token(&ada)),
            Method::GET,
            "/audit?sort=createdAt",
            None,
        )
        .await,
    )
    .await;
    let entries = seen["data"].as_array().unwrap();
    let actions: Vec<_> = entries.iter().map(|e| e["action"].as_str().unwrap()).collect();
    let expected = [
        "access.v1.AuthService/Register",
        "access.v1.AuthService/VerifyEmail",
        "access.v1.OrganizationService/CreateInvitation",
        "access.v1.AuthService/AcceptInvitation",
        "access.v1.AuthService/Login",
        "access.v1.OrganizationService/CreateOrganization",
    ];
    assert_eq!(actions, expected, "{seen}");
    assert_eq!(entries[3]["actorId"], bob["userId"]);
    assert_eq!(entries[3]["after"]["member"]["role"], "MEMBER");
    assert!(
        entries
            .iter()
            .all(|e| e["address"] == "127.0.0.1" && e["outcome"] == "ok"),
        "{seen}"
    );
    for secret in [
        PASSWORD,
        invited["token"].as_str().unwrap(),
        ada["refreshToken"].as_str().unwrap(),
    ] {
        assert!(!seen.to_string().contains(secret));
    }
    let go = json!({"organizationId": second["id"]});
    let there = good(
        call(
            &gateway,
            Some(token(&ada)),
            Method::POST,
            "/auth/switch",
            Some(go),
        )
        .await,
    )
    .await;
    let begun = good(call(&gateway, Some(token(&there)), Method::GET, "/audit", None).await).await;
    assert_eq!(
        begun["data"][0]["action"],
        "access.v1.OrganizationService/CreateOrganization"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_exported_whole_and_filtered() {
    let gateway = Gateway::start().await;
    let export = async |key: &str, query: &str| {
        let request = gateway
            .client
            .get(format!("{}/api/v1/audit/export?{query}", gateway.base));
        request.bearer_auth(key).send().await.unwrap()
    };
    let formula = json!({"name": "=1+1", "role": "VIEWER"});
    good(
        call(
            &gateway,
            Some(&gateway.key),
            Method::POST,
            "/api-keys",
            Some(formula),
        )
        .await,
    )
    .await;
    let mut tx = gateway.stores.pipeline.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO audit_entries (org_id, id, created_at, actor_type, actor_id, role, action, resource, request, address, request_id) \
         SELECT $1, gen_random_uuid(), now() - interval '1 hour' + n * interval '1 millisecond', 'user', '=cmd()', 'OWNER', 'x', 'many', \
         '{}', '', '' FROM generate_series(1, 1050) AS n",
    )
    .bind(gateway.org.uuid())
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let ndjson = export(&gateway.key, "format=ndjson").await.text().await.unwrap();
    let lines: Vec<Value> = ndjson.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 1050 + 2, "the organization and its key too");
    let answer = export(&gateway.key, "format=csv&filter[resource]=many").await;
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    let csv = answer.text().await.unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 1050);
    assert!(rows.iter().all(|row| &row[3] == "'=cmd()"));
    let (_, viewer) = gateway.key(Role::Viewer, &[]).await;
    assert_eq!(problem(export(&viewer, "format=csv").await).await.0, 403);
    for bad in [
        "",
        "format=xml",
        "format=csv&limit=5",
        "format=csv&filter[nothing]=x",
        "format=csv&from=yesterday",
    ] {
        assert_eq!(problem(export(&gateway.key, bad).await).await.0, 400, "{bad}");
    }
    let (_, other) = gateway.other_organization().await;
    let theirs = export(&other, "format=ndjson").await.text().await.unwrap();
    assert_eq!(theirs.lines().count(), 1, "{theirs}");
}
