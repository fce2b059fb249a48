//! Contacts by gRPC: reading, changing by hand, merging, bad input.

use contracts::crm::v1 as crm;
use contracts::events::v1 as events;
use ids::OrgId;
use rpc::Role;
use tonic::Code;
use uuid::Uuid;

use crate::harness::{
    Served, World, discovered, failure, identified, identity, linked, merged, new_id, new_org,
};

fn get(contact: Uuid) -> crm::GetContactRequest {
    crm::GetContactRequest {
        contact_id: contact.to_string(),
    }
}

fn update(contact: Uuid) -> crm::UpdateContactRequest {
    crm::UpdateContactRequest {
        contact_id: contact.to_string(),
        ..crm::UpdateContactRequest::default()
    }
}

async fn read(world: &World, served: &mut Served, org: OrgId, contact: Uuid) -> crm::Contact {
    let answer = served
        .contacts
        .get_contact(world.caller(org).asks(get(contact)))
        .await;
    answer.unwrap().into_inner().contact.unwrap()
}

#[tokio::test]
async fn an_identified_contact_can_be_read_and_was_told() {
    let world = World::new().await;
    let mut served = world.serve_alone().await;
    let (org, contact) = (new_org(), new_id());
    let event = events::ContactIdentified {
        identities: vec![identity("github", "dev"), identity("email", "dev@acme.com")],
        title: Some("CTO".into()),
        ..identified(contact, 1, "")
    };
    world.tell(org, &event).await;
    let read = read(&world, &mut served, org, contact).await;
    assert_eq!(
        (read.name.as_str(), read.email.as_deref()),
        ("dev@acme.com", Some("dev@acme.com"))
    );
    assert_eq!(
        (read.title.as_deref(), read.identities.len(), read.version),
        (Some("CTO"), 2, 1)
    );
    let told: Vec<events::ContactCreated> = world.told(org).await;
    assert_eq!(told, [events::ContactCreated { contact: Some(read) }]);
}

#[tokio::test]
async fn a_change_by_hand_stays_and_is_told_with_its_fields() {
    let world = World::new().await;
    let mut served = world.serve_alone().await;
    let (org, contact) = (new_org(), new_id());
    world.tell(org, &identified(contact, 1, "dev@acme.com")).await;
    let change = crm::UpdateContactRequest {
        name: Some("Dev Eloper".into()),
        title: Some("VP".into()),
        if_version: Some(1),
        ..update(contact)
    };
    let answer = served
        .contacts
        .update_contact(world.caller(org).asks(change.clone()))
        .await;
    let changed = answer.unwrap().into_inner().contact.unwrap();
    assert_eq!(
        (changed.name.as_str(), changed.title.as_deref(), changed.version),
        ("Dev Eloper", Some("VP"), 2)
    );
    let again = served
        .contacts
        .update_contact(world.caller(org).asks(change))
        .await;
    assert_eq!(failure(again).1, "precondition_failed");

    let learnt = events::ContactIdentified {
        name: Some("dev".into()),
        title: Some("Intern".into()),
        company: Some("Acme".into()),
        ..identified(contact, 2, "dev@acme.com")
    };
    world.tell(org, &learnt).await;
    let read = read(&world, &mut served, org, contact).await;
    assert_eq!(
        (read.name.as_str(), read.title.as_deref(), read.company.as_deref()),
        ("Dev Eloper", Some("VP"), Some("Acme"))
    );
    let told: Vec<events::ContactUpdated> = world.told(org).await;
    let fields: Vec<_> = told.iter().map(|event| event.changed_fields.join(",")).collect();
    assert_eq!(fields, ["name,title", "company"]);
    assert_eq!(told[1].contact.as_ref(), Some(&read));
}

#[tokio::test]
async fn bad_input_is_refused_at_its_place_and_changes_nothing() {
    let world = World::new().await;
    let mut served = world.serve_alone().await;
    let (org, contact) = (new_org(), new_id());
    world.tell(org, &identified(contact, 1, "dev@acme.com")).await;
    let bad = crm::UpdateContactRequest {
        name: Some("  ".into()),
        title: Some("x".repeat(201)),
        company: Some("a\nb".into()),
        ..update(contact)
    };
    let (_, code, fields) = failure(served.contacts.update_contact(world.caller(org).asks(bad)).await);
    assert_eq!(code, "validation_failed");
    let expected = [
        ("/name", "required"),
        ("/title", "too_long"),
        ("/company", "invalid_character"),
    ];
    assert_eq!(
        fields,
        expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned()))
    );
    let not_an_id = crm::GetContactRequest {
        contact_id: "x".into(),
    };
    assert_eq!(
        failure(
            served
                .contacts
                .get_contact(world.caller(org).asks(not_an_id))
                .await
        )
        .1,
        "invalid_id"
    );
    assert_eq!(
        failure(
            served
                .contacts
                .get_contact(world.caller(org).asks(get(new_id())))
                .await
        )
        .0,
        Code::NotFound
    );
    let viewer = world.caller(org).role(Role::Viewer);
    assert_eq!(
        failure(served.contacts.update_contact(viewer.asks(update(contact))).await).0,
        Code::PermissionDenied
    );
    assert_eq!(read(&world, &mut served, org, contact).await.version, 1);
}

/// Two contacts, the old one with an account and a title set by hand; the old one turns out to be the other.
async fn after_a_merge(world: &World, served: &Served, org: OrgId) -> (Uuid, Uuid, Uuid) {
    let (old, kept, account) = (new_id(), new_id(), new_id());
    world.tell(org, &discovered(account, 1, "acme.com")).await;
    world.tell(org, &identified(old, 1, "old@acme.com")).await;
    world.tell(org, &linked(old, account)).await;
    world.tell(org, &identified(kept, 1, "kept@acme.com")).await;
    let by_hand = crm::UpdateContactRequest {
        title: Some("Boss".into()),
        ..update(old)
    };
    world.caller(org).update_contact(served, by_hand).await.unwrap();
    world.tell(org, &merged(old, kept, Some(account))).await;
    (old, kept, account)
}

fn emails(contact: &crm::Contact) -> Vec<&str> {
    contact
        .identities
        .iter()
        .map(|identity| identity.value.as_str())
        .collect()
}

#[tokio::test]
async fn a_merged_contact_is_gone_and_its_identities_and_edits_live_on() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let (old, kept, account) = after_a_merge(&world, &served, org).await;
    assert_eq!(
        world.caller(org).contact(&served, old).await.unwrap_err().0,
        Code::NotFound
    );
    let survivor = world.caller(org).contact(&served, kept).await.unwrap();
    assert_eq!(emails(&survivor), ["kept@acme.com", "old@acme.com"]);
    assert_eq!(
        (survivor.title.as_deref(), survivor.email.as_deref()),
        (Some("Boss"), Some("kept@acme.com"))
    );
    assert_eq!(survivor.account_id, Some(account.to_string()));
    let told: Vec<events::ContactDeleted> = world.told(org).await;
    let expected = events::ContactDeleted {
        contact_id: old.to_string(),
        merged_into: Some(kept.to_string()),
    };
    assert_eq!(told, [expected]);
    assert_eq!(
        world
            .caller(org)
            .account(&served, account)
            .await
            .unwrap()
            .contact_count,
        1
    );
}

#[tokio::test]
async fn what_is_told_late_of_a_merged_contact_reaches_the_survivor() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let (old, kept, account) = after_a_merge(&world, &served, org).await;
    world.tell(org, &identified(old, 2, "older@acme.com")).await;
    assert_eq!(
        world.caller(org).contact(&served, old).await.unwrap_err().0,
        Code::NotFound
    );
    let survivor = world.caller(org).contact(&served, kept).await.unwrap();
    assert_eq!(emails(&survivor), ["kept@acme.com", "older@acme.com"]);
    assert_eq!(
        world
            .caller(org)
            .account(&served, account)
            .await
            .unwrap()
            .contact_count,
        1
    );
}

#[tokio::test]
async fn an_anonymous_profile_that_becomes_known_leaves_contacts_alone() {
    let world = World::new().await;
    let mut served = world.serve_alone().await;
    let (org, contact) = (new_org(), new_id());
    world.tell(org, &identified(contact, 1, "dev@acme.com")).await;
    let before = (
        read(&world, &mut served, org, contact).await,
        world.told_count(org).await,
    );
    world.tell(org, &merged(new_id(), contact, None)).await;
    assert_eq!(
        (
            read(&world, &mut served, org, contact).await,
            world.told_count(org).await
        ),
        before
    );
}
