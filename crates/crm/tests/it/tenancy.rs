//! Two organizations: nothing of one is seen or changed by the other, and the catalogue has no way around that.

use contracts::crm::v1 as crm;
use contracts::scores::v1::Trend;
use ids::Clock as _;
use tonic::Code;

use crate::harness::{World, discovered, failure, identified, linked, merged, new_id, new_org, scored};
use crate::signals_fake::{FakeSignals, signal};

#[tokio::test]
async fn the_catalogue_has_no_way_around_the_walls() {
    let world = World::new().await;
    let found = store::catalog::violations(&mut world.admin().await, ::crm::SCHEMA)
        .await
        .unwrap();
    assert_eq!(found, Vec::<String>::new());
}

#[tokio::test]
async fn nothing_of_one_organization_is_seen_by_another() {
    let world = World::new().await;
    let fake = FakeSignals::default();
    let mut served = world.serve(&fake.serve(&world).await).await;
    let (ours, theirs) = (new_org(), new_org());
    let (account, contact) = (new_id(), new_id());
    world.tell(ours, &discovered(account, 1, "acme.com")).await;
    world.tell(ours, &identified(contact, 1, "dev@acme.com")).await;
    world.tell(ours, &linked(contact, account)).await;
    world
        .tell(ours, &scored(account, 1, 90, Trend::Rising, world.clock.now()))
        .await;
    fake.add(
        ours,
        account,
        signal(new_id(), world.clock.now(), Some("dev@acme.com")),
    );
    let stranger = world.caller(theirs);

    let get = crm::GetAccountRequest {
        account_id: account.to_string(),
    };
    let foreign = failure(served.accounts.get_account(stranger.asks(get)).await);
    let nobody = crm::GetAccountRequest {
        account_id: new_id().to_string(),
    };
    // Indistinguishable from an id that nobody has.
    assert_eq!(
        foreign,
        failure(served.accounts.get_account(stranger.asks(nobody)).await)
    );
    assert_eq!(foreign.0, Code::NotFound);
    let change = crm::UpdateAccountRequest {
        account_id: account.to_string(),
        name: Some("Mine".into()),
        if_version: Some(99),
        ..crm::UpdateAccountRequest::default()
    };
    assert_eq!(
        failure(served.accounts.update_account(stranger.asks(change)).await).0,
        Code::NotFound
    );
    let timeline = crm::ListAccountTimelineRequest {
        account_id: account.to_string(),
        limit: None,
        cursor: None,
    };
    assert_eq!(
        failure(
            served
                .accounts
                .list_account_timeline(stranger.asks(timeline))
                .await
        )
        .0,
        Code::NotFound
    );
    let get = crm::GetContactRequest {
        contact_id: contact.to_string(),
    };
    assert_eq!(
        failure(served.contacts.get_contact(stranger.asks(get)).await).0,
        Code::NotFound
    );
    let change = crm::UpdateContactRequest {
        contact_id: contact.to_string(),
        name: Some("Mine".into()),
        ..crm::UpdateContactRequest::default()
    };
    assert_eq!(
        failure(served.contacts.update_contact(stranger.asks(change)).await).0,
        Code::NotFound
    );

    let include = Some("totalCount".to_owned());
    let list = crm::ListAccountsRequest {
        include: include.clone(),
        ..crm::ListAccountsRequest::default()
    };
    let list = served
        .accounts
        .list_accounts(stranger.asks(list))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((list.data.len(), list.total_count), (0, Some(0)));
    for filter in [
        ("email", "dev@acme.com".to_owned()),
        ("accountId", account.to_string()),
    ] {
        let list = crm::ListContactsRequest {
            include: include.clone(),
            filter: std::iter::once((filter.0.to_owned(), filter.1)).collect(),
            ..crm::ListContactsRequest::default()
        };
        let list = served
            .contacts
            .list_contacts(stranger.asks(list))
            .await
            .unwrap()
            .into_inner();
        assert_eq!((list.data.len(), list.total_count), (0, Some(0)));
    }
}

#[tokio::test]
async fn events_of_one_organization_do_not_touch_the_same_ids_of_another() {
    let world = World::new().await;
    let (ours, theirs) = (new_org(), new_org());
    let (account, contact, other) = (new_id(), new_id(), new_id());
    for org in [ours, theirs] {
        world.tell(org, &discovered(account, 1, "acme.com")).await;
        world.tell(org, &identified(contact, 1, "dev@acme.com")).await;
        world.tell(org, &identified(other, 1, "other@acme.com")).await;
        world.tell(org, &linked(contact, account)).await;
    }
    let before = crate::orders::dump(&world, ours).await;
    let told = world.told_count(ours).await;
    world.tell(theirs, &discovered(account, 2, "taken.over")).await;
    world
        .tell(theirs, &scored(account, 1, 10, Trend::Falling, world.clock.now()))
        .await;
    world.tell(theirs, &merged(contact, other, None)).await;
    world.tell(theirs, &identified(other, 2, "new@acme.com")).await;
    assert_eq!(crate::orders::dump(&world, ours).await, before);
    assert_eq!(world.told_count(ours).await, told);
}

#[tokio::test]
async fn a_call_for_no_organization_is_refused() {
    let world = World::new().await;
    let mut served = world.serve_alone().await;
    let caller = world.caller(new_org()).no_org();
    let list = served
        .accounts
        .list_accounts(caller.asks(crm::ListAccountsRequest::default()))
        .await;
    assert_eq!(failure(list).0, Code::PermissionDenied);
    let list = served
        .contacts
        .list_contacts(caller.asks(crm::ListContactsRequest::default()))
        .await;
    assert_eq!(failure(list).0, Code::PermissionDenied);
}
