//! Many records in one call.

use contracts::crm::v1 as crm;
use contracts::crm::v1::batch_service_client::BatchServiceClient;
use ids::OrgId;
use rpc::Role;
use tonic::Code;
use uuid::Uuid;

use crate::deals::{create, deal};
use crate::harness::{World, discovered, failure, identified, linked, new_id, new_org};

fn text(ids: &[Uuid]) -> Vec<String> {
    ids.iter().map(Uuid::to_string).collect()
}

/// Three accounts with one, two and three people.
async fn companies(world: &World, org: OrgId) -> ([Uuid; 3], Vec<Uuid>) {
    let accounts = [new_id(), new_id(), new_id()];
    let mut people = Vec::new();
    for (n, account) in accounts.iter().enumerate() {
        world
            .tell(org, &discovered(*account, 1, &format!("c{n}.com")))
            .await;
        for m in 0..=n {
            let person = new_id();
            world.tick();
            world
                .tell(org, &identified(person, 1, &format!("p{m}@c{n}.com")))
                .await;
            world.tell(org, &linked(person, *account)).await;
            people.push(person);
        }
    }
    (accounts, people)
}

#[tokio::test]
async fn records_are_read_by_their_ids_and_only_ones_own() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let mut batches = BatchServiceClient::new(served.channel.clone());
    let ours = new_org();
    let (accounts, people) = companies(&world, ours).await;
    let (us, stranger) = (world.caller(ours).role(Role::Viewer), world.caller(new_org()));
    let wanted = crm::BatchGetAccountsRequest {
        ids: text(&[accounts[0], new_id(), accounts[2]]),
    };
    let found = batches.batch_get_accounts(us.asks(wanted.clone())).await.unwrap();
    assert_eq!(found.into_inner().data.len(), 2, "what nobody has is left out");
    let none = batches.batch_get_accounts(stranger.asks(wanted)).await.unwrap();
    assert!(none.into_inner().data.is_empty());
    let wanted = crm::BatchGetContactsRequest { ids: text(&people) };
    let known = batches.batch_get_contacts(us.asks(wanted.clone())).await.unwrap();
    let known = known.into_inner().data;
    assert_eq!(known.len(), 6);
    assert!(known.iter().all(|contact| contact.identities.len() == 1));
    let none = batches.batch_get_contacts(stranger.asks(wanted)).await.unwrap();
    assert!(none.into_inner().data.is_empty());
}

#[tokio::test]
async fn records_of_many_accounts_are_read_at_once_and_only_ones_own() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let mut batches = BatchServiceClient::new(served.channel.clone());
    let ours = new_org();
    let (accounts, _) = companies(&world, ours).await;
    let about = crm::CreateDealRequest {
        account_id: Some(accounts[1].to_string()),
        ..deal("Rollout")
    };
    let made = create(&world, &served, ours, about).await;
    let (us, stranger) = (world.caller(ours), world.caller(new_org()));
    let list = crm::BatchListContactsRequest {
        ids: text(&accounts),
        limit: 2,
    };
    let groups = batches.batch_list_contacts(us.asks(list.clone())).await.unwrap();
    let groups = groups.into_inner().groups;
    let of = |id: &Uuid| groups.iter().find(|g| g.id == id.to_string()).unwrap();
    assert_eq!(accounts.each_ref().map(|id| of(id).data.len()), [1, 2, 2]);
    let none = batches.batch_list_contacts(stranger.asks(list)).await.unwrap();
    assert!(none.into_inner().groups.is_empty());
    let list = crm::BatchListDealsRequest {
        ids: text(&accounts),
        limit: 5,
    };
    let deals = batches.batch_list_deals(us.asks(list.clone())).await.unwrap();
    let deals = deals.into_inner().groups;
    assert_eq!((deals.len(), &deals[0].data[0].id), (1, &made.id));
    let none = batches.batch_list_deals(stranger.asks(list)).await.unwrap();
    assert!(none.into_inner().groups.is_empty());
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
