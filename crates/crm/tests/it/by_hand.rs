//! Accounts and contacts by hand: one address is one contact, ids agreed with identity-resolver, removal, batches.

use contracts::convert;
use contracts::crm::v1 as crm;
use contracts::events::v1 as events;
use futures::future::join_all;
use prost_types::ListValue;
use serde_json::json;
use tonic::Code;
use uuid::Uuid;

use crate::harness::{Served, World, discovered, failure, identified, merged, new_id, new_org};

pub fn list_of(words: &[&str]) -> Option<ListValue> {
    let values = words.iter().map(|word| convert::to_value(json!(word))).collect();
    Some(ListValue { values })
}

pub fn contact(email: &str) -> crm::CreateContactRequest {
    crm::CreateContactRequest {
        email: Some(email.to_owned()),
        ..crm::CreateContactRequest::default()
    }
}

pub fn account(domain: &str) -> crm::CreateAccountRequest {
    crm::CreateAccountRequest {
        domain: Some(domain.to_owned()),
        ..crm::CreateAccountRequest::default()
    }
}

pub async fn create_contact(
    world: &World,
    served: &Served,
    org: ids::OrgId,
    request: crm::CreateContactRequest,
) -> crm::Contact {
    let asked = world.caller(org).asks(request);
    let answer = served.contacts.clone().create_contact(asked).await;
    answer.unwrap().into_inner().contact.unwrap()
}

pub async fn create_account(
    world: &World,
    served: &Served,
    org: ids::OrgId,
    request: crm::CreateAccountRequest,
) -> crm::Account {
    let asked = world.caller(org).asks(request);
    let answer = served.accounts.clone().create_account(asked).await;
    answer.unwrap().into_inner().account.unwrap()
}

fn uuid(text: &str) -> Uuid {
    text.parse().unwrap()
}

#[tokio::test]
async fn the_same_contact_fifty_times_at_once_is_one_record() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let calls = (0..50).map(|_| {
        let mut client = served.contacts.clone();
        let request = world.caller(org).asks(contact("Jane@Acme.com"));
        async move { client.create_contact(request).await }
    });
    let answers = join_all(calls).await;
    let created = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(created, 1);
    for refused in answers.into_iter().filter_map(Result::err) {
        assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}");
    }
    let list = crm::ListContactsRequest::default();
    let page = world.caller(org).contacts(&served, list).await.unwrap();
    assert_eq!(page.data.len(), 1);
    assert_eq!(page.data[0].email.as_deref(), Some("jane@acme.com"));
    assert_eq!(world.told::<events::ContactCreated>(org).await.len(), 1);
}

#[tokio::test]
async fn fifty_upserts_at_once_make_one_record_and_all_have_its_id() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let calls = (0..50).map(|_| {
        let mut client = served.contacts.clone();
        let request = world.caller(org).asks(crm::UpsertContactRequest {
            r#match: "email".into(),
            email: Some("jane@acme.com".into()),
            title: Some("CTO".into()),
            ..crm::UpsertContactRequest::default()
        });
        async move { client.upsert_contact(request).await.unwrap().into_inner() }
    });
    let answers = join_all(calls).await;
    let ids: std::collections::BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.contact.as_ref().unwrap().id.clone())
        .collect();
    assert_eq!(ids.len(), 1);
    let count = |word: &str| answers.iter().filter(|answer| answer.outcome == word).count();
    assert_eq!((count("created"), count("noop")), (1, 49));
}

#[tokio::test]
async fn whom_identity_identifies_under_our_id_is_the_same_contact() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let made = create_contact(&world, &served, org, contact("jane@acme.com")).await;
    let stated: Vec<crm::PeopleStated> = world.told(org).await;
    assert_eq!(stated[0].people[0].contact_id, made.id);
    assert_eq!(stated[0].people[0].identities[0].value, "jane@acme.com");
    // identity-resolver takes our id over.
    let event = events::ContactIdentified {
        name: Some("Jane Doe".into()),
        ..identified(uuid(&made.id), 1, "jane@acme.com")
    };
    world.tell(org, &event).await;
    let page = world
        .caller(org)
        .contacts(&served, crm::ListContactsRequest::default())
        .await
        .unwrap();
    assert_eq!(page.data.len(), 1);
    assert_eq!(page.data[0].name, "Jane Doe");
    assert_eq!(page.data[0].identities.len(), 1);
}

#[tokio::test]
async fn whom_identity_knew_already_takes_in_what_was_recorded_by_hand_in_either_order() {
    for merge_first in [true, false] {
        let world = World::new().await;
        let served = world.serve_alone().await;
        let (org, known) = (new_org(), new_id());
        let by_hand = crm::CreateContactRequest {
            title: Some("CTO".into()),
            tags: list_of(&["vip"]),
            ..contact("jane@acme.com")
        };
        let made = create_contact(&world, &served, org, by_hand).await;
        let merge = merged(uuid(&made.id), known, None);
        if merge_first {
            world.tell(org, &merge).await;
            world.tell(org, &identified(known, 1, "jane@acme.com")).await;
        } else {
            world.tell(org, &identified(known, 1, "jane@acme.com")).await;
            world.tell(org, &merge).await;
        }
        let page = world
            .caller(org)
            .contacts(&served, crm::ListContactsRequest::default())
            .await
            .unwrap();
        assert_eq!(page.data.len(), 1, "merge first: {merge_first}");
        let left = &page.data[0];
        assert_eq!(left.id, known.to_string());
        assert_eq!(left.title.as_deref(), Some("CTO"));
        assert_eq!(left.tags, ["vip"]);
        let filter = crate::lists::filter(&[("tag", "VIP")]);
        let list = crm::ListContactsRequest {
            filter,
            ..crm::ListContactsRequest::default()
        };
        assert_eq!(
            world
                .caller(org)
                .contacts(&served, list)
                .await
                .unwrap()
                .data
                .len(),
            1
        );
    }
}

#[tokio::test]
async fn a_removed_contact_stays_removed_until_somebody_records_it_again() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let made = create_contact(&world, &served, org, contact("jane@acme.com")).await;
    let delete = |if_version| {
        world.caller(org).asks(crm::DeleteContactRequest {
            contact_id: made.id.clone(),
            if_version,
            dry_run: None,
        })
    };
    let mut client = served.contacts.clone();
    assert_eq!(
        failure(client.delete_contact(delete(Some(99))).await).0,
        Code::FailedPrecondition
    );
    client.delete_contact(delete(Some(made.version))).await.unwrap();
    assert_eq!(
        failure(client.delete_contact(delete(None)).await).0,
        Code::NotFound
    );
    world
        .tell(org, &identified(uuid(&made.id), 5, "jane@acme.com"))
        .await;
    assert!(world.caller(org).contact(&served, uuid(&made.id)).await.is_err());
    assert_eq!(world.told::<events::ContactDeleted>(org).await.len(), 1);

    let again = create_contact(&world, &served, org, contact("jane@acme.com")).await;
    assert_eq!(again.id, made.id);
    assert!(world.caller(org).contact(&served, uuid(&made.id)).await.is_ok());
}

#[tokio::test]
async fn bad_contacts_are_refused_with_all_their_places_and_store_nothing() {
    let world = World::new().await;
    let mut served = world.serve_alone().await;
    let org = new_org();
    let bad = crm::CreateContactRequest {
        email: Some("not an address".into()),
        phone: Some("123".into()),
        github: Some("-x-".into()),
        name: Some(" ".into()),
        account_id: Some("x".into()),
        owner_id: Some("y".into()),
        tags: list_of(&[""]),
        ..crm::CreateContactRequest::default()
    };
    let answer = served.contacts.create_contact(world.caller(org).asks(bad)).await;
    let (_, code, mut fields) = failure(answer);
    fields.sort();
    assert_eq!(code, "validation_failed");
    let expected = [
        ("/accountId", "invalid_id"),
        ("/email", "invalid_email"),
        ("/github", "invalid_login"),
        ("/name", "required"),
        ("/ownerId", "invalid_id"),
        ("/phone", "invalid_phone"),
        ("/tags/0", "required"),
    ];
    assert_eq!(fields, expected.map(|(p, c)| (p.to_owned(), c.to_owned())));
    let empty = world.caller(org).asks(crm::CreateContactRequest::default());
    assert_eq!(
        failure(served.contacts.create_contact(empty).await).2[0].1,
        "required"
    );
    let nowhere = crm::CreateContactRequest {
        account_id: Some(new_id().to_string()),
        ..contact("a@b.dev")
    };
    let answer = served
        .contacts
        .create_contact(world.caller(org).asks(nowhere))
        .await;
    assert_eq!(
        failure(answer).2,
        [("/accountId".to_owned(), "not_found".to_owned())]
    );
    assert_eq!(world.told_count(org).await, 0);
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_and_changes_nothing() {
    let world = World::new().await;
    let mut served = world.serve_alone().await;
    let org = new_org();
    let request = crm::CreateContactRequest {
        dry_run: Some(true),
        ..contact("jane@acme.com")
    };
    let answer = served
        .contacts
        .create_contact(world.caller(org).asks(request))
        .await;
    assert_eq!(
        answer.unwrap().into_inner().contact.unwrap().email.as_deref(),
        Some("jane@acme.com")
    );
    let list = crm::ListContactsRequest::default();
    assert_eq!(
        world
            .caller(org)
            .contacts(&served, list)
            .await
            .unwrap()
            .data
            .len(),
        0
    );
    assert_eq!(world.told_count(org).await, 0);
}

#[tokio::test]
async fn every_item_of_a_batch_has_its_own_verdict() {
    let world = World::new().await;
    let mut served = world.serve_alone().await;
    let org = new_org();
    let batch = crm::BatchCreateContactsRequest {
        items: vec![
            contact("a@x.dev"),
            contact("bad"),
            contact("A@x.dev"),
            contact("b@x.dev"),
        ],
        ..crm::BatchCreateContactsRequest::default()
    };
    let answer = served
        .contacts
        .batch_create_contacts(world.caller(org).asks(batch))
        .await;
    let results = answer.unwrap().into_inner().results;
    let seen: Vec<_> = results.iter().map(|r| (r.index, r.status)).collect();
    assert_eq!(seen, [(0, 201), (1, 400), (2, 409), (3, 201)]);
    let problem = results[1].error.as_ref().unwrap();
    assert_eq!(
        (problem.code.as_str(), problem.errors[0].pointer.as_str()),
        ("validation_failed", "/email")
    );

    let change = crm::BatchUpdateContactsRequest {
        items: vec![
            crm::UpdateContactRequest {
                contact_id: results[0].id.clone().unwrap(),
                title: Some("CTO".into()),
                ..crm::UpdateContactRequest::default()
            },
            crm::UpdateContactRequest {
                contact_id: new_id().to_string(),
                ..crm::UpdateContactRequest::default()
            },
        ],
        dry_run: None,
    };
    let answer = served
        .contacts
        .batch_update_contacts(world.caller(org).asks(change))
        .await;
    let statuses: Vec<_> = answer
        .unwrap()
        .into_inner()
        .results
        .iter()
        .map(|r| r.status)
        .collect();
    assert_eq!(statuses, [200, 404]);
    let empty = world.caller(org).asks(crm::BatchCreateContactsRequest::default());
    assert_eq!(
        failure(served.contacts.batch_create_contacts(empty).await).0,
        Code::InvalidArgument
    );
}

#[tokio::test]
async fn an_address_taken_by_another_contact_is_a_conflict() {
    let world = World::new().await;
    let mut served = world.serve_alone().await;
    let org = new_org();
    create_contact(&world, &served, org, contact("a@x.dev")).await;
    let other = create_contact(&world, &served, org, contact("b@x.dev")).await;
    let change = |email: &str| {
        world.caller(org).asks(crm::UpdateContactRequest {
            contact_id: other.id.clone(),
            email: Some(email.to_owned()),
            ..crm::UpdateContactRequest::default()
        })
    };
    assert_eq!(
        failure(served.contacts.update_contact(change("A@X.dev")).await).0,
        Code::AlreadyExists
    );
    let changed = served.contacts.update_contact(change("c@x.dev")).await.unwrap();
    let changed = changed.into_inner().contact.unwrap();
    assert_eq!(
        (changed.email.as_deref(), changed.identities.len()),
        (Some("c@x.dev"), 2)
    );
}

#[tokio::test]
async fn one_domain_is_one_account_and_a_known_one_takes_over_what_was_recorded_by_hand() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let (org, known) = (new_org(), new_id());
    let calls = (0..20).map(|_| {
        let mut client = served.accounts.clone();
        let request = world.caller(org).asks(account("www.acme.com"));
        async move { client.create_account(request).await }
    });
    let made: Vec<_> = join_all(calls).await.into_iter().filter_map(Result::ok).collect();
    assert_eq!(made.len(), 1);
    let made = made.into_iter().next().unwrap().into_inner().account.unwrap();
    assert_eq!(
        (made.name.as_str(), made.domain.as_deref()),
        ("acme.com", Some("acme.com"))
    );
    let person = crm::CreateContactRequest {
        account_id: Some(made.id.clone()),
        ..contact("jane@acme.com")
    };
    create_contact(&world, &served, org, person).await;

    world.tell(org, &discovered(known, 1, "acme.com")).await;
    let event = events::IdentityAccountMerged {
        from_account_id: made.id.clone(),
        account_id: known.to_string(),
    };
    world.tell(org, &event).await;
    let page = world
        .caller(org)
        .accounts(&served, crm::ListAccountsRequest::default())
        .await
        .unwrap();
    assert_eq!(page.data.len(), 1);
    assert_eq!(
        (page.data[0].id.clone(), page.data[0].contact_count),
        (known.to_string(), 1)
    );
    let contacts = world
        .caller(org)
        .contacts(&served, crm::ListContactsRequest::default())
        .await
        .unwrap();
    assert_eq!(
        contacts.data[0].account_id.as_deref(),
        Some(known.to_string().as_str())
    );
}

#[tokio::test]
async fn nothing_by_hand_reaches_another_organization() {
    let world = World::new().await;
    let mut served = world.serve_alone().await;
    let (ours, theirs) = (new_org(), new_org());
    let made = create_contact(&world, &served, ours, contact("jane@acme.com")).await;
    let company = create_account(&world, &served, ours, account("acme.com")).await;
    let stranger = world.caller(theirs);
    let delete = crm::DeleteContactRequest {
        contact_id: made.id.clone(),
        ..crm::DeleteContactRequest::default()
    };
    assert_eq!(
        failure(served.contacts.delete_contact(stranger.asks(delete)).await).0,
        Code::NotFound
    );
    let delete = crm::DeleteAccountRequest {
        account_id: company.id.clone(),
        ..crm::DeleteAccountRequest::default()
    };
    assert_eq!(
        failure(served.accounts.delete_account(stranger.asks(delete)).await).0,
        Code::NotFound
    );
    // The same address is another contact there.
    let other = create_contact(&world, &served, theirs, contact("jane@acme.com")).await;
    assert_ne!(other.id, made.id);
}
