//! Custom objects: changes of their fields, whose they are, and how they are described.

use std::collections::HashMap;

use contracts::convert;
use contracts::crm::v1 as crm;
use rpc::Role;
use serde_json::json;
use tonic::Code;

use crate::harness::{World, failure, new_id, new_org};
use crate::objects::{Desk, field, given, licence, of, pairs, told, value};
use crate::search::found;

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn a_change_of_fields_is_judged_and_breaks_nothing_that_is_not_named() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let desk = Desk::new(&world, &served, new_org());
    desk.create("licence", vec![field("name", "text"), field("seats", "text")])
        .await
        .unwrap();
    let to = |fields: Vec<crm::ObjectField>| crm::UpdateObjectRequest {
        object: "licence".into(),
        fields,
        ..Default::default()
    };
    // Nobody relies on it yet.
    let free = desk
        .change(to(vec![field("name", "text"), field("seats", "number")]))
        .await
        .unwrap();
    assert_eq!(free.verdict.unwrap().verdict, "compatible");
    for (name, seats) in [("a", 1), ("b", 2), ("b", 3)] {
        desk.add("licence", json!({"name": name, "seats": seats}))
            .await
            .unwrap();
    }
    desk.add("licence", json!({"name": "c"})).await.unwrap();
    let wider = desk
        .change(to(vec![
            field("name", "text"),
            field("seats", "number"),
            field("note", "text"),
        ]))
        .await
        .unwrap();
    let verdict = wider.verdict.unwrap();
    assert_eq!(
        (verdict.verdict.as_str(), verdict.records_changed),
        ("compatible", 0)
    );
    assert_eq!(wider.object.unwrap().schema_version, 3);

    let needed = vec![
        field("name", "text"),
        crm::ObjectField {
            required: Some(true),
            ..field("seats", "number")
        },
        field("note", "text"),
    ];
    let refused = desk.change(to(needed.clone())).await.unwrap_err();
    assert_eq!(told(&refused), pairs([("/plan/backfill/seats", "required")]));
    let plan = crm::SchemaPlan {
        backfill: given(json!({"seats": 7})),
        ..Default::default()
    };
    let tried = crm::UpdateObjectRequest {
        plan: Some(plan.clone()),
        dry_run: Some(true),
        ..to(needed.clone())
    };
    let tried = desk.change(tried).await.unwrap().verdict.unwrap();
    assert_eq!(
        (tried.verdict.as_str(), tried.records_changed),
        ("needs_backfill", 1)
    );
    let done = desk
        .change(crm::UpdateObjectRequest {
            plan: Some(plan),
            ..to(needed.clone())
        })
        .await
        .unwrap();
    assert_eq!(done.verdict.unwrap().records_changed, 1);
    let of_seven = crm::ListRecordsRequest {
        filter: HashMap::from([("seats".into(), "7".into())]),
        ..of("licence")
    };
    assert_eq!(
        desk.names(of_seven).await,
        ["c"],
        "the index knows what was filled in"
    );

    let unique = vec![
        crm::ObjectField {
            unique: Some(true),
            ..field("name", "text")
        },
        needed[1].clone(),
        field("note", "text"),
    ];
    let refused = desk.change(to(unique.clone())).await.unwrap_err();
    assert_eq!(told(&refused), pairs([("/plan/drop", "became_unique")]));
    let plan = |drop: &[&str]| {
        Some(crm::SchemaPlan {
            drop: drop.iter().map(|f| (*f).to_owned()).collect(),
            backfill: None,
        })
    };
    let refused = desk
        .change(crm::UpdateObjectRequest {
            plan: plan(&["name"]),
            ..to(unique)
        })
        .await
        .unwrap_err();
    assert_eq!(told(&refused), pairs([("/fields", "not_unique")]));

    let typed = vec![field("name", "number"), needed[1].clone()];
    let refused = desk.change(to(typed.clone())).await.unwrap_err();
    assert_eq!(
        told(&refused),
        pairs([("/plan/drop", "removed"), ("/plan/drop", "type_changed")])
    );
    let half = desk
        .change(crm::UpdateObjectRequest {
            plan: plan(&["note"]),
            ..to(typed.clone())
        })
        .await
        .unwrap_err();
    assert_eq!(told(&half), pairs([("/plan/drop", "type_changed")]));
    let broken = desk
        .change(crm::UpdateObjectRequest {
            plan: plan(&["note", "name"]),
            ..to(typed)
        })
        .await
        .unwrap();
    let verdict = broken.verdict.unwrap();
    assert_eq!(
        (verdict.verdict.as_str(), verdict.records_changed),
        ("breaking", 4)
    );
    let page = desk.list(of("licence")).await.unwrap();
    assert!(
        page.data
            .iter()
            .all(|record| value(record, "name").is_null() && !value(record, "seats").is_null())
    );

    let request = crm::ListObjectSchemasRequest {
        object: "licence".into(),
        limit: Some(3),
        ..Default::default()
    };
    let page = desk
        .objects
        .clone()
        .list_object_schemas(desk.caller.asks(request))
        .await
        .unwrap()
        .into_inner();
    let versions: Vec<_> = page
        .data
        .iter()
        .map(|schema| (schema.schema_version, schema.verdict.as_str()))
        .collect();
    assert_eq!(
        versions,
        [(5, "breaking"), (4, "needs_backfill"), (3, "compatible")]
    );
    assert!(page.has_more);
    let stale = crm::UpdateObjectRequest {
        if_version: Some(1),
        label: Some("x".into()),
        ..to(vec![])
    };
    assert_eq!(
        desk.change(stale).await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    let gone = crm::DeleteObjectRequest {
        object: "licence".into(),
        ..Default::default()
    };
    assert_eq!(
        failure(
            desk.objects
                .clone()
                .delete_object(desk.caller.asks(gone.clone()))
                .await
        )
        .1,
        "conflict"
    );
    for record in desk.list(of("licence")).await.unwrap().data {
        let request = crm::DeleteRecordRequest {
            object: "licence".into(),
            record_id: record.id,
            ..Default::default()
        };
        desk.records
            .clone()
            .delete_record(desk.caller.asks(request))
            .await
            .unwrap();
    }
    desk.objects
        .clone()
        .delete_object(desk.caller.asks(gone))
        .await
        .unwrap();
    assert_eq!(desk.list(of("licence")).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn an_organizations_objects_are_nobody_elses_and_members_cannot_change_their_fields() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let (ours, theirs) = (
        Desk::new(&world, &served, new_org()),
        Desk::new(&world, &served, new_org()),
    );
    ours.create("licence", licence()).await.unwrap();
    theirs.create("licence", licence()).await.unwrap();
    let record = ours
        .add("licence", json!({"name": "secret", "code": "AB-1"}))
        .await
        .unwrap();
    theirs
        .add("licence", json!({"name": "own", "code": "AB-1"}))
        .await
        .unwrap();
    let get = crm::GetRecordRequest {
        object: "licence".into(),
        record_id: record.id.clone(),
    };
    let foreign = failure(theirs.records.clone().get_record(theirs.caller.asks(get)).await);
    let nobody = crm::GetRecordRequest {
        object: "licence".into(),
        record_id: new_id().to_string(),
    };
    assert_eq!(
        foreign,
        failure(
            theirs
                .records
                .clone()
                .get_record(theirs.caller.asks(nobody))
                .await
        )
    );
    let change = crm::UpdateRecordRequest {
        object: "licence".into(),
        record_id: record.id,
        values: given(json!({"seats": 1})),
        ..Default::default()
    };
    assert_eq!(
        failure(
            theirs
                .records
                .clone()
                .update_record(theirs.caller.asks(change))
                .await
        ),
        foreign
    );
    assert_eq!(theirs.names(of("licence")).await, ["own"]);
    assert!(found(&theirs.caller, &served, "secret").await.is_empty());
    let member = theirs.caller.clone().role(Role::Member);
    let request = crm::CreateObjectRequest {
        key: "mine".into(),
        ..Default::default()
    };
    assert_eq!(
        failure(theirs.objects.clone().create_object(member.asks(request)).await).0,
        Code::PermissionDenied
    );
    let viewer = theirs.caller.clone().role(Role::Viewer);
    let request = crm::CreateRecordRequest {
        object: "licence".into(),
        values: given(json!({"name": "x"})),
        dry_run: None,
    };
    assert_eq!(
        failure(theirs.records.clone().create_record(viewer.asks(request)).await).0,
        Code::PermissionDenied
    );
}

#[tokio::test]
async fn the_document_describes_each_object_with_its_fields() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let desk = Desk::new(&world, &served, new_org());
    desk.create("trial_seat", licence()).await.unwrap();
    let request = desk.caller.asks(crm::GetObjectsDocumentRequest {});
    let document = desk
        .objects
        .clone()
        .get_objects_document(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(document.openapi, "3.1.0");
    let paths = convert::from_struct(document.paths.as_ref().unwrap());
    let at = "/api/v1/objects/trial_seat/records";
    assert!(paths.contains_key(&format!("{at}/{{recordId}}")), "{paths:?}");
    assert_eq!(
        paths[at]["put"]["parameters"][0]["schema"]["enum"],
        json!(["code"])
    );
    let components = convert::from_struct(document.components.as_ref().unwrap());
    let values = &components["schemas"]["TrialSeatValues"];
    assert_eq!(values["required"], json!(["name"]));
    assert_eq!(values["properties"]["plan"]["enum"], json!(["free", "pro"]));
    assert_eq!(
        values["properties"]["code"]["pattern"],
        json!("^(?:[A-Z]{2}-[0-9]+)$")
    );
}
