//! The law of crm: whatever order events arrive in, however often, and however many at once, the records end up as if
//! they had arrived once and in order; and the last event told of a contact or account shows it as it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use contracts::events::v1 as events;
use contracts::scores::v1::Trend;
use contracts::{Envelope, Event};
use futures::StreamExt as _;
use ids::{Clock as _, OrgId};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use prost::Message as _;
use uuid::Uuid;

use crate::harness::{
    World, discovered, identified, identity, linked, merged, new_id, new_org, scored, wrap,
};
use crate::state::dump;

/// One step of a history; the numbers choose among what is possible then.
#[derive(Debug, Clone, Copy)]
enum Step {
    Identify {
        person: usize,
        account: Option<usize>,
        variant: u8,
    },
    Discover {
        account: usize,
        variant: u8,
    },
    Link {
        person: usize,
        account: usize,
    },
    Merge {
        from: usize,
        into: usize,
        with_account: bool,
    },
    MergeAnonymous {
        into: usize,
    },
    Score {
        account: usize,
        points: i32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..5_usize, proptest::option::of(0..3_usize), 0..4_u8)
            .prop_map(|(person, account, variant)| Step::Identify { person, account, variant }),
        2 => (0..3_usize, 0..4_u8).prop_map(|(account, variant)| Step::Discover { account, variant }),
        2 => (0..5_usize, 0..3_usize).prop_map(|(person, account)| Step::Link { person, account }),
        2 => (0..5_usize, 0..5_usize, any::<bool>())
            .prop_map(|(from, into, with_account)| Step::Merge { from, into, with_account }),
        1 => (0..5_usize).prop_map(|into| Step::MergeAnonymous { into }),
        2 => (0..3_usize, 0..=100_i32).prop_map(|(account, points)| Step::Score { account, points }),
    ]
}

/// A history as identity-resolver and scoring tell it: revisions count up, nothing is told of a person after the merge.
struct History {
    org: OrgId,
    people: Vec<Uuid>,
    accounts: Vec<Uuid>,
    revisions: HashMap<(&'static str, usize), i64>,
    gone: BTreeSet<usize>,
    at: Timestamp,
    told: Vec<Envelope>,
}

impl History {
    fn of(world: &World, org: OrgId, ids: &(Vec<Uuid>, Vec<Uuid>), steps: &[Step]) -> Vec<Envelope> {
        let mut history = Self {
            org,
            people: ids.0.clone(),
            accounts: ids.1.clone(),
            revisions: HashMap::new(),
            gone: BTreeSet::new(),
            at: world.clock.now(),
            told: Vec::new(),
        };
        for step in steps {
            history.take(*step);
        }
        history.told
    }

    fn next(&mut self, kind: &'static str, which: usize) -> i64 {
        let revision = self.revisions.entry((kind, which)).or_insert(0);
        *revision += 1;
        *revision
    }

    fn push<E: Event>(&mut self, event: &E) {
        self.at += SignedDuration::from_millis(7);
        self.told.push(wrap(self.org, event, self.at));
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Identify {
                person,
                account,
                variant,
            } if !self.gone.contains(&person) => {
                let revision = self.next("person", person);
                let mut identities = vec![identity("email", &format!("p{person}.{variant}@x.dev"))];
                if variant > 1 {
                    identities.insert(0, identity("github", &format!("p{person}")));
                }
                let event = events::ContactIdentified {
                    account_id: account.map(|account| self.accounts[account].to_string()),
                    identities,
                    name: (variant == 3).then(|| format!("Person {person}")),
                    title: (variant == 1).then(|| format!("Title {revision}")),
                    ..identified(self.people[person], revision, "")
                };
                self.push(&event);
            }
            Step::Discover { account, variant } => {
                let revision = self.next("account", account);
                let event = events::AccountDiscovered {
                    name: (variant > 1).then(|| format!("Company {variant}")),
                    employees: (variant == 1).then_some(revision),
                    ..discovered(self.accounts[account], revision, &format!("c{account}.dev"))
                };
                self.push(&event);
            }
            Step::Link { person, account } if !self.gone.contains(&person) => {
                self.push(&linked(self.people[person], self.accounts[account]));
            }
            Step::Merge {
                from,
                into,
                with_account,
            } if from != into && !self.gone.contains(&from) && !self.gone.contains(&into) => {
                self.gone.insert(from);
                let account = with_account.then(|| self.accounts[0]);
                self.push(&merged(self.people[from], self.people[into], account));
            }
            Step::MergeAnonymous { into } if !self.gone.contains(&into) => {
                self.push(&merged(new_id(), self.people[into], None));
            }
            Step::Score { account, points } => {
                let revision = self.next("score", account);
                let event = scored(self.accounts[account], revision, points, Trend::Stable, self.at);
                self.push(&event);
            }
            _ => {}
        }
    }
}

/// The same events of another organization: ids of events are unique over organizations.
fn for_org(history: &[Envelope], org: OrgId) -> Vec<Envelope> {
    let again = |envelope: &Envelope| {
        let mut copy = envelope.clone();
        copy.id = ids::EventId(new_id());
        copy.subject.org = org;
        copy
    };
    history.iter().map(again).collect()
}

/// The anonymous actors differ from history to history of one run, so all share one list of events.
async fn law(
    world: &World,
    steps: &[Step],
    order: &[prop::sample::Index],
    repeats: &[prop::sample::Index],
) -> Result<(), TestCaseError> {
    let ids = (
        (0..5).map(|_| new_id()).collect(),
        (0..3).map(|_| new_id()).collect(),
    );
    let straight = new_org();
    let history = History::of(world, straight, &ids, steps);
    for envelope in &history {
        world.deliver(envelope.clone()).await.unwrap();
    }
    let expected = dump(world, straight).await;
    check_told(world, straight).await?;

    let shuffled_org = new_org();
    let mut shuffled = for_org(&history, shuffled_org);
    for (place, index) in order.iter().enumerate().take(shuffled.len()) {
        let other = index.index(shuffled.len());
        shuffled.swap(place, other);
    }
    let again: Vec<_> = if shuffled.is_empty() {
        Vec::new()
    } else {
        repeats
            .iter()
            .map(|index| shuffled[index.index(shuffled.len())].clone())
            .collect()
    };
    shuffled.extend(again);
    for envelope in &shuffled {
        world.deliver(envelope.clone()).await.unwrap();
    }
    prop_assert_eq!(&dump(world, shuffled_org).await, &expected);
    check_told(world, shuffled_org).await?;

    // Many at once, as replicas do; those that come together share transactions.
    let crowd = new_org();
    let mut all = for_org(&shuffled[..history.len()], crowd);
    all.extend(all.clone());
    futures::stream::iter(all)
        .for_each_concurrent(24, |envelope| async {
            world.deliver(envelope).await.unwrap();
        })
        .await;
    prop_assert_eq!(&dump(world, crowd).await, &expected);
    check_told(world, crowd).await
}

/// What was told adds up to what there is.
async fn check_told(world: &World, org: OrgId) -> Result<(), TestCaseError> {
    let mut contacts: BTreeMap<String, contracts::crm::v1::Contact> = BTreeMap::new();
    let mut accounts: BTreeMap<String, contracts::crm::v1::Account> = BTreeMap::new();
    for (subject, payload) in told(world, org).await {
        let payload = payload.as_slice();
        if subject.ends_with("contact.created") {
            let contact = events::ContactCreated::decode(payload).unwrap().contact.unwrap();
            prop_assert!(
                contacts.insert(contact.id.clone(), contact).is_none(),
                "created twice"
            );
        } else if subject.ends_with("contact.updated") {
            let event = events::ContactUpdated::decode(payload).unwrap();
            let contact = event.contact.unwrap();
            prop_assert!(!event.changed_fields.is_empty());
            let before = contacts.insert(contact.id.clone(), contact.clone());
            prop_assert!(
                before.is_some_and(|before| before.version < contact.version),
                "updated before created"
            );
        } else if subject.ends_with("contact.deleted") {
            let event = events::ContactDeleted::decode(payload).unwrap();
            prop_assert!(
                contacts.remove(&event.contact_id).is_some(),
                "deleted before created"
            );
        } else if subject.ends_with("account.created") {
            let account = events::AccountCreated::decode(payload).unwrap().account.unwrap();
            prop_assert!(
                accounts.insert(account.id.clone(), account).is_none(),
                "created twice"
            );
        } else {
            let account = events::AccountUpdated::decode(payload).unwrap().account.unwrap();
            prop_assert!(
                accounts.insert(account.id.clone(), account).is_some(),
                "updated before created"
            );
        }
    }
    let scope = store::OrgScope::new(org);
    for (id, told) in &contacts {
        let stored = world.records.contact(&scope, id.parse().unwrap()).await.unwrap();
        prop_assert_eq!(&crm::wire::contact(&stored), told);
    }
    for (id, told) in &accounts {
        let stored = world.records.account(&scope, id.parse().unwrap()).await.unwrap();
        let stored = crm::wire::account(&stored);
        prop_assert_eq!(
            (&stored.name, &stored.domain, stored.employees),
            (&told.name, &told.domain, told.employees)
        );
    }
    let counts: (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM contacts WHERE org_id = $1 AND recorded),
                (SELECT count(*) FROM accounts WHERE org_id = $1 AND recorded),
                (SELECT count(*) FROM accounts a WHERE org_id = $1 AND contact_count <>
                    (SELECT count(*) FROM contacts c WHERE c.org_id = $1 AND c.account_id = a.id AND c.recorded))",
    )
    .bind(org.uuid())
    .fetch_one(&mut world.admin().await)
    .await
    .unwrap();
    prop_assert_eq!(counts, (contacts.len() as i64, accounts.len() as i64, 0));
    Ok(())
}

async fn told(world: &World, org: OrgId) -> Vec<(String, Vec<u8>)> {
    sqlx::query_as("SELECT subject, payload FROM outbox WHERE org_id = $1 ORDER BY written")
        .bind(org.uuid())
        .fetch_all(&mut world.admin().await)
        .await
        .unwrap()
}

#[test]
fn any_order_and_any_repetition_give_the_same_records() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::new());
    let mut runner = TestRunner::new(Config {
        cases: 40,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let index = any::<prop::sample::Index>;
    let strategy = (
        prop::collection::vec(step(), 1..25),
        prop::collection::vec(index(), 25),
        prop::collection::vec(index(), 0..10),
    );
    runner
        .run(&strategy, |(steps, order, repeats)| {
            runtime.block_on(law(&world, &steps, &order, &repeats))
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_is_merged_while_being_identified_does_not_come_back() {
    let world = World::new().await;
    for _ in 0..30 {
        let org = new_org();
        let (a, b, c) = (new_id(), new_id(), new_id());
        let now = world.clock.now();
        let all = [
            wrap(org, &identified(a, 1, "a@x.dev"), now),
            wrap(org, &identified(b, 1, "b@x.dev"), now),
            wrap(org, &identified(c, 1, "c@x.dev"), now),
            wrap(org, &merged(a, b, None), now),
            wrap(org, &merged(b, c, None), now),
        ];
        futures::future::join_all(all.map(|envelope| async {
            world.deliver(envelope).await.unwrap();
        }))
        .await;
        let state = dump(&world, org).await;
        assert_eq!(state.contacts.keys().collect::<Vec<_>>(), [&c]);
        assert_eq!(state.merges, BTreeMap::from([(a, c), (b, c)]));
        assert_eq!(state.identities.len(), 3);
        assert!(
            state
                .identities
                .iter()
                .all(|identity| identity.starts_with(&c.to_string()))
        );
    }
}
