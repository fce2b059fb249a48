//! Accounts by gRPC: reading, changing by hand, permissions, bad input.

use contracts::crm::v1 as crm;
use contracts::events::v1 as events;
use contracts::scores::v1::{Tier, Trend};
use ids::{Clock as _, OrgId};
use rpc::Role;
use tonic::Code;
use uuid::Uuid;

use crate::harness::{Served, World, discovered, failure, identified, linked, new_id, new_org, scored};

async fn acme() -> (World, Served, OrgId, Uuid) {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let (org, account) = (new_org(), new_id());
    world.tell(org, &discovered(account, 1, "acme.com")).await;
    (world, served, org, account)
}

fn update(account: Uuid) -> crm::UpdateAccountRequest {
    crm::UpdateAccountRequest {
        account_id: account.to_string(),
        ..crm::UpdateAccountRequest::default()
    }
}

fn get(account: Uuid) -> crm::GetAccountRequest {
    crm::GetAccountRequest {
        account_id: account.to_string(),
        as_of: None,
    }
}

#[tokio::test]
async fn a_discovered_account_can_be_read_and_was_told() {
    let (world, mut served, org, account) = acme().await;
    let answer = served
        .accounts
        .get_account(world.caller(org).role(Role::Viewer).asks(get(account)))
        .await;
    let read = answer.unwrap().into_inner().account.unwrap();
    assert_eq!(
        (read.name.as_str(), read.domain.as_deref()),
        ("acme.com", Some("acme.com"))
    );
    assert_eq!(
        (read.score, read.tier(), read.version),
        (None, Tier::Unspecified, 1)
    );
    let told: Vec<events::AccountCreated> = world.told(org).await;
    assert_eq!(told, [events::AccountCreated { account: Some(read) }]);
}

#[tokio::test]
async fn a_change_by_hand_stays_and_is_told_with_its_fields() {
    let (world, mut served, org, account) = acme().await;
    world.tick();
    let change = crm::UpdateAccountRequest {
        name: Some(" Acme Inc ".into()),
        employees: Some(250),
        country: Some("de".into()),
        if_version: Some(1),
        ..update(account)
    };
    let answer = served
        .accounts
        .update_account(world.caller(org).asks(change))
        .await;
    let changed = answer.unwrap().into_inner().account.unwrap();
    assert_eq!(
        (
            changed.name.as_str(),
            changed.employees,
            changed.country.as_deref()
        ),
        ("Acme Inc", Some(250), Some("DE"))
    );
    assert_eq!(changed.version, 2);
    let told: Vec<events::AccountUpdated> = world.told(org).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].account.as_ref(), Some(&changed));
    assert_eq!(told[0].changed_fields, ["name", "employees", "country"]);

    let learnt = events::AccountDiscovered {
        name: Some("ACME".into()),
        employees: Some(9),
        industry: Some("Retail".into()),
        ..discovered(account, 2, "acme.com")
    };
    world.tell(org, &learnt).await;
    let read = served
        .accounts
        .get_account(world.caller(org).asks(get(account)))
        .await
        .unwrap()
        .into_inner();
    let read = read.account.unwrap();
    assert_eq!(
        (read.name.as_str(), read.employees, read.industry.as_deref()),
        ("Acme Inc", Some(250), Some("Retail"))
    );
    let told: Vec<events::AccountUpdated> = world.told(org).await;
    assert_eq!(told[1].changed_fields, ["industry"]);
}

#[tokio::test]
async fn an_expected_version_that_is_not_there_changes_nothing() {
    let (world, mut served, org, account) = acme().await;
    let before = world.told_count(org).await;
    for wrong in [0, 2, -1, i64::MAX] {
        let change = crm::UpdateAccountRequest {
            name: Some("X".into()),
            if_version: Some(wrong),
            ..update(account)
        };
        let answer = served
            .accounts
            .update_account(world.caller(org).asks(change))
            .await;
        assert_eq!(
            failure(answer),
            (Code::FailedPrecondition, "precondition_failed".into(), vec![])
        );
    }
    let read = served
        .accounts
        .get_account(world.caller(org).asks(get(account)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(read.account.unwrap().name, "acme.com");
    assert_eq!(world.told_count(org).await, before);
}

#[tokio::test]
async fn two_changes_that_expect_one_version_have_one_winner() {
    let (world, served, org, account) = acme().await;
    let change = |name: &str| crm::UpdateAccountRequest {
        name: Some(name.into()),
        if_version: Some(1),
        ..update(account)
    };
    let calls = (0..10).map(|n| {
        let (mut accounts, request) = (
            served.accounts.clone(),
            world.caller(org).asks(change(&format!("Name {n}"))),
        );
        async move { accounts.update_account(request).await.is_ok() }
    });
    let winners = futures::future::join_all(calls)
        .await
        .into_iter()
        .filter(|won| *won)
        .count();
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn bad_values_are_told_all_at_once_and_change_nothing() {
    let (world, mut served, org, account) = acme().await;
    let bad = crm::UpdateAccountRequest {
        name: Some("x".repeat(201)),
        employees: Some(0),
        industry: Some("a\u{0}b".into()),
        country: Some("Germany".into()),
        funding_stage: Some("x".repeat(51)),
        ..update(account)
    };
    let (code, word, fields) = failure(served.accounts.update_account(world.caller(org).asks(bad)).await);
    assert_eq!(
        (code, word.as_str()),
        (Code::InvalidArgument, "validation_failed")
    );
    let expected = [
        ("/name", "too_long"),
        ("/employees", "out_of_range"),
        ("/industry", "invalid_character"),
        ("/country", "unknown_country"),
        ("/fundingStage", "too_long"),
    ];
    assert_eq!(
        fields,
        expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned()))
    );
    let read = served
        .accounts
        .get_account(world.caller(org).asks(get(account)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(read.account.unwrap().version, 1);
}

#[tokio::test]
async fn an_id_that_is_none_and_an_id_of_nobody_differ() {
    let (world, mut served, org, _) = acme().await;
    for bad in ["", "x", "0197e1c81f2a7b3c8d4e5f6071829304"] {
        let request = crm::GetAccountRequest {
            account_id: bad.into(),
            as_of: None,
        };
        let (code, word, fields) =
            failure(served.accounts.get_account(world.caller(org).asks(request)).await);
        assert_eq!((code, word.as_str()), (Code::InvalidArgument, "invalid_id"));
        assert_eq!(fields, [("/accountId".to_owned(), "invalid_id".to_owned())]);
    }
    let nobody = failure(
        served
            .accounts
            .get_account(world.caller(org).asks(get(new_id())))
            .await,
    );
    assert_eq!(nobody, (Code::NotFound, "not_found".into(), vec![]));
    let change = crm::UpdateAccountRequest {
        name: Some("X".into()),
        ..update(new_id())
    };
    assert_eq!(
        failure(
            served
                .accounts
                .update_account(world.caller(org).asks(change))
                .await
        )
        .0,
        Code::NotFound
    );
}

#[tokio::test]
async fn roles_and_scopes_decide_who_may_read_and_write() {
    let (world, mut served, org, account) = acme().await;
    let write = || crm::UpdateAccountRequest {
        name: Some("X".into()),
        ..update(account)
    };
    let denied = (Code::PermissionDenied, "permission_denied".to_owned(), vec![]);
    for caller in [
        world.caller(org).role(Role::Viewer),
        world.caller(org).role(Role::Owner).scopes(&["accounts:read"]),
        world.caller(org).role(Role::Owner).scopes(&["contacts:write"]),
        world.caller(org).role(Role::System).no_org(),
    ] {
        assert_eq!(
            failure(served.accounts.update_account(caller.asks(write())).await),
            denied
        );
    }
    let wrong_scope = world.caller(org).scopes(&["signals:read"]);
    assert_eq!(
        failure(served.accounts.get_account(wrong_scope.asks(get(account))).await),
        denied
    );
    for role in [Role::Owner, Role::Admin, Role::Member, Role::System] {
        served
            .accounts
            .update_account(world.caller(org).role(role).asks(write()))
            .await
            .unwrap();
    }
    let nobody = served
        .accounts
        .get_account(tonic::Request::new(get(account)))
        .await;
    assert_eq!(failure(nobody).0, Code::Unauthenticated);
}

#[tokio::test]
async fn a_score_shows_on_the_account_and_is_not_told_again() {
    let (world, mut served, org, account) = acme().await;
    let told = world.told_count(org).await;
    world
        .tell(org, &scored(account, 2, 81, Trend::Rising, world.clock.now()))
        .await;
    world
        .tell(org, &scored(account, 1, 12, Trend::Falling, world.clock.now()))
        .await;
    let read = served
        .accounts
        .get_account(world.caller(org).asks(get(account)))
        .await
        .unwrap()
        .into_inner();
    let read = read.account.unwrap();
    assert_eq!(
        (read.score, read.tier(), read.trend()),
        (Some(81), Tier::Hot, Trend::Rising)
    );
    assert!(read.scored_at.is_some());
    assert_eq!((read.version, world.told_count(org).await), (2, told));
}

#[tokio::test]
async fn an_account_is_hidden_until_it_is_discovered() {
    let (world, mut served, org, _) = acme().await;
    let (account, contact) = (new_id(), new_id());
    world
        .tell(org, &scored(account, 1, 55, Trend::Stable, world.clock.now()))
        .await;
    world.tell(org, &linked(contact, account)).await;
    world.tell(org, &identified(contact, 1, "dev@late.io")).await;
    assert_eq!(
        failure(
            served
                .accounts
                .get_account(world.caller(org).asks(get(account)))
                .await
        )
        .0,
        Code::NotFound
    );
    let change = crm::UpdateAccountRequest {
        name: Some("X".into()),
        ..update(account)
    };
    assert_eq!(
        failure(
            served
                .accounts
                .update_account(world.caller(org).asks(change))
                .await
        )
        .0,
        Code::NotFound
    );
    let list = served
        .accounts
        .list_accounts(world.caller(org).asks(crm::ListAccountsRequest::default()))
        .await;
    assert_eq!(list.unwrap().into_inner().data.len(), 1);

    world.tell(org, &discovered(account, 1, "late.io")).await;
    let read = served
        .accounts
        .get_account(world.caller(org).asks(get(account)))
        .await
        .unwrap()
        .into_inner();
    let read = read.account.unwrap();
    assert_eq!(
        (read.score, read.contact_count, read.name.as_str()),
        (Some(55), 1, "late.io")
    );
    let told: Vec<events::AccountCreated> = world.told(org).await;
    assert_eq!(told.last().and_then(|event| event.account.clone()), Some(read));
}
