//! The same change for many records, and saved views.

use contracts::crm::v1 as wire;
use contracts::crm::v1::bulk_service_client::BulkServiceClient;
use contracts::crm::v1::view_service_client::ViewServiceClient;
use crm::domain::extras::Object;
use rpc::Role;
use tonic::Code;
use tonic::transport::Channel;

use crate::harness::*;
use crate::imports_desk::*;

async fn channel(world: &World, desk: &Desk<'_>) -> Channel {
    let url = serve(world, |server| {
        crm::app::with_transfer(server, &world.records, &desk.settings, &desk.worker)
    })
    .await;
    Channel::from_shared(url).unwrap().connect().await.unwrap()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn many_records_are_changed_by_filter_or_ids_each_with_its_verdict() {
    let world = World::new().await;
    let org = new_org();
    let desk = Desk::new(&world, org, 500);
    let rows: String = (0..250)
        .map(|n| format!("p{n}@acme.com,{}\n", if n < 230 { "Dev" } else { "CEO" }))
        .collect();
    desk.bring(Object::Contact, &format!("email,title\n{rows}")).await;
    let mut bulk = BulkServiceClient::new(channel(&world, &desk).await);
    let member = world.caller(org);
    let ask = || wire::ChangeRecordsRequest {
        object: "contact".to_owned(),
        r#where: Some(contracts::convert::to_struct(
            serde_json::json!({"title": "Dev"}).as_object().unwrap().clone(),
        )),
        add_tags: vec!["dev".to_owned()],
        company: Some("Acme".to_owned()),
        ..Default::default()
    };
    let before = desk.state().await;
    let tried = bulk
        .change_records(member.asks(wire::ChangeRecordsRequest {
            dry_run: Some(true),
            ..ask()
        }))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((tried.total_count, tried.results.len()), (Some(230), 200));
    assert!(
        tried
            .results
            .iter()
            .all(|one| one.outcome.as_deref() == Some("updated"))
    );
    assert_eq!(desk.state().await, before);
    let (mut cursor, mut changed) = (None, 0);
    loop {
        let done = bulk
            .change_records(member.asks(wire::ChangeRecordsRequest { cursor, ..ask() }))
            .await
            .unwrap()
            .into_inner();
        changed += done.results.len();
        cursor = done.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(changed, 230);
    assert_eq!(desk.state().await["tagged"].as_array().unwrap().len(), 230);
    // By ids: versions count, and a bad one fails alone.
    let id = desk.state().await["contacts"][0][0].as_str().unwrap().to_owned();
    let item = |id: &str, if_version| wire::BulkItem {
        id: id.to_owned(),
        if_version,
    };
    let items = vec![
        item(&id, None),
        item(&id, Some(1)),
        item(&new_id().to_string(), None),
        item("x", None),
    ];
    let ask = wire::ChangeRecordsRequest {
        object: "contact".to_owned(),
        items,
        remove_tags: vec!["DEV".to_owned()],
        ..Default::default()
    };
    let done = bulk.change_records(member.asks(ask)).await.unwrap().into_inner();
    assert_eq!(
        done.results.iter().map(|one| one.status).collect::<Vec<_>>(),
        [200, 412, 404, 400]
    );
    let delete = wire::ChangeRecordsRequest {
        object: "contact".to_owned(),
        items: vec![item(&id, None)],
        delete: Some(true),
        ..Default::default()
    };
    bulk.change_records(member.asks(delete.clone())).await.unwrap();
    assert_eq!(desk.state().await["contacts"].as_array().unwrap().len(), 249);
    // What does not go together is refused, and nobody without the scope gets through.
    let odd = wire::ChangeRecordsRequest {
        industry: Some("x".to_owned()),
        all: Some(true),
        ..delete.clone()
    };
    let (code, _, places) = failure(bulk.change_records(member.asks(odd)).await);
    assert_eq!((code, places.len()), (Code::InvalidArgument, 2));
    let scoped = world.caller(org).scopes(&["bulk:write"]);
    assert_eq!(
        failure(bulk.change_records(scoped.asks(delete.clone())).await).0,
        Code::PermissionDenied
    );
    let stranger = world.caller(new_org());
    let foreign = bulk
        .change_records(stranger.asks(delete))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(foreign.results[0].status, 404);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn views_are_checked_against_their_list_and_seen_by_whom_they_are_for() {
    let world = World::new().await;
    let org = new_org();
    let desk = Desk::new(&world, org, 500);
    let mut views = ViewServiceClient::new(channel(&world, &desk).await);
    let member = world.caller(org);
    let view = |name: &str, shared| wire::CreateViewRequest {
        object: "contact".to_owned(),
        name: Some(name.to_owned()),
        shared: Some(shared),
        filter: [("tag".to_owned(), "vip".to_owned())].into(),
        sort: Some("-name".to_owned()),
        columns: vec!["name".to_owned(), "email".to_owned()],
        ..Default::default()
    };
    let saved = views
        .create_view(member.asks(view("Mine", false)))
        .await
        .unwrap()
        .into_inner()
        .view
        .unwrap();
    assert_eq!((saved.version, saved.columns.len()), (1, 2));
    assert_eq!(
        failure(views.create_view(member.asks(view("mine", false))).await).1,
        "conflict"
    );
    for bad in [
        wire::CreateViewRequest {
            sort: Some("nothing".to_owned()),
            ..view("b", false)
        },
        wire::CreateViewRequest {
            columns: vec!["nothing".to_owned()],
            ..view("b", false)
        },
        wire::CreateViewRequest {
            filter: [("nothing".to_owned(), "x".to_owned())].into(),
            ..view("b", false)
        },
        wire::CreateViewRequest {
            name: None,
            ..view("b", false)
        },
    ] {
        assert_eq!(
            failure(views.create_view(member.asks(bad)).await).0,
            Code::InvalidArgument
        );
    }
    let get = wire::GetViewRequest {
        view_id: saved.id.clone(),
    };
    let stranger = world.caller(new_org());
    assert_eq!(
        failure(views.get_view(stranger.asks(get.clone())).await).0,
        Code::NotFound
    );
    let share = wire::UpdateViewRequest {
        view_id: saved.id.clone(),
        shared: Some(true),
        if_version: Some(1),
        ..Default::default()
    };
    let shared = views
        .update_view(member.asks(share.clone()))
        .await
        .unwrap()
        .into_inner()
        .view
        .unwrap();
    assert_eq!((shared.shared, shared.version), (true, 2));
    assert_eq!(
        failure(views.update_view(member.asks(share)).await).1,
        "precondition_failed"
    );
    let listed = views
        .list_views(member.asks(wire::ListViewsRequest::default()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.data.len(), 1);
    let viewer = world.caller(org).role(Role::Viewer);
    assert!(views.get_view(viewer.asks(get.clone())).await.is_ok());
    let delete = wire::DeleteViewRequest {
        view_id: saved.id.clone(),
        ..Default::default()
    };
    assert_eq!(
        failure(views.delete_view(viewer.asks(delete.clone())).await).0,
        Code::PermissionDenied
    );
    views.delete_view(member.asks(delete)).await.unwrap();
    assert_eq!(failure(views.get_view(member.asks(get)).await).0, Code::NotFound);
}
