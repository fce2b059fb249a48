//! What is known, in memory: bounded caches in front of the database, for all organizations together.
//!
//! Entries of an organization are valid as long as its [`Slot`] is used with the epoch at which they were read; the
//! resolver's lanes see to that. Must not: hold anything that was not committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;
use uuid::Uuid;

use crate::domain::{Account, AccountKey, Actor, Changes, Claims, IdentityKey, World};
use crate::store::Wanted;
use crate::store::epochs::Revised;

/// Whose entries: one number per organization, another one after its entries were given up as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot(u64);

/// The caches. Each entry is a few hundred bytes.
#[derive(Debug)]
pub struct Memory {
    slots: AtomicU64,
    identities: Cache<(Slot, IdentityKey), Uuid>,
    actors: Cache<(Slot, Uuid), Arc<Actor>>,
    keys: Cache<(Slot, AccountKey), Uuid>,
    accounts: Cache<(Slot, Uuid), Arc<Account>>,
}

impl Memory {
    /// Caches of at most `actors` actors and `accounts` accounts, and twice as many identities and traces.
    #[must_use]
    pub fn new(actors: u64, accounts: u64) -> Self {
        Self {
            slots: AtomicU64::new(0),
            identities: Cache::new(actors * 2),
            actors: Cache::new(actors),
            keys: Cache::new(accounts * 2),
            accounts: Cache::new(accounts),
        }
    }

    /// A slot without entries.
    pub fn new_slot(&self) -> Slot {
        Slot(self.slots.fetch_add(1, Ordering::Relaxed))
    }

    /// Puts what is remembered of the claims' identities and traces into the world; answers what is not.
    pub fn recall<'a>(
        &self,
        slot: Slot,
        claims: impl Iterator<Item = &'a Claims>,
        world: &mut World,
    ) -> Wanted {
        let mut wanted = Wanted::default();
        for claims in claims {
            for key in claims.identity_keys() {
                if !world.knows_identity(key) && !self.recall_identity(slot, key, world) {
                    wanted.identities.push(key.clone());
                }
            }
            for key in claims.account_keys() {
                if !world.knows_key(key) && !self.recall_key(slot, key, world) {
                    wanted.keys.push(key.clone());
                }
            }
        }
        wanted.identities.sort_unstable();
        wanted.identities.dedup();
        wanted.keys.sort_unstable();
        wanted.keys.dedup();
        wanted
    }

    fn recall_identity(&self, slot: Slot, key: &IdentityKey, world: &mut World) -> bool {
        let Some(id) = self.identities.get(&(slot, key.clone())) else {
            return false;
        };
        let Some(actor) = self.actors.get(&(slot, id)) else {
            return false;
        };
        if actor.merged_into.is_some() {
            // The database has it at the actor it was merged into.
            self.identities.invalidate(&(slot, key.clone()));
            return false;
        }
        if world.actor(id).is_none() {
            world.know_actor(actor);
        }
        world.know_identity(key.clone(), id);
        true
    }

    fn recall_key(&self, slot: Slot, key: &AccountKey, world: &mut World) -> bool {
        let Some(id) = self.keys.get(&(slot, key.clone())) else {
            return false;
        };
        if world.account(id).is_none() {
            let Some(account) = self.accounts.get(&(slot, id)) else {
                return false;
            };
            world.know_account(account);
        }
        world.know_key(key.clone(), id);
        true
    }

    /// Gives up what others have changed.
    pub fn forget(&self, slot: Slot, revised: &Revised) {
        for id in &revised.actors {
            self.actors.invalidate(&(slot, *id));
        }
        for id in &revised.accounts {
            self.accounts.invalidate(&(slot, *id));
        }
    }

    /// Keeps what was read for `wanted`.
    pub fn keep(&self, slot: Slot, wanted: &Wanted, world: &World) {
        for key in &wanted.identities {
            if let Some(actor) = world.owner(key).and_then(|id| world.actor(id)) {
                self.actors.insert((slot, actor.id), Arc::clone(actor));
                self.identities.insert((slot, key.clone()), actor.id);
            }
        }
        for key in &wanted.keys {
            if let Some(account) = world.holder(key).and_then(|id| world.account(id)) {
                self.accounts.insert((slot, account.id), Arc::clone(account));
                self.keys.insert((slot, key.clone()), account.id);
            }
        }
    }

    /// Keeps what was decided and committed.
    pub fn learn(&self, slot: Slot, changes: &Changes) {
        for actor in changes.new_actors.iter().chain(&changes.changed_actors) {
            self.actors.insert((slot, actor.id), Arc::clone(actor));
        }
        for new in &changes.new_identities {
            self.identities.insert((slot, new.key.clone()), new.actor);
        }
        for account in changes.new_accounts.iter().chain(&changes.changed_accounts) {
            self.accounts.insert((slot, account.id), Arc::clone(account));
        }
        for new in &changes.new_keys {
            self.keys.insert((slot, new.key.clone()), new.account);
        }
    }
}
