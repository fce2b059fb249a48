//! Accounts as they were: at every time what a reader saw then.

use contracts::convert;
use contracts::crm::v1 as crm;
use contracts::scores::v1 as scores;
use ids::{AccountId, Clock as _, OrgId};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use store::OrgScope;
use store::list::ListRequest;
use tonic::Code;
use uuid::Uuid;

use crate::by_hand::{account, contact, create_account, create_contact};
use crate::deals::{create, deal, deals};
use crate::harness::{
    Served, World, discovered, failure, identified, linked, merged, new_id, new_org, scored,
};

/// Something that happens to an account or to what belongs to it.
#[derive(Debug, Clone)]
enum Op {
    Rename(u8),
    Own(bool),
    Tag(u8),
    Meet,
    Link(usize),
    Retitle(usize, u8),
    SeeAgain(usize),
    Leave(usize),
    RemoveContact(usize),
    Merge(usize, usize),
    Offer,
    MoveDeal(usize, usize),
    DropDeal(usize),
    Score(i32),
}

const STAGES: [&str; 4] = ["identified", "activated", "negotiation", "closed_won"];

fn any_op() -> impl Strategy<Value = Op> {
    let n = || 0_usize..6;
    prop_oneof![
        any::<u8>().prop_map(Op::Rename),
        any::<bool>().prop_map(Op::Own),
        (0_u8..4).prop_map(Op::Tag),
        Just(Op::Meet),
        n().prop_map(Op::Link),
        (n(), any::<u8>()).prop_map(|(who, what)| Op::Retitle(who, what)),
        n().prop_map(Op::SeeAgain),
        n().prop_map(Op::Leave),
        n().prop_map(Op::RemoveContact),
        (n(), n()).prop_map(|(from, into)| Op::Merge(from, into)),
        Just(Op::Offer),
        (n(), 0_usize..4).prop_map(|(which, stage)| Op::MoveDeal(which, stage)),
        n().prop_map(Op::DropDeal),
        (0_i32..=100).prop_map(Op::Score),
    ]
}

struct Story<'a> {
    world: &'a World,
    served: &'a Served,
    org: OrgId,
    account: Uuid,
    people: Vec<Uuid>,
    offers: Vec<String>,
    revision: i64,
}

impl Story<'_> {
    async fn update(&self, change: crm::UpdateAccountRequest) {
        let change = crm::UpdateAccountRequest {
            account_id: self.account.to_string(),
            ..change
        };
        let asked = self.world.caller(self.org).asks(change);
        self.served.accounts.clone().update_account(asked).await.unwrap();
    }

    async fn update_contact(&self, change: crm::UpdateContactRequest) {
        // Who was merged or removed is no more; that is part of the story.
        let _ = self
            .served
            .contacts
            .clone()
            .update_contact(self.world.caller(self.org).asks(change))
            .await;
    }

    fn person(&self, n: usize) -> Uuid {
        self.people[n % self.people.len()]
    }

    #[expect(clippy::too_many_lines, reason = "one arm each")]
    async fn play(&mut self, op: &Op) {
        let (world, org) = (self.world, self.org);
        self.revision += 1;
        let id = |n: usize| self.person(n).to_string();
        match op {
            Op::Rename(n) => {
                self.update(crm::UpdateAccountRequest {
                    name: Some(format!("Name {n}")),
                    ..Default::default()
                })
                .await
            }
            Op::Own(set) => {
                let owner = if *set { new_id().to_string() } else { String::new() };
                self.update(crm::UpdateAccountRequest {
                    owner_id: Some(owner),
                    ..Default::default()
                })
                .await;
            }
            Op::Tag(n) => {
                let tag = format!("tag {n}");
                let tags = crate::by_hand::list_of(&[&tag]);
                self.update(crm::UpdateAccountRequest {
                    tags,
                    ..Default::default()
                })
                .await;
            }
            Op::Meet => {
                let person = new_id();
                world
                    .tell(
                        org,
                        &identified(person, 1, &format!("p{}@acme.com", self.people.len())),
                    )
                    .await;
                self.people.push(person);
            }
            Op::Link(n) => drop(world.tell(org, &linked(self.person(*n), self.account)).await),
            Op::Retitle(n, what) => {
                let change = crm::UpdateContactRequest {
                    contact_id: id(*n),
                    title: Some(format!("T{what}")),
                    ..Default::default()
                };
                self.update_contact(change).await;
            }
            Op::SeeAgain(n) => {
                let mut event = identified(self.person(*n), self.revision + 1, "again@acme.com");
                event.identities = vec![crate::harness::identity("email", &format!("p{n}@acme.com"))];
                world.tell(org, &event).await;
            }
            Op::Leave(n) => {
                let change = crm::UpdateContactRequest {
                    contact_id: id(*n),
                    account_id: Some(String::new()),
                    ..Default::default()
                };
                self.update_contact(change).await;
            }
            Op::RemoveContact(n) => {
                let request = crm::DeleteContactRequest {
                    contact_id: id(*n),
                    ..Default::default()
                };
                let _ = self
                    .served
                    .contacts
                    .clone()
                    .delete_contact(world.caller(org).asks(request))
                    .await;
            }
            Op::Merge(from, into) => {
                let (from, into) = (self.person(*from), self.person(*into));
                if from != into {
                    // A second merge of somebody is a contradiction, and refused.
                    let event = merged(from, into, None);
                    let _ = world
                        .deliver(crate::harness::wrap(org, &event, world.clock.now()))
                        .await;
                }
            }
            Op::Offer => {
                let request = crm::CreateDealRequest {
                    account_id: Some(self.account.to_string()),
                    ..deal("offer")
                };
                self.offers
                    .push(create(world, self.served, org, request).await.id);
            }
            Op::MoveDeal(n, stage) if !self.offers.is_empty() => {
                let request = crm::UpdateDealRequest {
                    deal_id: self.offers[n % self.offers.len()].clone(),
                    stage: Some(STAGES[*stage].into()),
                    ..Default::default()
                };
                let _ = deals(self.served)
                    .update_deal(world.caller(org).asks(request))
                    .await;
            }
            Op::DropDeal(n) if !self.offers.is_empty() => {
                let deal_id = self.offers[n % self.offers.len()].clone();
                let request = crm::DeleteDealRequest {
                    deal_id,
                    ..Default::default()
                };
                let _ = deals(self.served)
                    .delete_deal(world.caller(org).asks(request))
                    .await;
            }
            Op::MoveDeal(..) | Op::DropDeal(_) => {}
            Op::Score(points) => {
                let event = scored(
                    self.account,
                    self.revision,
                    *points,
                    scores::Trend::Stable,
                    world.clock.now(),
                );
                world.tell(org, &event).await;
            }
        }
    }

    /// What a reader sees now.
    async fn seen(&self) -> Seen {
        let scope = OrgScope::new(self.org);
        let records = &self.world.records;
        let account = records.account(&scope, AccountId(self.account)).await.unwrap();
        let of_account = || ListRequest {
            limit: Some(200),
            filters: vec![("accountId".to_owned(), self.account.to_string())],
            ..ListRequest::default()
        };
        let contacts = records.list_contacts(&scope, &of_account(), None).await.unwrap();
        let deals = records.list_deals(&scope, &of_account(), None).await.unwrap();
        Seen::new(
            ::crm::wire::account(&account),
            contacts.items.iter().map(::crm::wire::contact).collect(),
            deals.items.iter().map(::crm::wire::deal).collect(),
        )
    }

    async fn as_of(&self, at: Timestamp) -> Seen {
        let scope = OrgScope::new(self.org);
        let mut account = self
            .world
            .records
            .account_as_of(&scope, AccountId(self.account), at)
            .await
            .unwrap();
        let snapshot = account.snapshot.take().unwrap();
        assert_eq!(snapshot.as_of, Some(convert::timestamp(at)));
        assert_eq!(snapshot.score.map(|score| score.score), account.score);
        Seen::new(account, snapshot.contacts, snapshot.deals)
    }
}

/// An account and what belongs to it, without the counters of changes and times of sight, which history does not follow.
#[derive(Debug, PartialEq)]
struct Seen {
    account: crm::Account,
    contacts: Vec<crm::Contact>,
    deals: Vec<crm::Deal>,
}

impl Seen {
    fn new(mut account: crm::Account, mut contacts: Vec<crm::Contact>, mut deals: Vec<crm::Deal>) -> Self {
        (account.version, account.updated_at) = (0, None);
        contacts.sort_by(|a, b| a.id.cmp(&b.id));
        for contact in &mut contacts {
            (contact.version, contact.updated_at) = (0, None);
            (contact.first_seen_at, contact.last_seen_at) = (None, None);
        }
        deals.sort_by(|a, b| a.id.cmp(&b.id));
        Self {
            account,
            contacts,
            deals,
        }
    }
}

#[tokio::test]
async fn whatever_happens_every_time_shows_what_was_seen_then() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let mut runner = TestRunner::default();
    for _ in 0..12 {
        let ops = prop::collection::vec(any_op(), 5..40)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let mut story = Story {
            world: &world,
            served: &served,
            org: new_org(),
            account: new_id(),
            people: Vec::new(),
            offers: Vec::new(),
            revision: 0,
        };
        let before = world.clock.now();
        world.tick();
        world
            .tell(story.org, &discovered(story.account, 1, "acme.com"))
            .await;
        let first = new_id();
        world.tell(story.org, &identified(first, 1, "p0@acme.com")).await;
        story.people.push(first);
        let mut seen = Vec::new();
        for op in &ops {
            world.tick();
            story.play(op).await;
            seen.push((world.clock.now(), story.seen().await));
        }
        for (n, (at, expected)) in seen.iter().enumerate() {
            assert_eq!(
                &story.as_of(*at).await,
                expected,
                "after {:?} of {ops:?}",
                &ops[n]
            );
            let between = *at + SignedDuration::from_micros(500);
            if between < world.clock.now() {
                assert_eq!(&story.as_of(between).await, expected, "until the next change");
            }
        }
        let scope = OrgScope::new(story.org);
        let early = world
            .records
            .account_as_of(&scope, AccountId(story.account), before)
            .await;
        assert!(early.is_err(), "before it was known");
    }
}

fn ask(account: &str, at: Timestamp) -> crm::GetAccountRequest {
    crm::GetAccountRequest {
        account_id: account.to_owned(),
        as_of: Some(convert::timestamp(at)),
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn times_without_a_history_are_refused_with_the_reason() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let org = new_org();
    let before = world.clock.now();
    world.tick();
    let company = create_account(&world, &served, org, account("acme.com")).await;
    let made = world.clock.now();
    world.tick();
    let get = async |org: OrgId, request: crm::GetAccountRequest| {
        served
            .accounts
            .clone()
            .get_account(world.caller(org).asks(request))
            .await
    };
    let future = failure(
        get(
            org,
            ask(&company.id, world.clock.now() + SignedDuration::from_secs(1)),
        )
        .await,
    );
    assert_eq!(
        (future.1.as_str(), future.2),
        ("invalid_parameter", vec![("?asOf".into(), "in_future".into())])
    );
    let early = get(org, ask(&company.id, before)).await.unwrap_err();
    assert_eq!(early.code(), Code::NotFound);
    assert!(early.message().contains("history begins at"), "{early}");
    // Another organization learns nothing of it.
    let foreign = failure(get(new_org(), ask(&company.id, made)).await);
    assert_eq!(foreign, failure(get(org, ask(&new_id().to_string(), made)).await));
    let person = create_contact(
        &world,
        &served,
        org,
        crm::CreateContactRequest {
            account_id: Some(company.id.clone()),
            ..contact("a@acme.com")
        },
    )
    .await;
    world.tick();
    let request = crm::DeleteAccountRequest {
        account_id: company.id.clone(),
        ..Default::default()
    };
    served
        .accounts
        .clone()
        .delete_account(world.caller(org).asks(request))
        .await
        .unwrap();
    let removed = world.clock.now();
    world.tick();
    let gone = get(org, ask(&company.id, removed)).await.unwrap_err();
    assert!(gone.message().contains("had been removed"), "{gone}");
    let was = get(org, ask(&company.id, removed - SignedDuration::from_micros(1)))
        .await
        .unwrap()
        .into_inner();
    let snapshot = was.account.unwrap().snapshot.unwrap();
    assert_eq!(
        snapshot.contacts.iter().map(|c| &c.id).collect::<Vec<_>>(),
        [&person.id]
    );
    // Contacts and deals are shown, so they must be readable.
    let narrow = world.caller(org).scopes(&["accounts:read"]);
    let refused = served
        .accounts
        .clone()
        .get_account(narrow.asks(ask(&company.id, made)))
        .await;
    assert_eq!(failure(refused).0, Code::PermissionDenied);
}

#[tokio::test]
async fn factors_of_a_score_are_kept_and_what_was_there_before_begins_with_what_it_is() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let (org, company) = (new_org(), new_id());
    world.tell(org, &discovered(company, 1, "acme.com")).await;
    let mut event = scored(company, 1, 42, scores::Trend::Rising, world.clock.now());
    event.score.as_mut().unwrap().factors = vec![scores::ScoreFactor {
        name: "user_count".into(),
        points: 42,
        evidence: Some(scores::FactorEvidence {
            summary: "many".into(),
            signal_ids: vec!["x".into()],
            ..Default::default()
        }),
        ..Default::default()
    }];
    world.tell(org, &event).await;
    let mut admin = world.admin().await;
    sqlx::query("DELETE FROM record_versions")
        .execute(&mut admin)
        .await
        .unwrap();
    world.tick();
    let scope = OrgScope::new(org);
    let now = world.clock.now();
    assert!(
        world
            .records
            .account_as_of(&scope, AccountId(company), now)
            .await
            .is_err()
    );
    for kind in ::crm::domain::search::Kind::ALL {
        while world.records.backfill_search(kind).await.unwrap() {}
    }
    let was = world
        .records
        .account_as_of(&scope, AccountId(company), now)
        .await
        .unwrap();
    let score = was.snapshot.unwrap().score.unwrap();
    let evidence = score.factors[0].evidence.as_ref().unwrap();
    assert_eq!(
        (score.score, score.factors[0].points, evidence.summary.as_str()),
        (42, 42, "many")
    );
    assert!(evidence.signal_ids.is_empty());
    assert_eq!(was.domain.as_deref(), Some("acme.com"));
    drop(served);
}

#[tokio::test]
async fn an_account_that_took_in_another_has_its_people_and_deals_from_then_on() {
    let world = World::new().await;
    let served = world.serve_alone().await;
    let (org, known) = (new_org(), new_id());
    let by_hand = create_account(&world, &served, org, account("acme.com")).await;
    let person = crm::CreateContactRequest {
        account_id: Some(by_hand.id.clone()),
        ..contact("a@acme.com")
    };
    create_contact(&world, &served, org, person).await;
    let offer = crm::CreateDealRequest {
        account_id: Some(by_hand.id.clone()),
        ..deal("offer")
    };
    create(&world, &served, org, offer).await;
    world.tick();
    world.tell(org, &discovered(known, 1, "acme.com")).await;
    let apart = world.clock.now();
    world.tick();
    let event = contracts::events::v1::IdentityAccountMerged {
        from_account_id: by_hand.id.clone(),
        account_id: known.to_string(),
    };
    world.tell(org, &event).await;
    let counts = async |id: Uuid, at: Timestamp| {
        let account = world
            .records
            .account_as_of(&OrgScope::new(org), AccountId(id), at)
            .await
            .unwrap();
        (account.contact_count, account.snapshot.unwrap().deals.len())
    };
    assert_eq!(counts(known, apart).await, (0, 0));
    assert_eq!(counts(by_hand.id.parse().unwrap(), apart).await, (1, 1));
    assert_eq!(counts(known, world.clock.now()).await, (1, 1));
}
