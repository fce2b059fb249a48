//! Deals: stages, history, the rule that moves them, influencing signals, custom fields, tags, work about them.

use std::collections::HashMap;

use contracts::convert;
use contracts::crm::v1 as crm;
use contracts::crm::v1::activity_service_client::ActivityServiceClient;
use contracts::crm::v1::custom_field_service_client::CustomFieldServiceClient;
use contracts::crm::v1::deal_service_client::DealServiceClient;
use contracts::crm::v1::note_service_client::NoteServiceClient;
use contracts::crm::v1::pipeline_service_client::PipelineServiceClient;
use contracts::crm::v1::tag_service_client::TagServiceClient;
use contracts::crm::v1::task_service_client::TaskServiceClient;
use contracts::events::v1 as events;
use contracts::signals::v1::Signal;
use ids::{Clock as _, OrgId};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tonic::Code;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::by_hand::{account, contact, create_account, create_contact, list_of};
use crate::harness::{Served, World, discovered, failure, identified, linked, new_id, new_org};
use crate::signals_fake::{FakeSignals, signal};

fn deals(served: &Served) -> DealServiceClient<Channel> {
    DealServiceClient::new(served.channel.clone())
}

fn deal(name: &str) -> crm::CreateDealRequest {
    crm::CreateDealRequest {
        name: Some(name.to_owned()),
        ..crm::CreateDealRequest::default()
    }
}

async fn create(world: &World, served: &Served, org: OrgId, request: crm::CreateDealRequest) -> crm::Deal {
    let answer = deals(served).create_deal(world.caller(org).asks(request)).await;
    answer.unwrap().into_inner().deal.unwrap()
}

async fn read(world: &World, served: &Served, org: OrgId, id: &str) -> crm::Deal {
    let request = crm::GetDealRequest { deal_id: id.to_owned() };
    let answer = deals(served).get_deal(world.caller(org).asks(request)).await;
    answer.unwrap().into_inner().deal.unwrap()
}

async fn moves(world: &World, served: &Served, org: OrgId, id: &str) -> Vec<crm::DealMove> {
    let request = crm::ListDealMovesRequest {
        deal_id: id.to_owned(),
        ..crm::ListDealMovesRequest::default()
    };
    let answer = deals(served).list_deal_moves(world.caller(org).asks(request)).await;
    answer.unwrap().into_inner().data
}

fn recorded(account: Uuid, kind: &str) -> events::SignalsRecorded {
    events::SignalsRecorded {
        signals: vec![Signal {
            id: new_id().to_string(),
            r#type: kind.to_owned(),
            account_id: Some(account.to_string()),
            ..Signal::default()
        }],
        ..events::SignalsRecorded::default()
    }
}

fn stage(deal: &crm::Deal, stage: &str) -> crm::UpdateDealRequest {
    crm::UpdateDealRequest {
        deal_id: deal.id.clone(),
        stage: Some(stage.to_owned()),
        ..crm::UpdateDealRequest::default()
    }
}

#[tokio::test]
async fn a_deal_follows_its_account_forward_and_never_past_expansion_without_a_person() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let (org, company) = (new_org(), new_id());
    world.tell(org, &discovered(company, 1, "acme.com")).await;
    let request = crm::CreateDealRequest {
        account_id: Some(company.to_string()),
        ..deal("Acme")
    };
    let made = create(&world, &served, org, request).await;
    assert_eq!((made.stage.as_str(), made.status.as_str()), ("anonymous_usage", "open"));

    let person = new_id();
    world.tick();
    world.tell(org, &identified(person, 1, "a@acme.com")).await;
    world.tell(org, &linked(person, company)).await;
    assert_eq!(read(&world, &served, org, &made.id).await.stage, "identified");

    world.tick();
    world.tell(org, &recorded(company, "page_view")).await;
    assert_eq!(read(&world, &served, org, &made.id).await.stage, "identified");
    let activation = recorded(company, "package_install");
    let envelope = world.tell(org, &activation).await;
    for _ in 0..3 {
        world.deliver(envelope.clone()).await.unwrap();
    }
    assert_eq!(read(&world, &served, org, &made.id).await.stage, "activated");

    world.tick();
    for n in 0..2 {
        let person = new_id();
        world.tell(org, &identified(person, 1, &format!("p{n}@acme.com"))).await;
        world.tell(org, &linked(person, company)).await;
    }
    assert_eq!(read(&world, &served, org, &made.id).await.stage, "team_adoption");

    world.tick();
    let expansion = events::AccountExpansionSignal {
        account_id: company.to_string(),
        limit_ratio: 0.93,
        signal_ids: vec![],
    };
    world.tell(org, &expansion).await;
    let now = read(&world, &served, org, &made.id).await;
    assert_eq!(now.stage, "expansion_signal");

    let history = moves(&world, &served, org, &made.id).await;
    let seen: Vec<_> = history.iter().map(|m| (m.to_stage.as_str(), m.moved_by.as_str())).collect();
    let by = "user:00000000-0000-0000-0000-000000000001";
    let expected = [
        ("expansion_signal", "rule"),
        ("team_adoption", "rule"),
        ("activated", "rule"),
        ("identified", "rule"),
        ("anonymous_usage", by),
    ];
    assert_eq!(seen, expected);
    assert!(history.iter().take(4).all(|m| !m.reason.is_empty()), "{history:?}");
    assert_eq!(world.told::<events::DealStageChanged>(org).await.len(), 4);
}

#[tokio::test]
async fn what_a_person_moved_back_stays_there_when_events_come_again() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let (org, company) = (new_org(), new_id());
    world.tell(org, &discovered(company, 1, "acme.com")).await;
    let envelope = world.tell(org, &recorded(company, "api_call")).await;
    let request = crm::CreateDealRequest {
        account_id: Some(company.to_string()),
        ..deal("Acme")
    };
    let made = create(&world, &served, org, request).await;
    assert_eq!(made.stage, "activated", "a new deal begins where its account is");
    assert!(moves(&world, &served, org, &made.id).await[0].reason.contains("api_call"));
    let back = deals(&served)
        .update_deal(world.caller(org).asks(stage(&made, "anonymous_usage")))
        .await;
    assert_eq!(back.unwrap().into_inner().deal.unwrap().stage, "anonymous_usage");
    world.deliver(envelope).await.unwrap();
    world.tell(org, &recorded(company, "deploy")).await;
    assert_eq!(read(&world, &served, org, &made.id).await.stage, "anonymous_usage");
}

#[tokio::test]
async fn closing_needs_a_reason_where_it_is_lost_and_is_told() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let made = create(&world, &served, org, deal("Acme")).await;
    let lost = deals(&served)
        .update_deal(world.caller(org).asks(stage(&made, "closed_lost")))
        .await;
    assert_eq!(failure(lost).2, [("/closeReason".to_owned(), "required".to_owned())]);
    let lost = crm::UpdateDealRequest {
        close_reason: Some("price".into()),
        ..stage(&made, "closed_lost")
    };
    let lost = deals(&served).update_deal(world.caller(org).asks(lost)).await.unwrap();
    let lost = lost.into_inner().deal.unwrap();
    assert_eq!((lost.status.as_str(), lost.close_reason.as_deref()), ("lost", Some("price")));
    assert!(lost.closed_at.is_some());
    let told: Vec<events::DealClosed> = world.told(org).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].outcome, "lost");
    // Opened again, the reason is gone.
    let open = deals(&served)
        .update_deal(world.caller(org).asks(stage(&made, "negotiation")))
        .await;
    let open = open.unwrap().into_inner().deal.unwrap();
    assert_eq!((open.status.as_str(), open.close_reason, open.closed_at), ("open", None, None));
}

#[tokio::test]
async fn two_who_move_a_deal_of_one_version_have_one_winner() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let made = create(&world, &served, org, deal("Acme")).await;
    let calls = (0..20).map(|n| {
        let mut client = deals(&served);
        let request = crm::UpdateDealRequest {
            if_version: Some(made.version),
            ..stage(&made, if n % 2 == 0 { "negotiation" } else { "activated" })
        };
        let request = world.caller(org).asks(request);
        async move { client.update_deal(request).await }
    });
    let answers = futures::future::join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(moves(&world, &served, org, &made.id).await.len(), 2);
}

#[tokio::test]
async fn bad_deals_are_refused_at_their_places() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let bad = crm::CreateDealRequest {
        account_id: Some("x".into()),
        amount: Some(crm::Money {
            currency: "euro".into(),
            units: -1,
            nanos: 0,
        }),
        expected_close_on: Some("soon".into()),
        contact_ids: list_of(&["y"]),
        ..crm::CreateDealRequest::default()
    };
    let answer = deals(&served).create_deal(world.caller(org).asks(bad)).await;
    let (_, _, mut fields) = failure(answer);
    fields.sort();
    let expected = [
        ("/accountId", "invalid_id"),
        ("/amount", "invalid_amount"),
        ("/contactIds/0", "invalid_id"),
        ("/expectedCloseOn", "invalid_date"),
        ("/name", "required"),
    ];
    assert_eq!(fields, expected.map(|(p, c)| (p.to_owned(), c.to_owned())));
    for (request, place) in [
        (crm::CreateDealRequest { stage: Some("nowhere".into()), ..deal("x") }, "/stage"),
        (crm::CreateDealRequest { pipeline_id: Some(new_id().to_string()), ..deal("x") }, "/pipelineId"),
        (crm::CreateDealRequest { account_id: Some(new_id().to_string()), ..deal("x") }, "/accountId"),
        (crm::CreateDealRequest { contact_ids: list_of(&[&new_id().to_string()]), ..deal("x") }, "/contactIds/0"),
    ] {
        let answer = deals(&served).create_deal(world.caller(org).asks(request)).await;
        assert_eq!(failure(answer).2, [(place.to_owned(), "not_found".to_owned())]);
    }
}

#[tokio::test]
async fn pipelines_keep_their_rules() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let mut pipelines = PipelineServiceClient::new(served.channel.clone());
    let list = pipelines
        .list_pipelines(world.caller(org).asks(crm::ListPipelinesRequest::default()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(list.data.len(), 1);
    let keys: Vec<_> = list.data[0].stages.iter().map(|s| s.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "anonymous_usage", "identified", "activated", "team_adoption", "expansion_signal", "sales_qualified",
            "negotiation", "closed_won", "closed_lost"
        ]
    );
    let input = |key: &str, kind: &str| crm::StageInput {
        key: key.to_owned(),
        kind: kind.to_owned(),
        ..crm::StageInput::default()
    };
    let stages = vec![input("new", "open"), input("won", "won"), input("lost", "lost")];
    let made = pipelines
        .create_pipeline(world.caller(org).asks(crm::CreatePipelineRequest {
            name: "Partners".into(),
            stages: stages.clone(),
            dry_run: None,
        }))
        .await
        .unwrap()
        .into_inner()
        .pipeline
        .unwrap();
    let in_it = create(
        &world,
        &served,
        org,
        crm::CreateDealRequest {
            pipeline_id: Some(made.id.clone()),
            ..deal("P")
        },
    )
    .await;
    assert_eq!(in_it.stage, "new");
    let without = crm::UpdatePipelineRequest {
        pipeline_id: made.id.clone(),
        stages: vec![input("first", "open"), input("won", "won"), input("lost", "lost")],
        ..crm::UpdatePipelineRequest::default()
    };
    let refused = failure(pipelines.update_pipeline(world.caller(org).asks(without)).await);
    assert_eq!(refused.2, [("/stages".to_owned(), "in_use".to_owned())]);
    let delete = |id: &str| {
        world.caller(org).asks(crm::DeletePipelineRequest {
            pipeline_id: id.to_owned(),
            ..crm::DeletePipelineRequest::default()
        })
    };
    assert_eq!(failure(pipelines.delete_pipeline(delete(&made.id)).await).0, Code::AlreadyExists);
    assert_eq!(failure(pipelines.delete_pipeline(delete(&list.data[0].id)).await).0, Code::AlreadyExists);
}

#[tokio::test]
async fn the_signals_before_moves_influenced_a_deal_page_by_page() {
    let world = World::new().await;
    let fake = FakeSignals::default();
    let url = fake.serve(&world).await;
    let served = world.serve(&url).await;
    let (org, company) = (new_org(), new_id());
    world.tell(org, &discovered(company, 1, "acme.com")).await;
    let now = world.clock.now();
    let ago = |hours: i64| now.checked_sub(SignedDuration::from_hours(hours)).unwrap();
    let inside: Vec<Uuid> = (1..=7).map(|_| new_id()).collect();
    for (n, id) in (1_i64..).zip(&inside) {
        fake.add(org, company, signal(*id, ago(n * 24), None));
    }
    fake.add(org, company, signal(new_id(), ago(91 * 24), None));
    let request = crm::CreateDealRequest {
        account_id: Some(company.to_string()),
        ..deal("Acme")
    };
    let made = create(&world, &served, org, request).await;
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let request = crm::ListDealSignalsRequest {
            deal_id: made.id.clone(),
            limit: Some(3),
            cursor,
        };
        let page = deals(&served).list_deal_signals(world.caller(org).asks(request)).await;
        let page = page.unwrap().into_inner();
        seen.extend(page.data.into_iter().map(|signal| signal.id));
        cursor = page.next_cursor;
        if !page.has_more {
            break;
        }
    }
    assert_eq!(seen, inside.iter().map(ToString::to_string).collect::<Vec<_>>());
}

fn fields(served: &Served) -> CustomFieldServiceClient<Channel> {
    CustomFieldServiceClient::new(served.channel.clone())
}

async fn define(world: &World, served: &Served, org: OrgId, key: &str, kind: &str) -> crm::CustomField {
    let request = crm::CreateCustomFieldRequest {
        object: "deal".into(),
        key: key.into(),
        r#type: kind.into(),
        options: if kind == "enum" { vec!["small".into(), "big".into()] } else { vec![] },
        unique: key == "code",
        pattern: if key == "code" { "[A-Z]{3}".into() } else { String::new() },
        ..crm::CreateCustomFieldRequest::default()
    };
    let answer = fields(served).create_custom_field(world.caller(org).asks(request)).await;
    answer.unwrap().into_inner().custom_field.unwrap()
}

fn values(value: Value) -> Option<prost_types::Struct> {
    Some(convert::to_struct(value.as_object().unwrap().clone()))
}

#[tokio::test]
async fn own_fields_are_checked_kept_filtered_sorted_and_unique() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    for (key, kind) in [("seats", "number"), ("size", "enum"), ("code", "text"), ("until", "date"), ("links", "list")] {
        define(&world, &served, org, key, kind).await;
    }
    let bad = crm::CreateDealRequest {
        custom_fields: values(json!({"seats": "many", "size": "huge", "code": "abc", "until": "x", "links": ["a", 1], "no": 1})),
        ..deal("bad")
    };
    let (_, _, mut problems) = failure(deals(&served).create_deal(world.caller(org).asks(bad)).await);
    problems.sort();
    let expected = [
        ("/customFields/code", "pattern_mismatch"),
        ("/customFields/links/1", "not_a_string"),
        ("/customFields/no", "unknown_field"),
        ("/customFields/seats", "not_a_number"),
        ("/customFields/size", "unknown_option"),
        ("/customFields/until", "invalid_date"),
    ];
    assert_eq!(problems, expected.map(|(p, c)| (p.to_owned(), c.to_owned())));

    for (n, seats) in [5.0, -2.0, 100.0, 0.5].into_iter().enumerate() {
        let request = crm::CreateDealRequest {
            custom_fields: values(json!({"seats": seats, "size": if n == 0 { "big" } else { "small" }, "links": ["a", format!("l{n}")]})),
            ..deal(&format!("d{n}"))
        };
        create(&world, &served, org, request).await;
    }
    create(&world, &served, org, deal("none")).await;
    let list = |sort: &str, filter: &[(&str, &str)], limit: i32, cursor: Option<String>| {
        let filter: HashMap<String, String> = filter.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        world.caller(org).asks(crm::ListDealsRequest {
            sort: Some(sort.to_owned()),
            filter,
            limit: Some(limit),
            cursor,
            ..crm::ListDealsRequest::default()
        })
    };
    let mut names = Vec::new();
    let mut cursor = None;
    loop {
        let page = deals(&served).list_deals(list("custom.seats", &[], 3, cursor)).await.unwrap().into_inner();
        names.extend(page.data.into_iter().map(|deal| deal.name));
        cursor = page.next_cursor;
        if !page.has_more {
            break;
        }
    }
    assert_eq!(names, ["d1", "d3", "d0", "d2"], "deals without a value are left out");
    for (filter, count) in [
        (&[("custom.size", "small")][..], 3),
        (&[("custom.links", "a"), ("custom.size", "big")][..], 1),
        (&[("custom.seats", "100")][..], 1),
        (&[("custom.links", "nobody")][..], 0),
    ] {
        let page = deals(&served).list_deals(list("name", filter, 50, None)).await.unwrap();
        assert_eq!(page.into_inner().data.len(), count, "{filter:?}");
    }
    for (sort, filter) in [("custom.nothing", &[][..]), ("name", &[("custom.nothing", "x")][..]), ("name", &[("custom#1", "x")][..])] {
        let refused = failure(deals(&served).list_deals(list(sort, filter, 50, None)).await);
        assert_eq!(refused.1, "invalid_parameter");
    }
}

#[tokio::test]
async fn a_unique_value_has_one_owner_among_many_at_once() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    define(&world, &served, org, "code", "text").await;
    let calls = (0..20).map(|n| {
        let mut client = deals(&served);
        let request = world.caller(org).asks(crm::CreateDealRequest {
            custom_fields: values(json!({"code": "ABC"})),
            ..deal(&format!("d{n}"))
        });
        async move { client.create_deal(request).await }
    });
    let answers = futures::future::join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let refused = answers.into_iter().find(Result::is_err).unwrap();
    assert_eq!(failure(refused).2, [("/customFields/code".to_owned(), "not_unique".to_owned())]);
}

#[tokio::test]
async fn work_shows_in_the_timelines_of_what_it_is_about_and_follows_changes() {
    let world = World::new().await;
    let fake = FakeSignals::default();
    let url = fake.serve(&world).await;
    let served = world.serve(&url).await;
    let org = new_org();
    let company = create_account(&world, &served, org, account("acme.com")).await;
    let person = create_contact(&world, &served, org, contact("jane@acme.com")).await;
    fake.add(org, person.id.parse().unwrap(), signal(new_id(), world.clock.now(), Some("jane@acme.com")));
    let made = create(
        &world,
        &served,
        org,
        crm::CreateDealRequest { account_id: Some(company.id.clone()), ..deal("Acme") },
    )
    .await;
    let mut notes = NoteServiceClient::new(served.channel.clone());
    let mut tasks = TaskServiceClient::new(served.channel.clone());
    let mut activities = ActivityServiceClient::new(served.channel.clone());
    world.tick();
    let note = notes
        .create_note(world.caller(org).asks(crm::CreateNoteRequest {
            body: Some("# First\nline".into()),
            account_id: Some(company.id.clone()),
            deal_id: Some(made.id.clone()),
            ..crm::CreateNoteRequest::default()
        }))
        .await
        .unwrap()
        .into_inner()
        .note
        .unwrap();
    world.tick();
    activities
        .create_activity(world.caller(org).asks(crm::CreateActivityRequest {
            r#type: Some("call".into()),
            subject: Some("Intro".into()),
            contact_id: Some(person.id.clone()),
            deal_id: Some(made.id.clone()),
            ..crm::CreateActivityRequest::default()
        }))
        .await
        .unwrap();
    world.tick();
    let task = tasks
        .create_task(world.caller(org).asks(crm::CreateTaskRequest {
            title: Some("Send offer".into()),
            deal_id: Some(made.id.clone()),
            ..crm::CreateTaskRequest::default()
        }))
        .await
        .unwrap()
        .into_inner()
        .task
        .unwrap();
    world.tick();
    for _ in 0..2 {
        let done = tasks
            .complete_task(world.caller(org).asks(crm::CompleteTaskRequest {
                task_id: task.id.clone(),
                ..crm::CompleteTaskRequest::default()
            }))
            .await;
        assert_eq!(done.unwrap().into_inner().task.unwrap().version, 2);
    }
    assert_eq!(world.told::<events::TaskCompleted>(org).await.len(), 1);

    let timeline = |limit: i32, cursor: Option<String>| {
        world.caller(org).asks(crm::ListDealTimelineRequest {
            deal_id: made.id.clone(),
            limit: Some(limit),
            cursor,
        })
    };
    let mut kinds = Vec::new();
    let mut cursor = None;
    loop {
        let page = deals(&served).list_deal_timeline(timeline(2, cursor)).await.unwrap().into_inner();
        kinds.extend(page.data.into_iter().map(|entry| entry.kind));
        cursor = page.next_cursor;
        if !page.has_more {
            break;
        }
    }
    assert_eq!(kinds, ["task_completed", "task", "activity", "note", "deal_created"]);
    let page = world.caller(org).timeline(&served, company.id.parse().unwrap(), 50, None).await.unwrap();
    let kinds: Vec<_> = page.data.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(kinds, ["note", "deal_created"]);
    let page = served
        .contacts
        .clone()
        .list_contact_timeline(world.caller(org).asks(crm::ListContactTimelineRequest {
            contact_id: person.id.clone(),
            ..crm::ListContactTimelineRequest::default()
        }))
        .await
        .unwrap()
        .into_inner();
    let kinds: Vec<_> = page.data.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(kinds, ["activity", "signal"]);

    notes
        .delete_note(world.caller(org).asks(crm::DeleteNoteRequest {
            note_id: note.id,
            ..crm::DeleteNoteRequest::default()
        }))
        .await
        .unwrap();
    let page = world.caller(org).timeline(&served, company.id.parse().unwrap(), 50, None).await.unwrap();
    assert_eq!(page.data.len(), 1);
    let nothing = crm::CreateNoteRequest { body: Some("x".into()), ..crm::CreateNoteRequest::default() };
    assert_eq!(failure(notes.create_note(world.caller(org).asks(nothing)).await).2[0].1, "required");
}

#[tokio::test]
async fn a_tag_is_renamed_and_deleted_everywhere() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let person = create_contact(&world, &served, org, contact("jane@acme.com")).await;
    let mut tags = TagServiceClient::new(served.channel.clone());
    let tag = tags
        .create_tag(world.caller(org).asks(crm::CreateTagRequest {
            name: Some("VIP".into()),
            ..crm::CreateTagRequest::default()
        }))
        .await
        .unwrap()
        .into_inner()
        .tag
        .unwrap();
    let again = crm::CreateTagRequest { name: Some("vip".into()), ..crm::CreateTagRequest::default() };
    assert_eq!(failure(tags.create_tag(world.caller(org).asks(again)).await).0, Code::AlreadyExists);
    let mark = crm::AssignTagRequest {
        tag_id: tag.id.clone(),
        object: "contact".into(),
        ids: vec![person.id.clone(), new_id().to_string()],
        dry_run: None,
    };
    let results = tags.assign_tag(world.caller(org).asks(mark)).await.unwrap().into_inner().results;
    assert_eq!(results.iter().map(|r| r.status).collect::<Vec<_>>(), [200, 404]);
    tags.update_tag(world.caller(org).asks(crm::UpdateTagRequest {
        tag_id: tag.id.clone(),
        name: Some("key".into()),
        ..crm::UpdateTagRequest::default()
    }))
    .await
    .unwrap();
    let id: Uuid = person.id.parse().unwrap();
    assert_eq!(world.caller(org).contact(&served, id).await.unwrap().tags, ["key"]);
    tags.delete_tag(world.caller(org).asks(crm::DeleteTagRequest {
        tag_id: tag.id,
        ..crm::DeleteTagRequest::default()
    }))
    .await
    .unwrap();
    assert!(world.caller(org).contact(&served, id).await.unwrap().tags.is_empty());
}

#[tokio::test]
async fn nothing_of_a_deal_reaches_another_organization() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let (ours, theirs) = (new_org(), new_org());
    let made = create(&world, &served, ours, deal("Acme")).await;
    let stranger = world.caller(theirs);
    let get = crm::GetDealRequest { deal_id: made.id.clone() };
    assert_eq!(failure(deals(&served).get_deal(stranger.asks(get)).await).0, Code::NotFound);
    assert_eq!(failure(deals(&served).update_deal(stranger.asks(stage(&made, "activated"))).await).0, Code::NotFound);
    let list = crm::ListDealsRequest::default();
    assert!(deals(&served).list_deals(stranger.asks(list)).await.unwrap().into_inner().data.is_empty());
    let timeline = crm::ListDealTimelineRequest { deal_id: made.id.clone(), ..crm::ListDealTimelineRequest::default() };
    assert_eq!(failure(deals(&served).list_deal_timeline(stranger.asks(timeline)).await).0, Code::NotFound);
    let note = crm::CreateNoteRequest {
        body: Some("x".into()),
        deal_id: Some(made.id),
        ..crm::CreateNoteRequest::default()
    };
    let mut notes = NoteServiceClient::new(served.channel.clone());
    assert_eq!(failure(notes.create_note(stranger.asks(note)).await).2, [("/dealId".to_owned(), "not_found".to_owned())]);
}
