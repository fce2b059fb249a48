//! Requests for lists: what is refused, and with which words.

use errors::ErrorCode;
use store::list::ListRequest;

use crate::lists::{THINGS, Thing, fill, filters};
use crate::support::{org, stores};

#[test]
fn what_is_not_allowed_is_named_with_what_is() {
    let scope = org();
    let refuse = |request: ListRequest<'_>| {
        let error = THINGS.prepare(&scope, "ListThings", &request).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidParameter, "{error:?}");
        (error.fields[0].pointer.clone(), error.detail)
    };
    let filter = |name: &str, value: &str| ListRequest {
        filters: filters(&[(name, value)]),
        ..Default::default()
    };
    let (pointer, text) = refuse(filter("colour", "red"));
    assert_eq!(pointer, "?filter[colour]");
    assert!(text.contains("tier, name, minScore, before, partId"), "{text}");
    assert_eq!(refuse(filter("tier", "hot")).1, "tier must be one of: HOT, COLD");
    assert_eq!(refuse(filter("minScore", "x")).0, "?filter[minScore]");
    let (pointer, text) = refuse(ListRequest {
        sort: Some("colour"),
        ..Default::default()
    });
    assert_eq!(pointer, "?sort");
    assert!(text.contains("createdAt, -createdAt"), "{text}");
    assert_eq!(
        refuse(ListRequest {
            sort: Some("name,-score"),
            ..Default::default()
        })
        .0,
        "?sort"
    );
    assert_eq!(
        refuse(ListRequest {
            include: Some("everything"),
            ..Default::default()
        })
        .0,
        "?include"
    );
    assert_eq!(
        refuse(ListRequest {
            limit: Some(201),
            ..Default::default()
        })
        .0,
        "?limit"
    );
    let twice = ListRequest {
        filters: filters(&[("tier", "HOT"), ("tier", "COLD")]),
        ..Default::default()
    };
    assert_eq!(refuse(twice).0, "?filter[tier]");
}

#[tokio::test]
async fn a_cursor_of_another_organization_sort_or_filter_is_refused() {
    let stores = stores().await;
    let scope = org();
    fill(&stores, &scope, &[(Some(1), 0.0, 1), (Some(2), 0.0, 2)]).await;
    let first = ListRequest {
        limit: Some(1),
        ..Default::default()
    };
    let mut tx = stores.db.begin(&scope).await.unwrap();
    let page = THINGS
        .prepare(&scope, "ListThings", &first)
        .unwrap()
        .fetch::<Thing>(&mut tx)
        .await
        .unwrap();
    let cursor = page.next_cursor.unwrap();
    let again = ListRequest {
        cursor: Some(&cursor),
        ..Default::default()
    };
    assert!(THINGS.prepare(&scope, "ListThings", &again).is_ok());
    let refused = [
        THINGS.prepare(&org(), "ListThings", &again),
        THINGS.prepare(&scope, "ListOthers", &again),
        THINGS.prepare(
            &scope,
            "ListThings",
            &ListRequest {
                sort: Some("createdAt"),
                ..again.clone()
            },
        ),
        THINGS.prepare(
            &scope,
            "ListThings",
            &ListRequest {
                filters: filters(&[("tier", "HOT")]),
                ..again.clone()
            },
        ),
        THINGS.prepare(
            &scope,
            "ListThings",
            &ListRequest {
                cursor: Some("x"),
                ..Default::default()
            },
        ),
    ];
    for refusal in refused {
        assert_eq!(refusal.unwrap_err().code, ErrorCode::InvalidCursor);
    }
}
