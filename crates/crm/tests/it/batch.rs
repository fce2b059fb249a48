//! Many records in one call.

use contracts::crm::v1 as crm;
use contracts::crm::v1::batch_service_client::BatchServiceClient;
use rpc::Role;
use tonic::Code;
use uuid::Uuid;

use crate::deals::{create, deal};
use crate::harness::{World, discovered, failure, identified, linked, new_id, new_org};

fn text(ids: &[Uuid]) -> Vec<String> {
    ids.iter().map(Uuid::to_string).collect()
}

#[tokio::test]
async fn many_are_read_at_once_and_only_ones_own() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let mut batches = BatchServiceClient::new(served.channel.clone());
    let (ours, other) = (new_org(), new_org());
    let accounts = [new_id(), new_id(), new_id()];
    let mut people = Vec::new();
    for (n, account) in accounts.iter().enumerate() {
        world
            .tell(ours, &discovered(*account, 1, &format!("c{n}.com")))
            .await;
        for m in 0..=n {
            let person = new_id();
            world.tick();
            world
                .tell(ours, &identified(person, 1, &format!("p{m}@c{n}.com")))
                .await;
            world.tell(ours, &linked(person, *account)).await;
            people.push(person);
        }
    }
    let about = crm::CreateDealRequest {
        account_id: Some(accounts[1].to_string()),
        ..deal("Rollout")
    };
    let made = create(&world, &served, ours, about).await;

    let us = world.caller(ours).role(Role::Viewer);
    let wanted = [accounts[0], new_id(), accounts[2]];
    let ask = crm::BatchGetAccountsRequest { ids: text(&wanted) };
    let found = batches
        .batch_get_accounts(us.asks(ask.clone()))
        .await
        .unwrap()
        .into_inner()
        .data;
    assert_eq!(found.len(), 2, "what nobody has is left out");
    let ask_people = crm::BatchGetContactsRequest { ids: text(&people) };
    let known = batches
        .batch_get_contacts(us.asks(ask_people.clone()))
        .await
        .unwrap()
        .into_inner()
        .data;
    assert_eq!(known.len(), 6);
    assert!(known.iter().all(|contact| contact.identities.len() == 1));
    let list = crm::BatchListContactsRequest {
        ids: text(&accounts),
        limit: 2,
    };
    let groups = batches
        .batch_list_contacts(us.asks(list.clone()))
        .await
        .unwrap()
        .into_inner()
        .groups;
    let sizes = |id: &Uuid| groups.iter().find(|g| g.id == id.to_string()).unwrap().data.len();
    assert_eq!(accounts.each_ref().map(sizes), [1, 2, 2]);
    let newest = groups.iter().find(|g| g.id == accounts[2].to_string()).unwrap();
    assert!(newest.data[0].created_at.unwrap().nanos >= newest.data[1].created_at.unwrap().nanos);
    let list_deals = crm::BatchListDealsRequest {
        ids: text(&accounts),
        limit: 5,
    };
    let deals = batches
        .batch_list_deals(us.asks(list_deals.clone()))
        .await
        .unwrap()
        .into_inner()
        .groups;
    assert_eq!((deals.len(), &deals[0].data[0].id), (1, &made.id));

    let stranger = world.caller(other);
    let none = batches
        .batch_get_accounts(stranger.asks(ask))
        .await
        .unwrap()
        .into_inner()
        .data;
    assert!(none.is_empty());
    let none = batches
        .batch_get_contacts(stranger.asks(ask_people))
        .await
        .unwrap()
        .into_inner()
        .data;
    assert!(none.is_empty());
    assert!(
        batches
            .batch_list_contacts(stranger.asks(list))
            .await
            .unwrap()
            .into_inner()
            .groups
            .is_empty()
    );
    assert!(
        batches
            .batch_list_deals(stranger.asks(list_deals))
            .await
            .unwrap()
            .into_inner()
            .groups
            .is_empty()
    );
}

#[tokio::test]
async fn a_call_has_its_bounds() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let mut batches = BatchServiceClient::new(served.channel.clone());
    let us = world.caller(new_org());
    let many: Vec<Uuid> = (0..201).map(|_| new_id()).collect();
    for (ids, limit) in [
        (text(&many), 1),
        (vec!["x".to_owned()], 1),
        (vec![new_id().to_string()], 0),
        (vec![new_id().to_string()], 201),
    ] {
        let ask = crm::BatchListContactsRequest { ids, limit };
        let told = failure(batches.batch_list_contacts(us.asks(ask)).await);
        assert_eq!(told.0, Code::InvalidArgument);
    }
    let narrow = world.caller(new_org()).scopes(&["accounts:read"]);
    let ask = crm::BatchListDealsRequest {
        ids: text(&many[..1]),
        limit: 1,
    };
    assert_eq!(
        failure(batches.batch_list_deals(narrow.asks(ask)).await).0,
        Code::PermissionDenied
    );
}
