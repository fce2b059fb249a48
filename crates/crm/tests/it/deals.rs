//! Deals: stages, history, the rule that moves them, influencing signals.

use contracts::crm::v1 as crm;
use contracts::crm::v1::deal_service_client::DealServiceClient;
use contracts::crm::v1::note_service_client::NoteServiceClient;
use contracts::crm::v1::pipeline_service_client::PipelineServiceClient;
use contracts::events::v1 as events;
use contracts::signals::v1::Signal;
use ids::{Clock as _, OrgId};
use jiff::SignedDuration;
use tonic::Code;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::by_hand::list_of;
use crate::harness::{Served, World, discovered, failure, identified, linked, new_id, new_org};
use crate::signals_fake::{FakeSignals, signal};

pub fn deals(served: &Served) -> DealServiceClient<Channel> {
    DealServiceClient::new(served.channel.clone())
}

pub fn deal(name: &str) -> crm::CreateDealRequest {
    crm::CreateDealRequest {
        name: Some(name.to_owned()),
        ..crm::CreateDealRequest::default()
    }
}

pub async fn create(
    world: &World,
    served: &Served,
    org: OrgId,
    request: crm::CreateDealRequest,
) -> crm::Deal {
    let answer = deals(served).create_deal(world.caller(org).asks(request)).await;
    answer.unwrap().into_inner().deal.unwrap()
}

pub async fn read(world: &World, served: &Served, org: OrgId, id: &str) -> crm::Deal {
    let request = crm::GetDealRequest {
        deal_id: id.to_owned(),
    };
    let answer = deals(served).get_deal(world.caller(org).asks(request)).await;
    answer.unwrap().into_inner().deal.unwrap()
}

async fn moves(world: &World, served: &Served, org: OrgId, id: &str) -> Vec<crm::DealMove> {
    let request = crm::ListDealMovesRequest {
        deal_id: id.to_owned(),
        ..crm::ListDealMovesRequest::default()
    };
    let answer = deals(served)
        .list_deal_moves(world.caller(org).asks(request))
        .await;
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
    assert_eq!(
        (made.stage.as_str(), made.status.as_str()),
        ("anonymous_usage", "open")
    );

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
        world
            .tell(org, &identified(person, 1, &format!("p{n}@acme.com")))
            .await;
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
    let seen: Vec<_> = history
        .iter()
        .map(|m| (m.to_stage.as_str(), m.moved_by.as_str()))
        .collect();
    let by = "user:00000000-0000-0000-0000-000000000001";
    let expected = [
        ("expansion_signal", "rule"),
        ("team_adoption", "rule"),
        ("activated", "rule"),
        ("identified", "rule"),
        ("anonymous_usage", by),
    ];
    assert_eq!(seen, expected);
    assert!(
        history.iter().take(4).all(|m| !m.reason.is_empty()),
        "{history:?}"
    );
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
    assert!(
        moves(&world, &served, org, &made.id).await[0]
            .reason
            .contains("api_call")
    );
    let back = deals(&served)
        .update_deal(world.caller(org).asks(stage(&made, "anonymous_usage")))
        .await;
    assert_eq!(back.unwrap().into_inner().deal.unwrap().stage, "anonymous_usage");
    world.deliver(envelope).await.unwrap();
    world.tell(org, &recorded(company, "deploy")).await;
    assert_eq!(
        read(&world, &served, org, &made.id).await.stage,
        "anonymous_usage"
    );
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
    assert_eq!(
        failure(lost).2,
        [("/closeReason".to_owned(), "required".to_owned())]
    );
    let lost = crm::UpdateDealRequest {
        close_reason: Some("price".into()),
        ..stage(&made, "closed_lost")
    };
    let lost = deals(&served)
        .update_deal(world.caller(org).asks(lost))
        .await
        .unwrap();
    let lost = lost.into_inner().deal.unwrap();
    assert_eq!(
        (lost.status.as_str(), lost.close_reason.as_deref()),
        ("lost", Some("price"))
    );
    assert!(lost.closed_at.is_some());
    let told: Vec<events::DealClosed> = world.told(org).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].outcome, "lost");
    // Opened again, the reason is gone.
    let open = deals(&served)
        .update_deal(world.caller(org).asks(stage(&made, "negotiation")))
        .await;
    let open = open.unwrap().into_inner().deal.unwrap();
    assert_eq!(
        (open.status.as_str(), open.close_reason, open.closed_at),
        ("open", None, None)
    );
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
        (
            crm::CreateDealRequest {
                stage: Some("nowhere".into()),
                ..deal("x")
            },
            "/stage",
        ),
        (
            crm::CreateDealRequest {
                pipeline_id: Some(new_id().to_string()),
                ..deal("x")
            },
            "/pipelineId",
        ),
        (
            crm::CreateDealRequest {
                account_id: Some(new_id().to_string()),
                ..deal("x")
            },
            "/accountId",
        ),
        (
            crm::CreateDealRequest {
                contact_ids: list_of(&[&new_id().to_string()]),
                ..deal("x")
            },
            "/contactIds/0",
        ),
    ] {
        let answer = deals(&served).create_deal(world.caller(org).asks(request)).await;
        assert_eq!(failure(answer).2, [(place.to_owned(), "not_found".to_owned())]);
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
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
            "anonymous_usage",
            "identified",
            "activated",
            "team_adoption",
            "expansion_signal",
            "sales_qualified",
            "negotiation",
            "closed_won",
            "closed_lost"
        ]
    );
    let input = |key: &str, kind: &str| crm::StageInput {
        key: key.to_owned(),
        kind: Some(kind.to_owned()),
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
    assert_eq!(
        failure(pipelines.delete_pipeline(delete(&made.id)).await).0,
        Code::AlreadyExists
    );
    assert_eq!(
        failure(pipelines.delete_pipeline(delete(&list.data[0].id)).await).0,
        Code::AlreadyExists
    );
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
        let page = deals(&served)
            .list_deal_signals(world.caller(org).asks(request))
            .await;
        let page = page.unwrap().into_inner();
        seen.extend(page.data.into_iter().map(|signal| signal.id));
        cursor = page.next_cursor;
        if !page.has_more {
            break;
        }
    }
    assert_eq!(seen, inside.iter().map(ToString::to_string).collect::<Vec<_>>());
}

#[tokio::test]
async fn nothing_of_a_deal_reaches_another_organization() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let (ours, theirs) = (new_org(), new_org());
    let made = create(&world, &served, ours, deal("Acme")).await;
    let stranger = world.caller(theirs);
    let get = crm::GetDealRequest {
        deal_id: made.id.clone(),
    };
    assert_eq!(
        failure(deals(&served).get_deal(stranger.asks(get)).await).0,
        Code::NotFound
    );
    assert_eq!(
        failure(
            deals(&served)
                .update_deal(stranger.asks(stage(&made, "activated")))
                .await
        )
        .0,
        Code::NotFound
    );
    let list = crm::ListDealsRequest::default();
    assert!(
        deals(&served)
            .list_deals(stranger.asks(list))
            .await
            .unwrap()
            .into_inner()
            .data
            .is_empty()
    );
    let timeline = crm::ListDealTimelineRequest {
        deal_id: made.id.clone(),
        ..crm::ListDealTimelineRequest::default()
    };
    assert_eq!(
        failure(deals(&served).list_deal_timeline(stranger.asks(timeline)).await).0,
        Code::NotFound
    );
    let note = crm::CreateNoteRequest {
        body: Some("x".into()),
        deal_id: Some(made.id),
        ..crm::CreateNoteRequest::default()
    };
    let mut notes = NoteServiceClient::new(served.channel.clone());
    assert_eq!(
        failure(notes.create_note(stranger.asks(note)).await).2,
        [("/dealId".to_owned(), "not_found".to_owned())]
    );
}

#[tokio::test]
async fn a_full_filter_finds_deals_and_refuses_what_it_does_not_know() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    for (name, units) in [("a", 10), ("b", 200), ("c", 3_000)] {
        let amount = Some(crm::Money {
            currency: "EUR".into(),
            units,
            nanos: 0,
        });
        create(
            &world,
            &served,
            org,
            crm::CreateDealRequest { amount, ..deal(name) },
        )
        .await;
    }
    let ask = |tree: serde_json::Value| {
        let tree = contracts::convert::to_struct(tree.as_object().unwrap().clone());
        world.caller(org).asks(crm::ListDealsRequest {
            sort: Some("name".into()),
            r#where: Some(tree),
            ..crm::ListDealsRequest::default()
        })
    };
    let tree = serde_json::json!({"$or": [{"amount": {"$gte": 3000}}, {"name": "a"}]});
    let page = deals(&served).list_deals(ask(tree)).await.unwrap().into_inner();
    let names: Vec<_> = page.data.iter().map(|deal| deal.name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
    let refused = failure(
        deals(&served)
            .list_deals(ask(serde_json::json!({"nothing": 1})))
            .await,
    );
    assert_eq!(refused.2[0].0, "/where/nothing");
}
