//! Lists: what is not offered is refused at its parameter, and a cursor works only in its own list.

use std::collections::HashMap;

use contracts::crm::v1::{ListAccountsRequest, ListContactsRequest};
use ids::OrgId;
use tonic::Code;

use crate::harness::{Failure, Served, World, discovered, identified, new_id, new_org};
use crate::lists::filter;

fn accounts() -> ListAccountsRequest {
    ListAccountsRequest::default()
}

#[tokio::test]
async fn what_a_list_does_not_offer_is_refused_at_its_parameter() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let caller = world.caller(new_org());
    let limit = |limit| ListAccountsRequest {
        limit: Some(limit),
        ..accounts()
    };
    let sort = |sort: &str| ListAccountsRequest {
        sort: Some(sort.into()),
        ..accounts()
    };
    let filtered = |name, value| ListAccountsRequest {
        filter: filter(&[(name, value)]),
        ..accounts()
    };
    let include = ListAccountsRequest {
        include: Some("contacts".into()),
        ..accounts()
    };
    for (request, pointer) in [
        (limit(0), "?limit"),
        (limit(201), "?limit"),
        (sort("employees"), "?sort"),
        (sort("--score"), "?sort"),
        (sort("-score,name"), "?sort"),
        (include, "?include"),
        (filtered("tier", "hot"), "?filter[tier]"),
        (filtered("trend", "UP"), "?filter[trend]"),
        (filtered("name", "x"), "?filter[name]"),
        (filtered("domain", "a\0b"), "?filter[domain]"),
    ] {
        let (code, word, fields) = caller.accounts(&served, request).await.unwrap_err();
        assert_eq!(
            (code, word.as_str()),
            (Code::InvalidArgument, "invalid_parameter")
        );
        assert_eq!(fields[0].0, pointer);
    }
    let list = ListContactsRequest {
        filter: filter(&[("accountId", "x")]),
        ..ListContactsRequest::default()
    };
    let (_, _, fields) = caller.contacts(&served, list).await.unwrap_err();
    assert_eq!(fields[0].0, "?filter[accountId]");
}

/// Three accounts, three contacts, and the cursor behind the first account.
async fn begun(world: &World, served: &Served, org: OrgId) -> String {
    for n in 0..3 {
        world
            .tell(org, &discovered(new_id(), 1, &format!("c{n}.dev")))
            .await;
        world
            .tell(org, &identified(new_id(), 1, &format!("d{n}@x.dev")))
            .await;
    }
    let page = world.caller(org).accounts(served, behind("")).await.unwrap();
    page.next_cursor.unwrap()
}

fn behind(cursor: &str) -> ListAccountsRequest {
    ListAccountsRequest {
        limit: Some(1),
        cursor: Some(cursor.to_owned()),
        ..accounts()
    }
}

fn assert_invalid((code, word, fields): Failure) {
    assert_eq!((code, word.as_str()), (Code::InvalidArgument, "invalid_cursor"));
    assert_eq!(fields[0].0, "?cursor");
}

#[tokio::test]
async fn a_cursor_works_only_in_its_own_list() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let cursor = begun(&world, &served, org).await;
    let (caller, stranger) = (world.caller(org), world.caller(new_org()));
    assert!(caller.accounts(&served, behind(&cursor)).await.is_ok());
    assert_invalid(stranger.accounts(&served, behind(&cursor)).await.unwrap_err());
    let sorted = ListAccountsRequest {
        sort: Some("name".into()),
        ..behind(&cursor)
    };
    assert_invalid(caller.accounts(&served, sorted).await.unwrap_err());
    let filter: HashMap<_, _> = filter(&[("country", "DE")]);
    let filtered = ListAccountsRequest {
        filter,
        ..behind(&cursor)
    };
    assert_invalid(caller.accounts(&served, filtered).await.unwrap_err());
    let foreign = ListContactsRequest {
        cursor: Some(cursor),
        ..ListContactsRequest::default()
    };
    assert_invalid(caller.contacts(&served, foreign).await.unwrap_err());
}

#[tokio::test]
async fn a_cursor_that_was_bent_anywhere_is_refused() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let cursor = begun(&world, &served, org).await;
    for at in 0..cursor.len() {
        let mut bytes = cursor.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let bent = String::from_utf8(bytes).unwrap();
        match world.caller(org).accounts(&served, behind(&bent)).await {
            Err(failure) => assert_invalid(failure),
            // The last character can hold bits that base64 does not use.
            Ok(_) => assert_eq!(at, cursor.len() - 1),
        }
    }
}
