//! Sources: set up by their organization, felt by the hot path.

use contracts::signals::v1::{
    CreateSourceRequest, DeleteSourceRequest, GetSourceRequest, ListSourcesRequest, Source,
    UpdateSourceRequest,
};
use errors::ErrorCode;
use ids::OrgId;
use rpc::Role;
use serde_json::json;
use test_kit::wait_for;

use crate::harness::{Answer, SOON, World, new_id, new_org, refused};

pub async fn create(world: &World, org: OrgId, kind: &str, secret: Option<&str>) -> Source {
    let request = CreateSourceRequest {
        r#type: kind.to_owned(),
        name: format!("{kind} source"),
        secret: secret.map(str::to_owned),
        ..CreateSourceRequest::default()
    };
    let request = world.member(org, Role::Admin, request);
    world
        .sources
        .clone()
        .create_source(request)
        .await
        .unwrap()
        .into_inner()
        .source
        .unwrap()
}

pub async fn set_status(world: &World, org: OrgId, id: &str, status: &str) -> Source {
    let request = UpdateSourceRequest {
        source_id: id.to_owned(),
        status: Some(status.to_owned()),
        ..UpdateSourceRequest::default()
    };
    let request = world.member(org, Role::Admin, request);
    world
        .sources
        .clone()
        .update_source(request)
        .await
        .unwrap()
        .into_inner()
        .source
        .unwrap()
}

async fn get(world: &World, org: OrgId, id: &str) -> Result<Source, errors::ApiError> {
    let request = world.member(
        org,
        Role::Viewer,
        GetSourceRequest {
            source_id: id.to_owned(),
        },
    );
    match world.sources.clone().get_source(request).await {
        Ok(answer) => Ok(answer.into_inner().source.unwrap()),
        Err(status) => Err(errors::ApiError::from_status(&status)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_created_read_changed_and_deleted() {
    let (world, org) = (World::new().await, new_org());
    let made = create(&world, org, "npm", None).await;
    assert_eq!(
        (
            made.status.as_str(),
            made.secret.clone(),
            made.webhook_path.clone()
        ),
        ("active", None, None)
    );
    assert_eq!(get(&world, org, &made.id).await.unwrap(), made);
    let change = UpdateSourceRequest {
        source_id: made.id.clone(),
        name: Some("  Packages ".into()),
        config: Some(contracts::convert::to_struct(
            json!({"package": "sdk"}).as_object().unwrap().clone(),
        )),
        ..UpdateSourceRequest::default()
    };
    let request = world.member(org, Role::Admin, change);
    let changed = world
        .sources
        .clone()
        .update_source(request)
        .await
        .unwrap()
        .into_inner()
        .source
        .unwrap();
    assert_eq!(
        (changed.name.as_str(), changed.status.as_str()),
        ("Packages", "active")
    );
    assert!(changed.config.is_some());
    let delete = || {
        let source_id = made.id.clone();
        world.member(
            org,
            Role::Admin,
            DeleteSourceRequest {
                source_id,
                dry_run: None,
            },
        )
    };
    world.sources.clone().delete_source(delete()).await.unwrap();
    assert_eq!(
        get(&world, org, &made.id).await.unwrap_err().code,
        ErrorCode::NotFound
    );
    let again = refused(world.sources.clone().delete_source(delete()).await);
    assert_eq!(again.code, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_listed_by_name_time_type_and_status() {
    let (world, org) = (World::new().await, new_org());
    create(&world, org, "npm", None).await;
    create(&world, org, "docs", None).await;
    let list = |filter: &[(&str, &str)], sort: &str| ListSourcesRequest {
        filter: filter
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        sort: Some(sort.to_owned()),
        ..ListSourcesRequest::default()
    };
    let names = async |request: ListSourcesRequest| -> Vec<String> {
        let request = world.member(org, Role::Viewer, request);
        let page = world
            .sources
            .clone()
            .list_sources(request)
            .await
            .unwrap()
            .into_inner();
        page.data.into_iter().map(|source| source.name).collect()
    };
    assert_eq!(names(list(&[], "name")).await, ["docs source", "npm source"]);
    assert_eq!(
        names(list(&[], "-createdAt")).await,
        ["docs source", "npm source"]
    );
    assert_eq!(names(list(&[], "createdAt")).await, ["npm source", "docs source"]);
    assert_eq!(names(list(&[("type", "npm")], "name")).await, ["npm source"]);
    assert!(names(list(&[("status", "paused")], "name")).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_secret_is_shown_once_and_no_secret_rests_in_clear() {
    let (world, org) = (World::new().await, new_org());
    let made = create(&world, org, "github", None).await;
    let secret = made.secret.clone().unwrap();
    assert_eq!(secret.len(), 64);
    assert_eq!(made.webhook_path, Some(format!("/hooks/github/{}", made.id)));
    assert_eq!(get(&world, org, &made.id).await.unwrap().secret, None);
    let given = create(&world, org, "github", Some("0123456789abcdef-given")).await;
    assert_eq!(given.secret, None, "whoever gave it knows it");
    let rows: Vec<(Vec<u8>,)> = sqlx::query_as("SELECT secret FROM sources")
        .fetch_all(&mut world.admin().await)
        .await
        .unwrap();
    for (sealed,) in rows {
        for clear in [secret.as_bytes(), b"0123456789abcdef-given"] {
            assert!(!sealed.windows(clear.len()).any(|bytes| bytes == clear));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_and_members_change_nothing() {
    let (world, org) = (
        World::with(json!({"sources": {"max_per_organization": 2}})).await,
        new_org(),
    );
    let bad = CreateSourceRequest {
        r#type: "gopher".into(),
        ..CreateSourceRequest::default()
    };
    let request = world.member(org, Role::Admin, bad);
    let error = refused(world.sources.clone().create_source(request).await);
    assert_eq!(error.code, ErrorCode::ValidationFailed);
    assert_eq!(
        error
            .fields
            .iter()
            .map(|f| f.pointer.as_str())
            .collect::<Vec<_>>(),
        ["/type", "/name"]
    );
    let good = CreateSourceRequest {
        r#type: "npm".into(),
        name: "n".into(),
        ..CreateSourceRequest::default()
    };
    let request = world.member(org, Role::Member, good.clone());
    assert_eq!(
        refused(world.sources.clone().create_source(request).await).code,
        ErrorCode::PermissionDenied
    );
    create(&world, org, "npm", None).await;
    create(&world, org, "npm", None).await;
    let request = world.member(org, Role::Admin, good);
    assert_eq!(
        refused(world.sources.clone().create_source(request).await).code,
        ErrorCode::QuotaExceeded
    );
    assert_eq!(
        get(&world, org, "x").await.unwrap_err().code,
        ErrorCode::InvalidId
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn s_16_of_two_hundred_who_take_the_last_place_at_once_one_does() {
    let (world, org) = (
        World::with(json!({"sources": {"max_per_organization": 3}})).await,
        new_org(),
    );
    create(&world, org, "npm", None).await;
    create(&world, org, "npm", None).await;
    let tries = (0..200).map(|_| {
        let last = CreateSourceRequest {
            r#type: "npm".into(),
            name: "n".into(),
            ..CreateSourceRequest::default()
        };
        let (request, mut sources) = (world.member(org, Role::Admin, last), world.sources.clone());
        async move { sources.create_source(request).await }
    });
    let (made, refusals): (Vec<_>, Vec<_>) = futures::future::join_all(tries)
        .await
        .into_iter()
        .partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    for one in refusals {
        assert_eq!(refused(one).code, ErrorCode::QuotaExceeded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_through_a_source_follow_its_status() {
    let (world, org, other) = (World::new().await, new_org(), new_org());
    let source = create(&world, org, "product_api", None).await;
    let body = |id: &str| json!({"type": "t", "sourceId": id}).to_string();
    world.send_one(org, &body(&source.id)).await.id();
    let code = |answer: Answer| answer.refusal().errors[0].code.clone();
    assert_eq!(
        code(world.send_one(other, &body(&source.id)).await),
        "unknown_source"
    );
    assert_eq!(
        code(world.send_one(org, &body(&new_id().to_string())).await),
        "unknown_source"
    );
    assert_eq!(code(world.send_one(org, &body("nope")).await), "invalid_id");
    set_status(&world, org, &source.id, "paused").await;
    assert_eq!(
        code(world.send_one(org, &body(&source.id)).await),
        "source_paused"
    );
    let batch = world
        .send(org, json!([{"type": "t", "sourceId": source.id}, {"type": "t"}]))
        .await;
    assert_eq!((batch.rejected, batch.accepted), (1, 1));
    set_status(&world, org, &source.id, "active").await;
    world.send_one(org, &body(&source.id)).await.id();
    let seen = wait_for("the time of the last signal", SOON, async || {
        get(&world, org, &source.id).await.unwrap().last_signal_at
    });
    assert!(seen.await.seconds > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_by_another_replica_is_felt_soon() {
    let (world, org) = (World::new().await, new_org());
    let source = create(&world, org, "product_api", None).await;
    let body = json!({"type": "t", "sourceId": source.id}).to_string();
    world.send_one(org, &body).await.id();
    world.sql("UPDATE sources SET status = 'paused'").await;
    wait_for("the pause", SOON, async || {
        match world.send_one(org, &body).await {
            Answer::Refused(refusal) => (refusal.errors[0].code == "source_paused").then_some(()),
            Answer::Verdicts(_) => None,
        }
    })
    .await;
}
