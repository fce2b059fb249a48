//! Two organizations: nothing of one is seen or changed by the other, and the catalogue has no way around that.

use contracts::crm::v1 as wire;
use contracts::scores::v1::Trend;
use ids::{Clock as _, OrgId};
use tonic::Code;
use uuid::Uuid;

use crate::harness::{World, discovered, failure, identified, linked, merged, new_id, new_org, scored};
use crate::signals_fake::{FakeSignals, signal};

#[tokio::test]
async fn the_catalogue_has_no_way_around_the_walls() {
    let world = World::new().await;
    let found = store::catalog::violations(&mut world.admin().await, crm::SCHEMA)
        .await
        .unwrap();
    assert_eq!(found, Vec::<String>::new());
}

/// An account with a contact, a score and a signal.
async fn acme(world: &World, fake: &FakeSignals, org: OrgId) -> (Uuid, Uuid) {
    let (account, contact) = (new_id(), new_id());
    let now = world.clock.now();
    world.tell(org, &discovered(account, 1, "acme.com")).await;
    world.tell(org, &identified(contact, 1, "dev@acme.com")).await;
    world.tell(org, &linked(contact, account)).await;
    world.tell(org, &scored(account, 1, 90, Trend::Rising, now)).await;
    fake.add(org, account, signal(new_id(), now, Some("dev@acme.com")));
    (account, contact)
}

#[tokio::test]
async fn a_record_of_another_organization_is_as_one_that_nobody_has() {
    let world = World::new().await;
    let fake = FakeSignals::default();
    let served = world.serve(&fake.serve(&world).await).await;
    let (ours, stranger) = (new_org(), world.caller(new_org()));
    let (account, contact) = acme(&world, &fake, ours).await;
    let before = crate::state::dump(&world, ours).await;

    let foreign = stranger.account(&served, account).await.unwrap_err();
    assert_eq!(foreign.0, Code::NotFound);
    assert_eq!(foreign, stranger.account(&served, new_id()).await.unwrap_err());
    let foreign = stranger.contact(&served, contact).await.unwrap_err();
    assert_eq!(foreign, stranger.contact(&served, new_id()).await.unwrap_err());
    let foreign = stranger.timeline(&served, account, 10, None).await.unwrap_err();
    assert_eq!(
        foreign,
        stranger.timeline(&served, new_id(), 10, None).await.unwrap_err()
    );
    // A version that is wrong must not tell that there is one.
    let change = wire::UpdateAccountRequest {
        account_id: account.to_string(),
        name: Some("Mine".into()),
        if_version: Some(99),
        ..wire::UpdateAccountRequest::default()
    };
    assert_eq!(
        stranger.update_account(&served, change).await.unwrap_err().0,
        Code::NotFound
    );
    let change = wire::UpdateContactRequest {
        contact_id: contact.to_string(),
        name: Some("Mine".into()),
        ..wire::UpdateContactRequest::default()
    };
    assert_eq!(
        stranger.update_contact(&served, change).await.unwrap_err().0,
        Code::NotFound
    );
    assert_eq!(crate::state::dump(&world, ours).await, before);
}

#[tokio::test]
async fn lists_and_counts_hold_only_the_callers_own() {
    let world = World::new().await;
    let fake = FakeSignals::default();
    let served = world.serve_alone().await;
    let (account, _) = acme(&world, &fake, new_org()).await;
    let stranger = world.caller(new_org());
    let include = Some("totalCount".to_owned());
    let list = wire::ListAccountsRequest {
        include: include.clone(),
        ..wire::ListAccountsRequest::default()
    };
    let list = stranger.accounts(&served, list).await.unwrap();
    assert_eq!((list.data.len(), list.total_count), (0, Some(0)));
    let account = account.to_string();
    for filters in [
        vec![],
        vec![("email", "dev@acme.com")],
        vec![("accountId", account.as_str())],
    ] {
        let list = wire::ListContactsRequest {
            include: include.clone(),
            filter: crate::lists::filter(&filters),
            ..wire::ListContactsRequest::default()
        };
        let list = stranger.contacts(&served, list).await.unwrap();
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
    let before = crate::state::dump(&world, ours).await;
    let told = world.told_count(ours).await;
    world.tell(theirs, &discovered(account, 2, "taken.over")).await;
    world
        .tell(theirs, &scored(account, 1, 10, Trend::Falling, world.clock.now()))
        .await;
    world.tell(theirs, &merged(contact, other, None)).await;
    world.tell(theirs, &identified(other, 2, "new@acme.com")).await;
    assert_eq!(crate::state::dump(&world, ours).await, before);
    assert_eq!(world.told_count(ours).await, told);
}

#[tokio::test]
async fn a_call_for_no_organization_is_refused() {
    let world = World::new().await;
    let mut served = world.serve_alone().await;
    let caller = world.caller(new_org()).no_org();
    let list = served
        .accounts
        .list_accounts(caller.asks(wire::ListAccountsRequest::default()))
        .await;
    assert_eq!(failure(list).0, Code::PermissionDenied);
    let list = served
        .contacts
        .list_contacts(caller.asks(wire::ListContactsRequest::default()))
        .await;
    assert_eq!(failure(list).0, Code::PermissionDenied);
}
