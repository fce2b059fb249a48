//! Tasks, activities, notes and tags, and the timelines they show in.

use contracts::crm::v1 as crm;
use contracts::crm::v1::activity_service_client::ActivityServiceClient;
use contracts::crm::v1::note_service_client::NoteServiceClient;
use contracts::crm::v1::tag_service_client::TagServiceClient;
use contracts::crm::v1::task_service_client::TaskServiceClient;
use contracts::events::v1 as events;
use ids::Clock as _;
use tonic::Code;
use uuid::Uuid;

use crate::by_hand::{account, contact, create_account, create_contact};
use crate::deals::{create, deal, deals};
use crate::harness::{World, failure, new_id, new_org};
use crate::signals_fake::{FakeSignals, signal};

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn work_shows_in_the_timelines_of_what_it_is_about_and_follows_changes() {
    let world = World::new().await;
    let fake = FakeSignals::default();
    let url = fake.serve(&world).await;
    let served = world.serve(&url).await;
    let org = new_org();
    let company = create_account(&world, &served, org, account("acme.com")).await;
    let person = create_contact(&world, &served, org, contact("jane@acme.com")).await;
    fake.add(
        org,
        person.id.parse().unwrap(),
        signal(new_id(), world.clock.now(), Some("jane@acme.com")),
    );
    let made = create(
        &world,
        &served,
        org,
        crm::CreateDealRequest {
            account_id: Some(company.id.clone()),
            ..deal("Acme")
        },
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
        let page = deals(&served)
            .list_deal_timeline(timeline(2, cursor))
            .await
            .unwrap()
            .into_inner();
        kinds.extend(page.data.into_iter().map(|entry| entry.kind));
        cursor = page.next_cursor;
        if !page.has_more {
            break;
        }
    }
    assert_eq!(
        kinds,
        ["task_completed", "task", "activity", "note", "deal_created"]
    );
    let page = world
        .caller(org)
        .timeline(&served, company.id.parse().unwrap(), 50, None)
        .await
        .unwrap();
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
    let page = world
        .caller(org)
        .timeline(&served, company.id.parse().unwrap(), 50, None)
        .await
        .unwrap();
    assert_eq!(page.data.len(), 1);
    let nothing = crm::CreateNoteRequest {
        body: Some("x".into()),
        ..crm::CreateNoteRequest::default()
    };
    assert_eq!(
        failure(notes.create_note(world.caller(org).asks(nothing)).await).2[0].1,
        "required"
    );
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
    let again = crm::CreateTagRequest {
        name: Some("vip".into()),
        ..crm::CreateTagRequest::default()
    };
    assert_eq!(
        failure(tags.create_tag(world.caller(org).asks(again)).await).0,
        Code::AlreadyExists
    );
    let mark = crm::AssignTagRequest {
        tag_id: tag.id.clone(),
        object: "contact".into(),
        ids: vec![person.id.clone(), new_id().to_string()],
        dry_run: None,
    };
    let results = tags
        .assign_tag(world.caller(org).asks(mark))
        .await
        .unwrap()
        .into_inner()
        .results;
    assert_eq!(results.iter().map(|r| r.status).collect::<Vec<_>>(), [200, 404]);
    tags.update_tag(world.caller(org).asks(crm::UpdateTagRequest {
        tag_id: tag.id.clone(),
        name: Some("key".into()),
        ..crm::UpdateTagRequest::default()
    }))
    .await
    .unwrap();
    let id: Uuid = person.id.parse().unwrap();
    assert_eq!(
        world.caller(org).contact(&served, id).await.unwrap().tags,
        ["key"]
    );
    tags.delete_tag(world.caller(org).asks(crm::DeleteTagRequest {
        tag_id: tag.id,
        ..crm::DeleteTagRequest::default()
    }))
    .await
    .unwrap();
    assert!(
        world
            .caller(org)
            .contact(&served, id)
            .await
            .unwrap()
            .tags
            .is_empty()
    );
}
