//! Lists: a walk over the pages is the whole list, for every sort and filter.

use std::cmp::Ordering;
use std::collections::HashMap;

use contracts::crm::v1 as crm;
use contracts::events::v1 as events;
use contracts::identity::v1::Identity;
use contracts::scores::v1::{Tier, Trend};
use ids::{Clock as _, OrgId};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use uuid::Uuid;

use crate::harness::{Served, World, discovered, identified, identity, new_id, new_org, scored};

#[derive(Debug, Clone)]
struct AccountPlan {
    name: String,
    points: Option<(i32, i32)>,
    domain: u8,
    country: Option<&'static str>,
    industry: Option<&'static str>,
    same_instant: bool,
}

fn account_plan() -> impl Strategy<Value = AccountPlan> {
    (
        "[aAbBéZ ]{1,3}|x{70}[ab]",
        proptest::option::weighted(0.7, (0..=100_i32, 1..=3_i32)),
        0..20_u8,
        proptest::option::of(prop_oneof![Just("DE"), Just("US")]),
        proptest::option::of(prop_oneof![Just("Retail"), Just("Tools")]),
        any::<bool>(),
    )
        .prop_map(
            |(name, points, domain, country, industry, same_instant)| AccountPlan {
                name,
                points,
                domain,
                country,
                industry,
                same_instant,
            },
        )
}

/// Values of a strategy, new ones on every run; a failure prints the walk that differs.
fn sample<S: Strategy>(strategy: S) -> S::Value {
    strategy.new_tree(&mut TestRunner::default()).unwrap().current()
}

async fn fill_accounts(world: &World, org: OrgId, plans: &[AccountPlan]) {
    for plan in plans {
        if !plan.same_instant {
            world.tick();
        }
        let account = new_id();
        let event = events::AccountDiscovered {
            name: Some(plan.name.clone()),
            country: plan.country.map(str::to_owned),
            industry: plan.industry.map(str::to_owned),
            ..discovered(account, 1, &format!("c{}.dev", plan.domain))
        };
        world.tell(org, &event).await;
        if let Some((points, trend)) = plan.points {
            let trend = Trend::try_from(trend).unwrap();
            world
                .tell(org, &scored(account, 1, points, trend, world.clock.now()))
                .await;
        }
    }
    // Hidden rows must stay hidden in every list.
    world
        .tell(org, &scored(new_id(), 1, 50, Trend::Rising, world.clock.now()))
        .await;
}

pub fn filter(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

async fn walk_accounts(
    world: &World,
    served: &mut Served,
    org: OrgId,
    asked: crm::ListAccountsRequest,
) -> Vec<crm::Account> {
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let request = crm::ListAccountsRequest {
            cursor: cursor.take(),
            ..asked.clone()
        };
        let page = served
            .accounts
            .list_accounts(world.caller(org).asks(request))
            .await
            .unwrap()
            .into_inner();
        let limit = usize::try_from(asked.limit.unwrap_or(50)).unwrap();
        assert!(
            page.data.len() == limit || !page.has_more,
            "a short page that is not the last"
        );
        assert_eq!(page.has_more, page.next_cursor.is_some());
        all.extend(page.data);
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return all,
        }
    }
}

/// The place of an account in a sort: its key, then its id; both turn around with the direction, except that accounts
/// without a score are last both ways.
fn compare_accounts(sort: &str, a: &crm::Account, b: &crm::Account) -> Ordering {
    let key_of_name =
        |account: &crm::Account| account.name.to_lowercase().chars().take(64).collect::<String>();
    let ids = a.id.cmp(&b.id);
    let rising = match sort.trim_start_matches('-') {
        "score" => {
            let unscored = if sort == "score" { 101 } else { -1 };
            a.score
                .unwrap_or(unscored)
                .cmp(&b.score.unwrap_or(unscored))
                .then(ids)
        }
        "name" => key_of_name(a).cmp(&key_of_name(b)).then(ids),
        _ => {
            let at = |account: &crm::Account| account.created_at.map(|at| (at.seconds, at.nanos));
            at(a).cmp(&at(b)).then(ids)
        }
    };
    if sort.starts_with('-') {
        rising.reverse()
    } else {
        rising
    }
}

fn matches_account(account: &crm::Account, filters: &HashMap<String, String>) -> bool {
    filters.iter().all(|(name, value)| match name.as_str() {
        "tier" => account.tier() == Tier::from_str_name(&format!("TIER_{value}")).unwrap(),
        "trend" => account.trend() == Trend::from_str_name(&format!("TREND_{value}")).unwrap(),
        "domain" => account.domain.as_deref() == Some(&value.to_lowercase()),
        "country" => account.country.as_deref() == Some(&value.to_uppercase()),
        "industry" => account.industry.as_deref() == Some(value),
        other => panic!("{other}"),
    })
}

#[tokio::test]
async fn a_walk_over_accounts_is_the_sorted_list_for_every_sort_and_filter() {
    let world = World::new().await;
    let mut served = world.serve_alone().await;
    let org = new_org();
    let plans = sample(prop::collection::vec(account_plan(), 60));
    fill_accounts(&world, org, &plans).await;
    fill_accounts(&world, new_org(), &plans[..10]).await;
    let everything = walk_accounts(&world, &mut served, org, crm::ListAccountsRequest::default()).await;
    assert_eq!(everything.len(), plans.len());

    let filters = [
        filter(&[]),
        filter(&[("tier", "INACTIVE")]),
        filter(&[("tier", "COLD")]),
        filter(&[("tier", "WARM")]),
        filter(&[("tier", "HOT")]),
        filter(&[("trend", "RISING")]),
        filter(&[("domain", "C3.dev")]),
        filter(&[("country", "de")]),
        filter(&[("industry", "Tools")]),
        filter(&[("industry", "nobody's")]),
        filter(&[
            ("tier", "COLD"),
            ("country", "US"),
            ("industry", "Retail"),
            ("trend", "STABLE"),
        ]),
        filter(&[("country", "DE"), ("domain", "c1.dev")]),
    ];
    for sort in ["score", "-score", "name", "-name", "createdAt", "-createdAt"] {
        for filter in &filters {
            let mut expected: Vec<_> = everything
                .iter()
                .filter(|account| matches_account(account, filter))
                .cloned()
                .collect();
            expected.sort_by(|a, b| compare_accounts(sort, a, b));
            let asked = crm::ListAccountsRequest {
                limit: Some(sample(1..=25_i32)),
                sort: Some(sort.to_owned()),
                filter: filter.clone(),
                include: Some("totalCount".to_owned()),
                ..crm::ListAccountsRequest::default()
            };
            let first = served
                .accounts
                .list_accounts(world.caller(org).asks(asked.clone()))
                .await
                .unwrap()
                .into_inner();
            assert_eq!(first.total_count, Some(expected.len() as i64));
            let walked = walk_accounts(&world, &mut served, org, asked).await;
            assert_eq!(walked, expected, "{sort} {filter:?}");
        }
    }
    let unsorted = walk_accounts(&world, &mut served, org, crm::ListAccountsRequest::default()).await;
    assert!(unsorted.is_sorted_by(|a, b| compare_accounts("-score", a, b).is_lt()));
}

async fn walk_contacts(
    world: &World,
    served: &mut Served,
    org: OrgId,
    asked: crm::ListContactsRequest,
) -> Vec<crm::Contact> {
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let request = crm::ListContactsRequest {
            cursor: cursor.take(),
            ..asked.clone()
        };
        let page = served
            .contacts
            .list_contacts(world.caller(org).asks(request))
            .await
            .unwrap()
            .into_inner();
        all.extend(page.data);
        assert_eq!(page.has_more, page.next_cursor.is_some());
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return all,
        }
    }
}

fn compare_contacts(sort: &str, a: &crm::Contact, b: &crm::Contact) -> Ordering {
    let at = |at: &Option<prost_types::Timestamp>| at.map(|at| (at.seconds, at.nanos));
    let key_of_name =
        |contact: &crm::Contact| contact.name.to_lowercase().chars().take(64).collect::<String>();
    let rising = match sort.trim_start_matches('-') {
        "createdAt" => at(&a.created_at).cmp(&at(&b.created_at)),
        "lastSeenAt" => at(&a.last_seen_at).cmp(&at(&b.last_seen_at)),
        _ => key_of_name(a).cmp(&key_of_name(b)),
    };
    let rising = rising.then(a.id.cmp(&b.id));
    if sort.starts_with('-') {
        rising.reverse()
    } else {
        rising
    }
}

async fn fill_contacts(world: &World, org: OrgId, accounts: &[Uuid], count: usize) {
    let plans = sample(prop::collection::vec(
        (
            "[a-cA-C]{0,2}",
            proptest::option::of(0..3_usize),
            0..15_u8,
            any::<bool>(),
        ),
        count,
    ));
    for (name, account, who, same_instant) in &plans {
        if !same_instant {
            world.tick();
        }
        let event = events::ContactIdentified {
            name: (!name.is_empty()).then(|| name.clone()),
            account_id: account.map(|account| accounts[account].to_string()),
            identities: vec![
                identity("email", &format!("dev{who}@x.dev")),
                Identity {
                    verified: false,
                    ..identity("email", &format!("other{who}@x.dev"))
                },
                identity("github", &format!("dev{}", who % 7)),
            ],
            ..identified(new_id(), 1, "")
        };
        world.tell(org, &event).await;
    }
}

#[tokio::test]
async fn a_walk_over_contacts_is_the_sorted_list_for_every_sort_and_filter() {
    let world = World::new().await;
    let mut served = world.serve_alone().await;
    let org = new_org();
    let accounts: Vec<Uuid> = (0..3).map(|_| new_id()).collect();
    fill_contacts(&world, org, &accounts, 60).await;
    let everything = walk_contacts(&world, &mut served, org, crm::ListContactsRequest::default()).await;
    assert_eq!(everything.len(), 60);
    let has = |contact: &crm::Contact, kind: &str, value: &str| {
        contact
            .identities
            .iter()
            .any(|identity| identity.r#type == kind && identity.value == value.to_lowercase())
    };
    let filters = [
        filter(&[]),
        filter(&[("accountId", &accounts[1].to_string())]),
        filter(&[("email", "dev3@x.dev")]),
        filter(&[("email", "OTHER4@x.dev")]),
        filter(&[("github", "Dev5")]),
        filter(&[("github", "dev1"), ("accountId", &accounts[0].to_string())]),
        filter(&[("email", "nobody@x.dev")]),
    ];
    for sort in [
        "createdAt",
        "-createdAt",
        "name",
        "-name",
        "lastSeenAt",
        "-lastSeenAt",
    ] {
        for filter in &filters {
            let fits = |contact: &&crm::Contact| {
                filter.iter().all(|(name, value)| match name.as_str() {
                    "accountId" => contact.account_id.as_ref() == Some(value),
                    kind => has(contact, kind, value),
                })
            };
            let mut expected: Vec<_> = everything.iter().filter(fits).cloned().collect();
            expected.sort_by(|a, b| compare_contacts(sort, a, b));
            let asked = crm::ListContactsRequest {
                limit: Some(sample(1..=25_i32)),
                sort: Some(sort.to_owned()),
                filter: filter.clone(),
                ..crm::ListContactsRequest::default()
            };
            let walked = walk_contacts(&world, &mut served, org, asked).await;
            assert_eq!(walked, expected, "{sort} {filter:?}");
        }
    }
}
