//! Search over all kinds of records, as callers see it.

use ::crm::domain::extras::Object;
use ::crm::domain::search::Kind;
use ::crm::store::ContactDraft;
use contracts::crm::v1 as crm;
use contracts::crm::v1::note_service_client::NoteServiceClient;
use contracts::crm::v1::search_service_client::SearchServiceClient;
use ids::OrgId;
use rpc::Role;
use tonic::Code;
use tonic::transport::Channel;

use crate::by_hand::{account, contact, create_account, create_contact};
use crate::deals::{create, deal, deals};
use crate::harness::{As, Served, World, discovered, failure, identified, merged, new_id, new_org};
use crate::imports_desk::Desk;

pub fn searching(served: &Served) -> SearchServiceClient<Channel> {
    SearchServiceClient::new(served.channel.clone())
}

fn q(text: &str) -> crm::SearchRequest {
    crm::SearchRequest {
        q: Some(text.to_owned()),
        ..crm::SearchRequest::default()
    }
}

pub async fn found(caller: &As<'_>, served: &Served, text: &str) -> Vec<crm::SearchResult> {
    let answer = searching(served).search(caller.asks(q(text))).await;
    answer.unwrap().into_inner().data
}

async fn titles(world: &World, served: &Served, org: OrgId, text: &str) -> Vec<String> {
    let found = found(&world.caller(org), served, text).await;
    found.into_iter().map(|result| result.title).collect()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn every_kind_of_record_is_found_and_says_why() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let company = create_account(&world, &served, org, account("ludenscheidt.com")).await;
    let request = crm::CreateContactRequest {
        name: Some("Jürgen Łukasz".into()),
        ..contact("jl@acme.com")
    };
    let person = create_contact(&world, &served, org, request).await;
    let chance = create(&world, &served, org, deal("Zürich rollout")).await;
    let mut notes = NoteServiceClient::new(served.channel.clone());
    let note = crm::CreateNoteRequest {
        body: Some("# Kick-off\nWe talked about the Reykjavík migration".into()),
        deal_id: Some(chance.id.clone()),
        ..crm::CreateNoteRequest::default()
    };
    let note = notes.create_note(world.caller(org).asks(note)).await.unwrap();
    let note = note.into_inner().note.unwrap();
    for (text, kind, id, field, reason) in [
        ("jurgen", "contact", &person.id, "name", "word"),
        ("LUKA", "contact", &person.id, "name", "prefix"),
        ("jurgne", "contact", &person.id, "name", "similar"),
        ("jl@acme.com", "contact", &person.id, "email", "exact"),
        (person.id.as_str(), "contact", &person.id, "id", "exact"),
        ("ludenscheidt.com", "account", &company.id, "name", "exact"),
        ("denscheid", "account", &company.id, "name", "partial"),
        ("zurich", "deal", &chance.id, "name", "word"),
        ("reykjavik", "note", &note.id, "body", "word"),
    ] {
        let found = found(&world.caller(org), &served, text).await;
        let first = found.first().unwrap_or_else(|| panic!("{text}"));
        assert_eq!((first.r#type.as_str(), &first.id), (kind, id), "{text}");
        let place = &first.matches[0];
        assert_eq!(
            (place.field.as_str(), place.reason.as_str()),
            (field, reason),
            "{text}"
        );
        assert!(!place.highlights.is_empty() && first.score > 0.0 && first.score <= 1.0);
    }
    assert_eq!(titles(&world, &served, org, "kick").await, ["Kick-off"]);

    // A change shows at once, and what was is found no more.
    let change = crm::UpdateContactRequest {
        contact_id: person.id.clone(),
        name: Some("Ada Byron".into()),
        ..crm::UpdateContactRequest::default()
    };
    served
        .contacts
        .clone()
        .update_contact(world.caller(org).asks(change))
        .await
        .unwrap();
    assert_eq!(titles(&world, &served, org, "byron").await, ["Ada Byron"]);
    assert!(titles(&world, &served, org, "jurgen").await.is_empty());
    // What was only tried is not found.
    let tried = crm::CreateAccountRequest {
        dry_run: Some(true),
        ..account("neverland.com")
    };
    served
        .accounts
        .clone()
        .create_account(world.caller(org).asks(tried))
        .await
        .unwrap();
    assert!(titles(&world, &served, org, "neverland").await.is_empty());
    // What is deleted is not found, nor what is deleted with it.
    let gone = crm::DeleteDealRequest {
        deal_id: chance.id,
        ..crm::DeleteDealRequest::default()
    };
    deals(&served)
        .delete_deal(world.caller(org).asks(gone))
        .await
        .unwrap();
    let gone = crm::DeleteContactRequest {
        contact_id: person.id,
        ..crm::DeleteContactRequest::default()
    };
    served
        .contacts
        .clone()
        .delete_contact(world.caller(org).asks(gone))
        .await
        .unwrap();
    for text in ["zurich", "reykjavik", "byron"] {
        assert!(titles(&world, &served, org, text).await.is_empty(), "{text}");
    }
}

#[tokio::test]
async fn what_events_record_merge_and_remove_is_found_accordingly() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let (org, ours, theirs) = (new_org(), new_id(), new_id());
    world.tell(org, &discovered(new_id(), 1, "acme.com")).await;
    world.tell(org, &identified(ours, 1, "grace@acme.com")).await;
    world.tell(org, &identified(theirs, 1, "hopper@navy.mil")).await;
    assert_eq!(
        titles(&world, &served, org, "acme").await,
        ["acme.com", "grace@acme.com"]
    );
    world.tick();
    world.tell(org, &merged(theirs, ours, None)).await;
    let found = found(&world.caller(org), &served, "hopper").await;
    let ids: Vec<&str> = found.iter().map(|result| result.id.as_str()).collect();
    assert_eq!(ids, [ours.to_string()], "by the address of who was merged");
}

#[tokio::test]
async fn a_walk_shows_everything_once_and_in_order() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    for n in 0..45 {
        world
            .tell(org, &identified(new_id(), 1, &format!("sam{n}@acme.com")))
            .await;
    }
    let all = found(&world.caller(org), &served, "sam").await;
    assert_eq!(all.len(), 45);
    assert!(all.is_sorted_by(|a, b| a.score >= b.score));
    let (mut walked, mut cursor) = (Vec::new(), None);
    loop {
        let request = crm::SearchRequest {
            limit: Some(7),
            cursor,
            ..q("sam")
        };
        let page = searching(&served)
            .search(world.caller(org).asks(request))
            .await
            .unwrap()
            .into_inner();
        walked.extend(page.data);
        cursor = page.next_cursor;
        assert_eq!(cursor.is_some(), page.has_more);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(walked, all);
    let request = crm::SearchRequest {
        limit: Some(7),
        ..q("sam")
    };
    let page = searching(&served)
        .search(world.caller(org).asks(request))
        .await
        .unwrap()
        .into_inner();
    let other = crm::SearchRequest {
        cursor: page.next_cursor,
        ..q("acme")
    };
    let refused = failure(searching(&served).search(world.caller(org).asks(other)).await);
    assert_eq!(refused.1, "invalid_cursor");
}

#[tokio::test]
async fn only_what_the_caller_may_read_is_found() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    world.tell(org, &discovered(new_id(), 1, "acme.com")).await;
    world.tell(org, &identified(new_id(), 1, "dev@acme.com")).await;
    let stranger = world.caller(new_org());
    assert!(found(&stranger, &served, "acme").await.is_empty());
    let kinds =
        |found: Vec<crm::SearchResult>| -> Vec<String> { found.into_iter().map(|r| r.r#type).collect() };
    let viewer = world.caller(org).role(Role::Viewer);
    assert_eq!(
        kinds(found(&viewer, &served, "acme").await),
        ["account", "contact"]
    );
    let narrow = world.caller(org).scopes(&["search:read", "contacts:read"]);
    assert_eq!(kinds(found(&narrow, &served, "acme").await), ["contact"]);
    let asked = crm::SearchRequest {
        types: Some("account".into()),
        ..q("acme")
    };
    let refused = failure(searching(&served).search(narrow.asks(asked.clone())).await);
    assert_eq!(refused.0, Code::PermissionDenied);
    let without = world.caller(org).scopes(&["contacts:read"]);
    assert_eq!(
        failure(searching(&served).search(without.asks(q("acme"))).await).0,
        Code::PermissionDenied
    );
    let one = searching(&served)
        .search(world.caller(org).asks(asked))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(kinds(one.data), ["account"]);
}

#[tokio::test]
async fn what_cannot_be_searched_for_is_refused_at_its_parameter() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let refused = async |request: crm::SearchRequest| {
        failure(searching(&served).search(world.caller(org).asks(request)).await).2
    };
    for (text, code) in [
        ("", "required"),
        ("a", "too_short"),
        ("%%%%", "too_short"),
        ("a\0b", "invalid"),
    ] {
        assert_eq!(
            refused(q(text)).await,
            [("?q".to_owned(), code.to_owned())],
            "{text:?}"
        );
    }
    assert_eq!(
        refused(q(&"x".repeat(201))).await,
        [("?q".to_owned(), "too_long".to_owned())]
    );
    let types = crm::SearchRequest {
        types: Some("account,ghost".into()),
        ..q("ab")
    };
    assert_eq!(
        refused(types).await,
        [("?types".to_owned(), "unknown".to_owned())]
    );
    let limit = crm::SearchRequest {
        limit: Some(0),
        ..q("ab")
    };
    assert_eq!(
        refused(limit).await,
        [("?limit".to_owned(), "out_of_range".to_owned())]
    );
    for harmless in [
        "'; DROP TABLE contacts; --",
        "ab%_\\%",
        "{1,2}",
        "null",
        "\u{202e}ab",
        "\u{1f600} ab",
    ] {
        searching(&served)
            .search(world.caller(org).asks(q(harmless)))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn what_was_there_before_becomes_searchable_once() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let (org, other) = (new_org(), new_org());
    for n in 0..3 {
        world
            .tell(org, &identified(new_id(), 1, &format!("old{n}@acme.com")))
            .await;
        world
            .tell(other, &discovered(new_id(), 1, &format!("old{n}.com")))
            .await;
    }
    create(&world, &served, org, deal("old deal")).await;
    let mut admin = world.admin().await;
    sqlx::query("DELETE FROM search_documents")
        .execute(&mut admin)
        .await
        .unwrap();
    assert!(titles(&world, &served, org, "old").await.is_empty());
    for kind in Kind::ALL {
        // Twice at once, as two processes would.
        let work = async || while world.records.backfill_search(kind).await.unwrap() {};
        tokio::join!(work(), work());
    }
    assert_eq!(titles(&world, &served, org, "old").await.len(), 4);
    assert_eq!(titles(&world, &served, other, "old").await.len(), 3);
}

#[tokio::test]
async fn documents_say_what_records_say_after_writes_at_once() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let person = create_contact(&world, &served, org, contact("a@acme.com")).await;
    let edits = (0..40).map(|n| {
        let mut client = served.contacts.clone();
        let request = world.caller(org).asks(crm::UpdateContactRequest {
            contact_id: person.id.clone(),
            name: Some(format!("Name{n:02}")),
            ..crm::UpdateContactRequest::default()
        });
        async move { client.update_contact(request).await.unwrap() }
    });
    futures::future::join_all(edits).await;
    let now: String = sqlx::query_scalar("SELECT name FROM contacts")
        .fetch_one(&mut world.admin().await)
        .await
        .unwrap();
    assert_eq!(titles(&world, &served, org, "name").await, [now]);
}

#[tokio::test]
async fn what_an_import_brought_is_found_as_it_is_when_search_catches_up() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let desk = Desk::new(&world, org, 2);
    let file = "email,name\nada@acme.com,Adalbert\ngrace@acme.com,Gracia\nlin@acme.com,Lindorm\n";
    let import = desk.bring(Object::Contact, file).await;
    let shown = async |text: &str| titles(&world, &served, org, text).await;
    assert!(
        shown("acme").await.is_empty(),
        "it is not made searchable in its own transactions"
    );
    // Edited before search caught up: the edit is found, also afterwards.
    let id = desk.rows(&import).await[0].result.as_ref().unwrap().id.unwrap();
    let mut draft = ContactDraft::default();
    draft.edit.name = Some("Byron".to_owned());
    let edited = world
        .records
        .edit_contact(&desk.write, ids::ContactId(id), &draft, None);
    edited.await.unwrap();
    assert_eq!(shown("byron").await, ["Byron"]);
    desk.index().await;
    assert_eq!(shown("byron").await, ["Byron"]);
    assert!(shown("adalbert").await.is_empty());
    assert_eq!(shown("gracia").await, ["Gracia"]);
    // Taken back before search caught up: never found.
    let second = desk
        .bring(Object::Contact, "email,name\nzoe@acme.com,Zoe\n")
        .await;
    desk.undo(second.id).await;
    desk.index().await;
    assert!(shown("zoe").await.is_empty());
}
