//! The rules over several signals: a known base, units of work over it, and what comes of them.

mod companies;
mod laws;
mod persons;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ids::SeededIds;
use jiff::Timestamp;
use uuid::Uuid;

use super::*;

/// What is known between units, as the database keeps it.
pub(super) struct Base {
    identities: BTreeMap<IdentityKey, Uuid>,
    actors: BTreeMap<Uuid, Arc<Actor>>,
    keys: BTreeMap<AccountKey, Uuid>,
    accounts: BTreeMap<Uuid, Arc<Account>>,
    ids: SeededIds,
    signals: u128,
    /// Changes of the last unit.
    pub(super) last: Changes,
}

/// One signal in a short form: `email=dev@acme.com; anon=a1; name=Jane Doe`.
pub(super) fn signal(text: &str) -> Claims {
    let fields: BTreeMap<&str, &str> = text.split("; ").filter_map(|part| part.split_once('=')).collect();
    let get = |field: &str| fields.get(field).copied();
    Claims::of(&Observation {
        anonymous_id: get("anon"),
        actor: ActorFacts {
            email: get("email"),
            github: get("github"),
            npm: get("npm"),
            user_id: get("user"),
            name: get("name"),
            title: get("title"),
            company: get("company"),
            ..ActorFacts::default()
        },
        account: AccountFacts {
            domain: get("domain"),
            name: get("account"),
            github_org: get("org"),
            employees: get("employees").and_then(|n| n.parse().ok()),
            country: get("country"),
            ..AccountFacts::default()
        },
    })
}

impl Base {
    pub(super) fn new() -> Self {
        Self {
            identities: BTreeMap::new(),
            actors: BTreeMap::new(),
            keys: BTreeMap::new(),
            accounts: BTreeMap::new(),
            ids: SeededIds::from(at(0)),
            signals: 0,
            last: Changes::default(),
        }
    }

    /// One unit of work over signals in short form, a second apart.
    pub(super) fn unit(&mut self, signals: &[&str]) -> Vec<Attribution> {
        let claims = signals.iter().map(|text| signal(text)).collect();
        self.run(claims)
    }

    /// One signal as a unit of its own.
    pub(super) fn one(&mut self, text: &str) -> Attribution {
        self.unit(&[text]).remove(0)
    }

    pub(super) fn run(&mut self, claims: Vec<Claims>) -> Vec<Attribution> {
        let signals: Vec<_> = claims
            .into_iter()
            .map(|claims| {
                self.signals += 1;
                let second = i64::try_from(self.signals).unwrap();
                (
                    claims,
                    Seen {
                        signal: Uuid::from_u128(self.signals),
                        at: at(second),
                    },
                )
            })
            .collect();
        self.run_at(&signals)
    }

    pub(super) fn run_at(&mut self, signals: &[(Claims, Seen)]) -> Vec<Attribution> {
        let mut world = self.world(signals);
        let attributions = resolve(&mut world, signals, &self.ids);
        self.last = world.finish();
        self.keep();
        attributions
    }

    fn world(&self, signals: &[(Claims, Seen)]) -> World {
        let mut world = World::default();
        for (claims, _) in signals {
            for key in claims.identity_keys() {
                if let Some(id) = self.identities.get(key) {
                    world.know_identity(key.clone(), *id);
                    world.know_actor(Arc::clone(&self.actors[id]));
                }
            }
            for key in claims.account_keys() {
                if let Some(id) = self.keys.get(key) {
                    world.know_key(key.clone(), *id);
                    world.know_account(Arc::clone(&self.accounts[id]));
                }
            }
        }
        world
    }

    fn keep(&mut self) {
        let changes = &self.last;
        for actor in changes.new_actors.iter().chain(&changes.changed_actors) {
            self.actors.insert(actor.id, Arc::clone(actor));
        }
        for account in changes.new_accounts.iter().chain(&changes.changed_accounts) {
            self.accounts.insert(account.id, Arc::clone(account));
        }
        for new in &changes.new_identities {
            assert_eq!(
                self.identities.insert(new.key.clone(), new.actor),
                None,
                "an identity was inserted twice"
            );
        }
        for new in &changes.new_keys {
            assert_eq!(
                self.keys.insert(new.key.clone(), new.account),
                None,
                "a trace was inserted twice"
            );
        }
        for (from, into) in &changes.moved {
            self.identities
                .values_mut()
                .filter(|actor| **actor == *from)
                .for_each(|actor| *actor = *into);
        }
        for id in self.identities.values() {
            assert_eq!(
                self.actors[id].merged_into, None,
                "an identity points to an actor that is no more"
            );
        }
    }

    pub(super) fn actor(&self, id: Uuid) -> &Actor {
        &self.actors[&id]
    }

    pub(super) fn account(&self, id: Uuid) -> &Account {
        &self.accounts[&id]
    }

    /// Who the actor is by now.
    pub(super) fn follow(&self, mut id: Uuid) -> Uuid {
        while let Some(into) = self.actors[&id].merged_into {
            id = into;
        }
        id
    }

    /// The identities of every actor that is, for comparing.
    pub(super) fn groups(&self) -> BTreeSet<BTreeSet<IdentityKey>> {
        let mut groups: BTreeMap<Uuid, BTreeSet<IdentityKey>> = BTreeMap::new();
        for (key, actor) in &self.identities {
            groups.entry(*actor).or_default().insert(key.clone());
        }
        groups.into_values().collect()
    }

    /// The kinds of the last unit's decisions.
    pub(super) fn decided(&self) -> Vec<&'static str> {
        self.last
            .decisions
            .iter()
            .map(|decision| decision.kind.name())
            .collect()
    }

    /// The kinds of the last unit's announcements.
    pub(super) fn told(&self) -> Vec<&'static str> {
        let name = |announcement: &Announcement| match announcement {
            Announcement::Account(..) => "account",
            Announcement::Person(..) => "person",
            Announcement::Merged { .. } => "merged",
            Announcement::AccountMerged { .. } => "account_merged",
            Announcement::Linked { .. } => "linked",
        };
        self.last.announcements.iter().map(name).collect()
    }
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

/// The actor's id.
pub(super) fn who(attribution: &Attribution) -> Uuid {
    attribution.actor.as_ref().unwrap().0
}

/// The account's id.
pub(super) fn account(attribution: &Attribution) -> Uuid {
    attribution.account.as_ref().unwrap().0
}

/// The rules that decided: for the actor and for the account.
pub(super) fn rules(attribution: &Attribution) -> (Option<&'static str>, Option<&'static str>) {
    let name = |decided: &Option<(Uuid, Because)>| decided.as_ref().map(|(_, because)| because.rule.name());
    (name(&attribution.actor), name(&attribution.account))
}
