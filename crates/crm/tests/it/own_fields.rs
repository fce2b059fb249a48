//! Own fields of an organization: what values are allowed, and lists by them.

use std::collections::HashMap;

use contracts::convert;
use contracts::crm::v1 as crm;
use contracts::crm::v1::custom_field_service_client::CustomFieldServiceClient;
use ids::OrgId;
use serde_json::{Value, json};
use tonic::transport::Channel;

use crate::deals::{create, deal, deals};
use crate::harness::{Served, World, failure, new_org};

fn fields(served: &Served) -> CustomFieldServiceClient<Channel> {
    CustomFieldServiceClient::new(served.channel.clone())
}

async fn define(world: &World, served: &Served, org: OrgId, key: &str, kind: &str) -> crm::CustomField {
    let request = crm::CreateCustomFieldRequest {
        object: "deal".into(),
        key: key.into(),
        r#type: kind.into(),
        options: if kind == "enum" {
            vec!["small".into(), "big".into()]
        } else {
            vec![]
        },
        unique: Some(key == "code"),
        pattern: (key == "code").then(|| "[A-Z]{3}".into()),
        ..crm::CreateCustomFieldRequest::default()
    };
    let answer = fields(served)
        .create_custom_field(world.caller(org).asks(request))
        .await;
    answer.unwrap().into_inner().custom_field.unwrap()
}

fn values(value: Value) -> Option<prost_types::Struct> {
    Some(convert::to_struct(value.as_object().unwrap().clone()))
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn own_fields_are_checked_kept_filtered_sorted_and_unique() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    for (key, kind) in [
        ("seats", "number"),
        ("size", "enum"),
        ("code", "text"),
        ("until", "date"),
        ("links", "list"),
    ] {
        define(&world, &served, org, key, kind).await;
    }
    let bad = crm::CreateDealRequest {
        custom_fields: values(
            json!({"seats": "many", "size": "huge", "code": "abc", "until": "x", "links": ["a", 1], "no": 1}),
        ),
        ..deal("bad")
    };
    let (_, _, mut problems) = failure(deals(&served).create_deal(world.caller(org).asks(bad)).await);
    problems.sort();
    let expected = [
        ("/customFields/code", "pattern_mismatch"),
        ("/customFields/links/1", "not_a_string"),
        ("/customFields/no", "unknown_field"),
        ("/customFields/seats", "not_a_number"),
        ("/customFields/size", "unknown_option"),
        ("/customFields/until", "invalid_date"),
    ];
    assert_eq!(problems, expected.map(|(p, c)| (p.to_owned(), c.to_owned())));

    for (n, seats) in [5.0, -2.0, 100.0, 0.5].into_iter().enumerate() {
        let request = crm::CreateDealRequest {
            custom_fields: values(
                json!({"seats": seats, "size": if n == 0 { "big" } else { "small" }, "links": ["a", format!("l{n}")]}),
            ),
            ..deal(&format!("d{n}"))
        };
        create(&world, &served, org, request).await;
    }
    create(&world, &served, org, deal("none")).await;
    let list = |sort: &str, filter: &[(&str, &str)], limit: i32, cursor: Option<String>| {
        let filter: HashMap<String, String> =
            filter.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        world.caller(org).asks(crm::ListDealsRequest {
            sort: Some(sort.to_owned()),
            filter,
            limit: Some(limit),
            cursor,
            ..crm::ListDealsRequest::default()
        })
    };
    let mut names = Vec::new();
    let mut cursor = None;
    loop {
        let page = deals(&served)
            .list_deals(list("custom.seats", &[], 3, cursor))
            .await
            .unwrap()
            .into_inner();
        names.extend(page.data.into_iter().map(|deal| deal.name));
        cursor = page.next_cursor;
        if !page.has_more {
            break;
        }
    }
    assert_eq!(
        names,
        ["d1", "d3", "d0", "d2"],
        "deals without a value are left out"
    );
    for (filter, count) in [
        (&[("custom.size", "small")][..], 3),
        (&[("custom.links", "a"), ("custom.size", "big")][..], 1),
        (&[("custom.seats", "100")][..], 1),
        (&[("custom.links", "nobody")][..], 0),
    ] {
        let page = deals(&served)
            .list_deals(list("name", filter, 50, None))
            .await
            .unwrap();
        assert_eq!(page.into_inner().data.len(), count, "{filter:?}");
    }
    for (sort, filter) in [
        ("custom.nothing", &[][..]),
        ("name", &[("custom.nothing", "x")][..]),
        ("name", &[("custom#1", "x")][..]),
    ] {
        let refused = failure(deals(&served).list_deals(list(sort, filter, 50, None)).await);
        assert_eq!(refused.1, "invalid_parameter");
    }
}

#[tokio::test]
async fn a_unique_value_has_one_owner_among_many_at_once() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    define(&world, &served, org, "code", "text").await;
    let calls = (0..20).map(|n| {
        let mut client = deals(&served);
        let request = world.caller(org).asks(crm::CreateDealRequest {
            custom_fields: values(json!({"code": "ABC"})),
            ..deal(&format!("d{n}"))
        });
        async move { client.create_deal(request).await }
    });
    let answers = futures::future::join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let refused = answers.into_iter().find(Result::is_err).unwrap();
    assert_eq!(
        failure(refused).2,
        [("/customFields/code".to_owned(), "not_unique".to_owned())]
    );
}
