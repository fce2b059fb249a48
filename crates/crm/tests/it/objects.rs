//! Custom objects: their fields, what changes of them mean, and their records.

use std::collections::HashMap;

use contracts::convert;
use contracts::crm::v1 as crm;
use contracts::crm::v1::object_service_client::ObjectServiceClient;
use contracts::crm::v1::record_service_client::RecordServiceClient;
use errors::ApiError;
use ids::OrgId;
use rpc::Role;
use serde_json::{Map, Value, json};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use crate::by_hand::{account, create_account};
use crate::harness::{As, Served, World, failure, new_id, new_org};
use crate::search::found;

pub struct Desk<'a> {
    pub caller: As<'a>,
    pub objects: ObjectServiceClient<Channel>,
    pub records: RecordServiceClient<Channel>,
}

impl<'a> Desk<'a> {
    pub fn new(world: &'a World, served: &Served, org: OrgId) -> Self {
        Self {
            caller: world.caller(org).role(Role::Admin),
            objects: ObjectServiceClient::new(served.channel.clone()),
            records: RecordServiceClient::new(served.channel.clone()),
        }
    }

    pub async fn create(
        &self,
        key: &str,
        fields: Vec<crm::ObjectField>,
    ) -> Result<Response<crm::CreateObjectResponse>, Status> {
        let request = crm::CreateObjectRequest {
            key: key.into(),
            fields,
            ..crm::CreateObjectRequest::default()
        };
        self.objects
            .clone()
            .create_object(self.caller.asks(request))
            .await
    }

    pub async fn change(
        &self,
        request: crm::UpdateObjectRequest,
    ) -> Result<crm::UpdateObjectResponse, Status> {
        let answer = self
            .objects
            .clone()
            .update_object(self.caller.asks(request))
            .await;
        answer.map(Response::into_inner)
    }

    pub async fn add(&self, object: &str, values: Value) -> Result<crm::ObjectRecord, Status> {
        let request = crm::CreateRecordRequest {
            object: object.into(),
            values: given(values),
            dry_run: None,
        };
        let answer = self
            .records
            .clone()
            .create_record(self.caller.asks(request))
            .await;
        answer.map(|answer| answer.into_inner().record.unwrap())
    }

    pub async fn list(&self, request: crm::ListRecordsRequest) -> Result<crm::ListRecordsResponse, Status> {
        let answer = self.records.clone().list_records(self.caller.asks(request)).await;
        answer.map(Response::into_inner)
    }

    pub async fn names(&self, request: crm::ListRecordsRequest) -> Vec<String> {
        let page = self.list(request).await.unwrap();
        page.data
            .iter()
            .map(|record| value(record, "name").as_str().unwrap().to_owned())
            .collect()
    }
}

pub fn given(values: Value) -> Option<prost_types::Struct> {
    Some(convert::to_struct(values.as_object().unwrap().clone()))
}

pub fn value(record: &crm::ObjectRecord, key: &str) -> Value {
    let values: Map<String, Value> = convert::from_struct(record.values.as_ref().unwrap());
    values.get(key).cloned().unwrap_or_default()
}

pub fn field(key: &str, kind: &str) -> crm::ObjectField {
    crm::ObjectField {
        key: key.into(),
        r#type: kind.into(),
        ..crm::ObjectField::default()
    }
}

pub fn licence() -> Vec<crm::ObjectField> {
    vec![
        crm::ObjectField {
            required: Some(true),
            ..field("name", "text")
        },
        crm::ObjectField {
            unique: Some(true),
            pattern: Some("[A-Z]{2}-[0-9]+".into()),
            ..field("code", "text")
        },
        field("seats", "number"),
        crm::ObjectField {
            options: vec!["free".into(), "pro".into()],
            default_value: Some(convert::to_value(json!("free"))),
            ..field("plan", "enum")
        },
        field("until", "date"),
        field("links", "list"),
        crm::ObjectField {
            reference_object: Some("account".into()),
            ..field("customer", "reference")
        },
    ]
}

pub fn of(object: &str) -> crm::ListRecordsRequest {
    crm::ListRecordsRequest {
        object: object.into(),
        ..crm::ListRecordsRequest::default()
    }
}

/// The pointers and codes of an error.
pub fn told(status: &Status) -> Vec<(String, String)> {
    let fields = ApiError::from_status(status).fields;
    let mut told: Vec<_> = fields
        .into_iter()
        .map(|field| (field.pointer, field.code))
        .collect();
    told.sort();
    told
}

pub fn pairs<const N: usize>(expected: [(&str, &str); N]) -> Vec<(String, String)> {
    let mut pairs = expected.map(|(p, c)| (p.to_owned(), c.to_owned())).to_vec();
    pairs.sort();
    pairs
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn records_are_checked_kept_found_filtered_and_sorted() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let desk = Desk::new(&world, &served, org);
    desk.create("licence", licence()).await.unwrap();
    let bad = desk
        .add("licence", json!({"code": "x", "seats": "many", "plan": "huge", "until": "x", "links": ["a", 1], "customer": new_id(), "no": 1}))
        .await
        .unwrap_err();
    let expected = [
        ("/values/name", "required"),
        ("/values/code", "pattern_mismatch"),
        ("/values/seats", "not_a_number"),
        ("/values/plan", "unknown_option"),
        ("/values/until", "invalid_date"),
        ("/values/links/1", "not_a_string"),
        ("/values/no", "unknown_field"),
    ];
    assert_eq!(told(&bad), pairs(expected));
    let nobody = desk
        .add("licence", json!({"name": "n", "customer": new_id()}))
        .await
        .unwrap_err();
    assert_eq!(told(&nobody), pairs([("/values/customer", "not_found")]));

    let company = create_account(&world, &served, org, account("acme.com")).await;
    for (n, seats) in [5.0, -2.0, 100.0, 0.5].into_iter().enumerate() {
        world.tick();
        let values = json!({"name": format!("L{n}"), "code": format!("AB-{n}"), "seats": seats, "customer": company.id,
            "links": ["all", format!("l{n}")], "plan": if n == 0 { "pro" } else { "free" }});
        desk.add("licence", values).await.unwrap();
    }
    world.tick();
    let bare = desk.add("licence", json!({"name": "bare"})).await.unwrap();
    assert_eq!(
        (value(&bare, "plan"), bare.object.as_str()),
        (json!("free"), "licence")
    );
    assert!(bare.created_by.starts_with("user:"));

    assert_eq!(desk.names(of("licence")).await, ["bare", "L3", "L2", "L1", "L0"]);
    let sorted = |sort: &str| crm::ListRecordsRequest {
        sort: Some(sort.into()),
        limit: Some(3),
        ..of("licence")
    };
    let first = desk.list(sorted("-seats")).await.unwrap();
    let rest = desk
        .names(crm::ListRecordsRequest {
            cursor: first.next_cursor,
            ..sorted("-seats")
        })
        .await;
    let first: Vec<Value> = first.data.iter().map(|record| value(record, "name")).collect();
    assert_eq!(
        (first, rest),
        (vec![json!("L2"), json!("L0"), json!("L3")], vec!["L1".to_owned()])
    );
    let filtered = |filter: &[(&str, &str)]| crm::ListRecordsRequest {
        filter: filter
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect::<HashMap<_, _>>(),
        sort: Some("name".into()),
        ..of("licence")
    };
    assert_eq!(
        desk.names(filtered(&[("plan", "free"), ("links", "all")])).await,
        ["L1", "L2", "L3"]
    );
    assert_eq!(
        desk.names(filtered(&[("customer", &company.id), ("seats", "5")]))
            .await,
        ["L0"]
    );
    let full = |filter: Value| crm::ListRecordsRequest {
        sort: Some("name".into()),
        r#where: given(filter),
        ..of("licence")
    };
    for (filter, expected) in [
        (json!({"seats": {"$gt": 0.5, "$lte": 100}}), vec!["L0", "L2"]),
        (json!({"seats": {"$between": [-5, 1]}}), vec!["L1", "L3"]),
        (
            json!({"$or": [{"code": "AB-1"}, {"plan": {"$in": ["pro"]}}]}),
            vec!["L0", "L1"],
        ),
        (json!({"seats": {"$exists": false}}), vec!["bare"]),
        (json!({"plan": {"$ne": "free"}}), vec!["L0"]),
        (
            json!({"name": {"$startsWith": "L", "$contains": "2"}}),
            vec!["L2"],
        ),
        (
            json!({"createdBy": {"$exists": true}, "name": "bare"}),
            vec!["bare"],
        ),
        (json!({"links": "l3"}), vec!["L3"]),
    ] {
        assert_eq!(desk.names(full(filter.clone())).await, expected, "{filter}");
    }
    for (request, code) in [
        (full(json!({"seats": {"$contains": "1"}})), "not_text"),
        (full(json!({"seats": "5"})), "invalid"),
        (full(json!({"nothing": 1})), "unknown_field"),
        (sorted("links"), "unknown"),
        (sorted("nothing"), "unknown"),
        (filtered(&[("nothing", "x")]), "unknown"),
        (filtered(&[("object#", "x")]), "unknown"),
        (filtered(&[("seats", "many")]), "invalid"),
    ] {
        let refused = desk.list(request.clone()).await.unwrap_err();
        assert_eq!(told(&refused)[0].1, code, "{request:?}");
    }
    let hit = &found(&desk.caller, &served, "ab-2").await[0];
    assert_eq!(
        (hit.r#type.as_str(), hit.object.as_deref(), hit.title.as_str()),
        ("record", Some("licence"), "L2")
    );
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn a_record_is_changed_upserted_and_deleted_by_the_conventions() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let desk = Desk::new(&world, &served, new_org());
    desk.create("licence", licence()).await.unwrap();
    let mut records = desk.records.clone();
    let upsert = |values: Value, matching: &str| {
        let request = crm::UpsertRecordRequest {
            object: "licence".into(),
            r#match: matching.into(),
            values: given(values),
            dry_run: None,
        };
        desk.caller.asks(request)
    };
    let mut outcomes = Vec::new();
    for name in ["a", "a", "b"] {
        let answer = records
            .upsert_record(upsert(json!({"name": name, "code": "AB-1"}), "code"))
            .await;
        let answer = answer.unwrap().into_inner();
        outcomes.push((answer.outcome, answer.record.unwrap()));
    }
    let words: Vec<&str> = outcomes.iter().map(|(word, _)| word.as_str()).collect();
    assert_eq!(words, ["created", "noop", "updated"]);
    let record = outcomes.pop().unwrap().1;
    assert_eq!(record.version, 2);
    for (values, matching, expected) in [
        (json!({"name": "x"}), "code", ("/values/code", "required")),
        (
            json!({"name": "x", "code": "AB-1"}),
            "name",
            ("/match", "unknown"),
        ),
        (
            json!({"name": "x", "code": "?"}),
            "code",
            ("/values/code", "pattern_mismatch"),
        ),
    ] {
        let refused = records.upsert_record(upsert(values, matching)).await.unwrap_err();
        assert_eq!(told(&refused), pairs([expected]));
    }
    let change = |values: Value, if_version: Option<i64>, dry_run: Option<bool>| {
        let (object, record_id) = ("licence".to_owned(), record.id.clone());
        desk.caller.asks(crm::UpdateRecordRequest {
            object,
            record_id,
            values: given(values),
            if_version,
            dry_run,
        })
    };
    let stale = records
        .update_record(change(json!({"seats": 1}), Some(1), None))
        .await;
    assert_eq!(failure(stale).1, "precondition_failed");
    let tried = records
        .update_record(change(json!({"seats": 1}), Some(2), Some(true)))
        .await
        .unwrap();
    assert_eq!(value(&tried.into_inner().record.unwrap(), "seats"), json!(1));
    let needed = records
        .update_record(change(json!({"name": null}), None, None))
        .await
        .unwrap_err();
    assert_eq!(told(&needed), pairs([("/values/name", "required")]));
    let get = crm::GetRecordRequest {
        object: "licence".into(),
        record_id: record.id.clone(),
    };
    let kept = records
        .get_record(desk.caller.asks(get.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(kept.record.unwrap(), record, "a dry run changed nothing");
    let gone = crm::DeleteRecordRequest {
        object: "licence".into(),
        record_id: record.id.clone(),
        ..Default::default()
    };
    records.delete_record(desk.caller.asks(gone)).await.unwrap();
    assert_eq!(
        failure(records.get_record(desk.caller.asks(get)).await).0,
        Code::NotFound
    );
    // What was unique can be taken again.
    desk.add("licence", json!({"name": "c", "code": "AB-1"}))
        .await
        .unwrap();
}

#[tokio::test]
async fn fields_that_make_no_sense_are_refused_at_their_places() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let desk = Desk::new(&world, &served, new_org());
    let fields = vec![
        field("Bad Key", "text"),
        field("kind", "number!"),
        field("plan", "enum"),
        crm::ObjectField {
            unique: Some(true),
            ..field("flag", "bool")
        },
        crm::ObjectField {
            pattern: Some("(".into()),
            ..field("broken", "text")
        },
        field("who", "reference"),
        crm::ObjectField {
            default_value: Some(convert::to_value(json!("x"))),
            ..field("seats", "number")
        },
        field("twice", "text"),
        field("twice", "text"),
    ];
    let refused = desk.create("licence", fields).await.unwrap_err();
    let expected = [
        ("/fields/0/key", "invalid_key"),
        ("/fields/1/type", "unknown_value"),
        ("/fields/2/options", "required"),
        ("/fields/3/unique", "not_allowed"),
        ("/fields/4/pattern", "invalid_pattern"),
        ("/fields/5/referenceObject", "required"),
        ("/fields/6/defaultValue", "not_a_number"),
        ("/fields/8/key", "repeated"),
    ];
    assert_eq!(told(&refused), pairs(expected));
    for key in ["", "Big", "openapi", "batch", "account"] {
        assert_eq!(
            told(&desk.create(key, vec![]).await.unwrap_err())[0].0,
            "/key",
            "{key}"
        );
    }
    let lost = crm::ObjectField {
        reference_object: Some("ghost".into()),
        ..field("who", "reference")
    };
    let refused = desk.create("licence", vec![lost]).await.unwrap_err();
    assert_eq!(
        told(&refused),
        pairs([("/fields/0/referenceObject", "not_found")])
    );
    let itself = crm::ObjectField {
        reference_object: Some("part".into()),
        ..field("parent", "reference")
    };
    desk.create("part", vec![itself]).await.unwrap();
    assert_eq!(failure(desk.create("part", vec![]).await).1, "conflict");
    let parent = desk.add("part", json!({})).await.unwrap();
    desk.add("part", json!({"parent": parent.id})).await.unwrap();
    desk.create("licence", licence()).await.unwrap();
    let licence = desk.add("licence", json!({"name": "l"})).await.unwrap();
    let refused = desk.add("part", json!({"parent": licence.id})).await.unwrap_err();
    assert_eq!(told(&refused), pairs([("/values/parent", "not_found")]));
}
