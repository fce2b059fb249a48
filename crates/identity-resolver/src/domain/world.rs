//! The part of what is known that one unit of work needs, and what it changes in it.
//!
//! Filled by the store (or from memory) with every identity and trace that the unit's signals name, as far as they are
//! known, and the actors and accounts behind them; then changed by the rules. What was put in is shared and never
//! written: a change makes a copy.

mod finish;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::account::{Account, AccountKey, KeyState};
use super::actor::{Actor, ActorKind};
use super::changes::{Decision, DecisionKind, NewIdentity, NewKey, Told};
use super::identity::{IdentityKey, IdentityKind};

/// What is known, and what was decided since.
#[derive(Debug, Default)]
pub struct World {
    identities: HashMap<IdentityKey, Uuid>,
    actors: HashMap<Uuid, Held<Actor>>,
    keys: HashMap<AccountKey, Uuid>,
    accounts: HashMap<Uuid, Held<Account>>,
    touched_actors: Vec<Uuid>,
    touched_accounts: Vec<Uuid>,
    new_identities: Vec<NewIdentity>,
    new_keys: Vec<NewKey>,
    ambiguous: Vec<AccountKey>,
    decisions: Vec<Decision>,
    merged: Vec<(Uuid, Uuid, Told)>,
    linked: Vec<(Uuid, Told)>,
    recorded: Vec<(Uuid, Uuid, Told)>,
    recorded_accounts: Vec<(Uuid, Uuid)>,
    quiet: bool,
}

#[derive(Debug)]
struct Held<T> {
    value: Arc<T>,
    new: bool,
    touched: bool,
    /// Set when others must hear of the change.
    told: Option<Told>,
}

impl<T> Held<T> {
    fn known(value: Arc<T>) -> Self {
        Self {
            value,
            new: false,
            touched: false,
            told: None,
        }
    }
}

impl World {
    /// Puts in a known identity. Its actor, and whoever that was merged into, must be put in too.
    pub fn know_identity(&mut self, key: IdentityKey, actor: Uuid) {
        self.identities.insert(key, actor);
    }

    /// Puts in a known actor.
    pub fn know_actor(&mut self, actor: Arc<Actor>) {
        self.actors.insert(actor.id, Held::known(actor));
    }

    /// Puts in a known trace. Its account must be put in too.
    pub fn know_key(&mut self, key: AccountKey, account: Uuid) {
        self.keys.insert(key, account);
    }

    /// Puts in a known account.
    pub fn know_account(&mut self, account: Arc<Account>) {
        self.accounts.insert(account.id, Held::known(account));
    }

    /// The actor, as it is now.
    #[must_use]
    pub fn actor(&self, id: Uuid) -> Option<&Arc<Actor>> {
        self.actors.get(&id).map(|held| &held.value)
    }

    /// The account, as it is now.
    #[must_use]
    pub fn account(&self, id: Uuid) -> Option<&Arc<Account>> {
        self.accounts.get(&id).map(|held| &held.value)
    }

    /// Whether the identity was put in, or attached since.
    #[must_use]
    pub fn knows_identity(&self, key: &IdentityKey) -> bool {
        self.identities.contains_key(key)
    }

    /// Whether the trace was put in, or attached since.
    #[must_use]
    pub fn knows_key(&self, key: &AccountKey) -> bool {
        self.keys.contains_key(key)
    }

    /// Whose the identity is, as it was put in or attached.
    #[must_use]
    pub fn owner(&self, key: &IdentityKey) -> Option<Uuid> {
        self.identities.get(key).copied()
    }

    /// Where the trace leads, whether or not it is ambiguous.
    #[must_use]
    pub fn holder(&self, key: &AccountKey) -> Option<Uuid> {
        self.keys.get(key).copied()
    }

    /// Who the actor turned out to be; itself, unless merged.
    #[must_use]
    pub fn follow(&self, mut id: Uuid) -> Uuid {
        // Merges only ever point from a live actor to a live one, so that this ends.
        while let Some(into) = self.actor(id).and_then(|actor| actor.merged_into) {
            id = into;
        }
        id
    }

    /// Whose identity it is.
    pub(super) fn identified(&self, key: &IdentityKey) -> Option<Uuid> {
        self.owner(key).map(|actor| self.follow(actor))
    }

    /// The actor, to be changed.
    pub(super) fn change_actor(&mut self, id: Uuid) -> Option<&mut Actor> {
        let held = self.actors.get_mut(&id)?;
        if !std::mem::replace(&mut held.touched, true) {
            self.touched_actors.push(id);
        }
        Some(Arc::make_mut(&mut held.value))
    }

    /// The account, to be changed.
    pub(super) fn change_account(&mut self, id: Uuid) -> Option<&mut Account> {
        let held = self.accounts.get_mut(&id)?;
        if !std::mem::replace(&mut held.touched, true) {
            self.touched_accounts.push(id);
        }
        Some(Arc::make_mut(&mut held.value))
    }

    pub(super) fn add_actor(&mut self, id: Uuid, kind: ActorKind, at: Timestamp) {
        let value = Arc::new(Actor::new(id, kind, at));
        self.actors.insert(
            id,
            Held {
                value,
                new: true,
                touched: true,
                told: None,
            },
        );
        self.touched_actors.push(id);
    }

    pub(super) fn add_account(&mut self, id: Uuid, at: Timestamp) {
        let value = Arc::new(Account::new(id, at));
        self.accounts.insert(
            id,
            Held {
                value,
                new: true,
                touched: true,
                told: None,
            },
        );
        self.touched_accounts.push(id);
    }

    /// The identity is the actor's from now on.
    pub(super) fn attach(&mut self, key: &IdentityKey, actor: Uuid, told: &Told) {
        self.identities.insert(key.clone(), actor);
        self.new_identities.push(NewIdentity {
            key: key.clone(),
            actor,
            told: told.clone(),
        });
        if let Some(actor) = self.change_actor(actor) {
            if key.kind != IdentityKind::Anonymous
                || actor.count(IdentityKind::Anonymous) < Actor::MAX_ANONYMOUS
            {
                actor.identities.push(key.clone());
            }
            actor.seen(told.at);
        }
    }

    /// The trace leads to the account from now on.
    pub(super) fn attach_key(&mut self, key: &AccountKey, account: Uuid, told: &Told) {
        let Some(changed) = self.change_account(account) else {
            return;
        };
        let position = changed.keys.len();
        changed.keys.push(KeyState {
            key: key.clone(),
            ambiguous: false,
        });
        changed.first_seen = changed.first_seen.min(told.at);
        self.keys.insert(key.clone(), account);
        self.new_keys.push(NewKey {
            key: key.clone(),
            account,
            position,
            told: told.clone(),
        });
    }

    /// The name decides nothing any more.
    pub(super) fn make_ambiguous(&mut self, key: &AccountKey, account: Uuid) {
        if let Some(changed) = self.change_account(account) {
            changed
                .keys
                .iter_mut()
                .filter(|held| held.key == *key)
                .for_each(|held| held.ambiguous = true);
            self.ambiguous.push(key.clone());
        }
    }

    /// Others must hear of the actor's new state.
    pub(super) fn tell_actor(&mut self, id: Uuid, told: &Told) {
        if self.quiet {
            return;
        }
        if let Some(held) = self.actors.get_mut(&id) {
            held.told = Some(told.clone());
        }
    }

    /// Whether nobody hears of what is learnt from here on.
    pub(super) fn hush(&mut self, quiet: bool) {
        self.quiet = quiet;
    }

    /// Tells of a person who was known quietly so far: nobody ever heard of them.
    pub(super) fn tell_first(&mut self, person: Uuid, told: &Told) {
        let unheard = |held: &Held<Actor>| {
            held.value.kind == ActorKind::Person && held.value.revision == 0 && held.told.is_none()
        };
        if !self.quiet && self.actors.get(&person).is_some_and(unheard) && self.change_actor(person).is_some()
        {
            self.tell_actor(person, told);
        }
    }

    /// Tells of an account that was known quietly so far.
    pub(super) fn tell_account_first(&mut self, account: Uuid, told: &Told) {
        let unheard = |held: &Held<Account>| held.value.revision == 0 && held.told.is_none();
        if !self.quiet
            && self.accounts.get(&account).is_some_and(unheard)
            && self.change_account(account).is_some()
        {
            self.tell_account(account, told);
        }
    }

    /// Whether others will hear of the actor's new state already.
    pub(super) fn is_told(&self, id: Uuid) -> bool {
        self.actors.get(&id).is_some_and(|held| held.told.is_some())
    }

    /// Others must hear of the account's new state.
    pub(super) fn tell_account(&mut self, id: Uuid, told: &Told) {
        if self.quiet {
            return;
        }
        if let Some(held) = self.accounts.get_mut(&id) {
            held.told = Some(told.clone());
        }
    }

    /// Whether the actor was there before this unit.
    pub(super) fn was_known(&self, actor: Uuid) -> bool {
        self.actors.get(&actor).is_some_and(|held| !held.new)
    }

    pub(super) fn decide(&mut self, kind: DecisionKind, subject: Uuid, other: Option<Uuid>, told: &Told) {
        self.decisions.push(Decision {
            kind,
            subject,
            other,
            told: told.clone(),
        });
    }

    pub(super) fn note_merge(&mut self, from: Uuid, into: Uuid, told: &Told) {
        self.merged.push((from, into, told.clone()));
    }

    /// A person was recorded by hand under an id of its own, and is `into`.
    pub(super) fn note_recorded(&mut self, from: Uuid, into: Uuid, told: &Told) {
        self.recorded.push((from, into, told.clone()));
    }

    /// A company was recorded by hand under an id of its own, and is `into`.
    pub(super) fn note_recorded_account(&mut self, from: Uuid, into: Uuid) {
        self.recorded_accounts.push((from, into));
    }

    pub(super) fn note_link(&mut self, person: Uuid, told: &Told) {
        if self.was_known(person) {
            self.linked.push((person, told.clone()));
        }
    }
}
