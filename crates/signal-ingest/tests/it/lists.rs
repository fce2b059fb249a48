//! Questions about recorded signals: filters, order, pages, sizes.

use std::collections::HashMap;

use contracts::convert;
use contracts::signals::v1::{GetSignalRequest, ListSignalsRequest, ListSignalsResponse, Signal};
use errors::{ApiError, ErrorCode};
use eventbus::Handler as _;
use ids::OrgId;
use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use rpc::Role;
use uuid::Uuid;

use crate::harness::{World, new_id, new_org, now, refused, resolved};
use crate::record::{batch, handler};

async fn list(world: &World, org: OrgId, request: ListSignalsRequest) -> ListSignalsResponse {
    let request = world.member(org, Role::Viewer, request);
    world
        .signals
        .clone()
        .list_signals(request)
        .await
        .unwrap()
        .into_inner()
}

async fn refusal(world: &World, request: ListSignalsRequest) -> ApiError {
    let request = world.member(new_org(), Role::Viewer, request);
    refused(world.signals.clone().list_signals(request).await)
}

fn filter(name: &str, value: &str) -> ListSignalsRequest {
    ListSignalsRequest {
        filter: [(name.to_owned(), value.to_owned())].into(),
        ..ListSignalsRequest::default()
    }
}

fn at(base: Timestamp, seconds: i64) -> Option<prost_types::Timestamp> {
    Some(convert::timestamp(
        base.checked_add(SignedDuration::from_secs(seconds)).unwrap(),
    ))
}

fn types(page: &ListSignalsResponse) -> Vec<&str> {
    page.data.iter().map(|signal| signal.r#type.as_str()).collect()
}

/// Five signals a second apart: of nobody, through a source, of a visitor, of a person, of a company.
fn five(org: OrgId, base: Timestamp, [source, actor, contact, account]: [Uuid; 4]) -> Vec<Signal> {
    let signal = |kind: &str, seconds: i64| Signal {
        timestamp: at(base, seconds),
        ..resolved(org, kind)
    };
    let text = |id: Uuid| Some(id.to_string());
    vec![
        signal("plain", -5),
        Signal {
            source_id: text(source),
            ..signal("sourced", -4)
        },
        Signal {
            actor_id: text(actor),
            anonymous_id: Some("v1".into()),
            ..signal("visit", -3)
        },
        Signal {
            actor_id: text(contact),
            contact_id: text(contact),
            ..signal("known", -2)
        },
        Signal {
            account_id: text(account),
            ..signal("company", -1)
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_filter_selects_its_signals_newest_first() {
    let (world, org) = (World::new().await, new_org());
    let base = now();
    let (source, actor, contact, account) = (new_id(), new_id(), new_id(), new_id());
    let signals = five(org, base, [source, actor, contact, account]);
    handler(&world).handle(batch(org, signals)).await.unwrap();

    let all = list(&world, org, ListSignalsRequest::default()).await;
    assert_eq!(types(&all), ["company", "known", "visit", "sourced", "plain"]);
    let ascending = ListSignalsRequest {
        sort: Some("timestamp".into()),
        ..ListSignalsRequest::default()
    };
    assert_eq!(
        types(&list(&world, org, ascending).await),
        ["plain", "sourced", "visit", "known", "company"]
    );
    for (name, value, want) in [
        ("type", "visit".to_owned(), vec!["visit"]),
        ("sourceId", source.to_string(), vec!["sourced"]),
        ("actorId", actor.to_string(), vec!["visit"]),
        ("actorId", contact.to_string(), vec!["known"]),
        ("contactId", contact.to_string(), vec!["known"]),
        ("contactId", actor.to_string(), vec![]),
        ("accountId", account.to_string(), vec!["company"]),
        ("anonymousId", "v1".to_owned(), vec!["visit"]),
    ] {
        assert_eq!(
            types(&list(&world, org, filter(name, &value)).await),
            want,
            "{name}"
        );
    }
    let path = ListSignalsRequest {
        account_id: Some(account.to_string()),
        ..ListSignalsRequest::default()
    };
    assert_eq!(types(&list(&world, org, path).await), ["company"]);
    let span = ListSignalsRequest {
        from: at(base, -4),
        to: at(base, -2),
        ..ListSignalsRequest::default()
    };
    assert_eq!(types(&list(&world, org, span).await), ["visit", "sourced"]);
    assert!(
        list(&world, new_org(), ListSignalsRequest::default())
            .await
            .data
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_offered_is_refused_by_name() {
    let world = World::new().await;
    let both = ListSignalsRequest {
        account_id: Some(new_id().to_string()),
        ..filter("accountId", &new_id().to_string())
    };
    let plain = ListSignalsRequest::default;
    let text = |text: &str| Some(text.to_owned());
    for (request, pointer) in [
        (filter("typ", "x"), "?filter[typ]"),
        (filter("accountId", "x"), "?filter[accountId]"),
        (filter("type", "a\0b"), "?filter[type]"),
        (filter("type", ""), "?filter[type]"),
        (both, "?filter[accountId]"),
        (
            ListSignalsRequest {
                sort: text("-score"),
                ..plain()
            },
            "?sort",
        ),
        (
            ListSignalsRequest {
                include: text("x"),
                ..plain()
            },
            "?include",
        ),
        (
            ListSignalsRequest {
                limit: Some(0),
                ..plain()
            },
            "?limit",
        ),
        (
            ListSignalsRequest {
                limit: Some(201),
                ..plain()
            },
            "?limit",
        ),
    ] {
        let error = refusal(&world, request).await;
        assert_eq!(
            (error.code, error.fields[0].pointer.as_str()),
            (ErrorCode::InvalidParameter, pointer)
        );
    }
    let cursor = ListSignalsRequest {
        cursor: text("x"),
        ..plain()
    };
    assert_eq!(refusal(&world, cursor).await.code, ErrorCode::InvalidCursor);
    let account = ListSignalsRequest {
        account_id: Some("x".into()),
        ..plain()
    };
    assert_eq!(refusal(&world, account).await.code, ErrorCode::InvalidId);
    let get = |id: String| world.member(new_org(), Role::Viewer, GetSignalRequest { signal_id: id });
    let (bad, absent) = (get("x".into()), get(new_id().to_string()));
    assert_eq!(
        refused(world.signals.clone().get_signal(bad).await).code,
        ErrorCode::InvalidId
    );
    assert_eq!(
        refused(world.signals.clone().get_signal(absent).await).code,
        ErrorCode::NotFound
    );
}

/// Follows the cursors to the end; returns the ids in order and how many pages there were.
async fn walk(world: &World, org: OrgId, first: ListSignalsRequest) -> (Vec<String>, usize) {
    let (mut ids, mut pages, mut request) = (Vec::new(), 0, first);
    loop {
        let page = list(world, org, request.clone()).await;
        pages += 1;
        assert!(page.encoded_len() < 4 << 20, "a page must fit into a message");
        assert_eq!(page.has_more, page.next_cursor.is_some());
        assert!(!page.data.is_empty() || !page.has_more);
        ids.extend(page.data.into_iter().map(|signal| signal.id));
        match page.next_cursor {
            Some(cursor) => request.cursor = Some(cursor),
            None => return (ids, pages),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_every_signal_once_also_of_the_same_moment() {
    let (world, org) = (World::new().await, new_org());
    let base = now();
    let signals: Vec<_> = (0..250)
        .map(|n| Signal {
            timestamp: at(base, -i64::from(n / 40)),
            ..resolved(org, "t")
        })
        .collect();
    let mut order: Vec<_> = signals
        .iter()
        .map(|s| (s.timestamp.unwrap().seconds, s.id.clone()))
        .collect();
    order.sort();
    let ascending: Vec<String> = order.into_iter().map(|(_, id)| id).collect();
    handler(&world).handle(batch(org, signals)).await.unwrap();
    for limit in [1, 7, 50, 200] {
        for sort in ["timestamp", "-timestamp"] {
            let request = ListSignalsRequest {
                limit: Some(limit),
                sort: Some(sort.to_owned()),
                filter: HashMap::from([("type".to_owned(), "t".to_owned())]),
                ..ListSignalsRequest::default()
            };
            let (mut ids, pages) = walk(&world, org, request).await;
            assert_eq!(pages, 250_usize.div_ceil(usize::try_from(limit).unwrap()));
            if sort == "-timestamp" {
                ids.reverse();
            }
            assert_eq!(ids, ascending, "{sort} {limit}");
        }
    }
    let counted = ListSignalsRequest {
        include: Some("totalCount".into()),
        ..ListSignalsRequest::default()
    };
    let page = list(&world, org, counted).await;
    assert_eq!((page.total_count, page.data.len()), (Some(250), 50));
    // A cursor belongs to its list.
    let stolen = ListSignalsRequest {
        cursor: page.next_cursor,
        ..filter("type", "t")
    };
    let request = world.member(org, Role::Viewer, stolen);
    assert_eq!(
        refused(world.signals.clone().list_signals(request).await).code,
        ErrorCode::InvalidCursor
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn large_signals_make_short_pages_that_fit_into_a_message() {
    let (world, org) = (World::new().await, new_org());
    // What grows most when encoded: lists of short numbers; and what grows most as text.
    for value in [serde_json::json!([0]), serde_json::json!([1e308])] {
        let count = 64_000 / (value.to_string().len() - 1);
        let list = serde_json::Value::Array(vec![value[0].clone(); count]);
        let metadata = convert::to_struct([("a".to_owned(), list)].into_iter().collect());
        for _ in 0..20 {
            let signal = Signal {
                metadata: Some(metadata.clone()),
                ..resolved(org, "large")
            };
            handler(&world).handle(batch(org, vec![signal])).await.unwrap();
        }
    }
    let request = ListSignalsRequest {
        limit: Some(200),
        ..ListSignalsRequest::default()
    };
    let (ids, pages) = walk(&world, org, request).await;
    assert_eq!(ids.len(), 40);
    assert!(pages > 1);
}
