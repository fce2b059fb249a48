//! The end of a unit of work: what is to be written, and what is to be told.

use std::sync::Arc;

use super::World;
use crate::domain::actor::ActorKind;
use crate::domain::changes::{Announcement, Changes};

impl World {
    /// Ends the unit: numbers the events, and collects what is to be written and told. The world shows the final state.
    pub fn finish(&mut self) -> Changes {
        let mut changes = Changes {
            new_identities: std::mem::take(&mut self.new_identities),
            new_keys: std::mem::take(&mut self.new_keys),
            ambiguous: std::mem::take(&mut self.ambiguous),
            decisions: std::mem::take(&mut self.decisions),
            ..Changes::default()
        };
        for identity in &mut changes.new_identities {
            identity.actor = self.follow(identity.actor);
        }
        self.finish_accounts(&mut changes);
        self.finish_actors(&mut changes);
        for (from, _, told) in std::mem::take(&mut self.merged) {
            // What was attributed in this unit to an actor of this unit is corrected in place.
            if self.was_known(from) {
                let into = self.follow(from);
                let account = self
                    .actor(into)
                    .and_then(|person| person.link.as_ref())
                    .map(|link| link.account);
                changes.moved.push((from, into));
                changes.announcements.push(Announcement::Merged {
                    from,
                    into,
                    account,
                    told,
                });
            }
        }
        self.finish_recorded(&mut changes);
        for (person, told) in std::mem::take(&mut self.linked) {
            // Of a person that was merged away since, `Merged` tells.
            let link = self
                .actor(person)
                .filter(|actor| actor.merged_into.is_none())
                .and_then(|p| p.link.as_ref());
            if let Some(account) = link.map(|link| link.account) {
                changes.announcements.push(Announcement::Linked {
                    person,
                    account,
                    told,
                });
            }
        }
        changes
    }

    fn finish_recorded(&mut self, changes: &mut Changes) {
        for (from, into, told) in std::mem::take(&mut self.recorded) {
            let into = self.follow(into);
            let link = self.actor(into).and_then(|person| person.link.as_ref());
            changes.announcements.push(Announcement::Merged {
                from,
                into,
                account: link.map(|link| link.account),
                told,
            });
        }
        for (from, into) in std::mem::take(&mut self.recorded_accounts) {
            changes
                .announcements
                .push(Announcement::AccountMerged { from, into });
        }
    }

    fn finish_accounts(&mut self, changes: &mut Changes) {
        for id in std::mem::take(&mut self.touched_accounts) {
            let Some(held) = self.accounts.get_mut(&id) else {
                continue;
            };
            if let Some(told) = held.told.take() {
                Arc::make_mut(&mut held.value).revision += 1;
                changes
                    .announcements
                    .push(Announcement::Account(Arc::clone(&held.value), told));
            }
            let rows = if held.new {
                &mut changes.new_accounts
            } else {
                &mut changes.changed_accounts
            };
            rows.push(Arc::clone(&held.value));
        }
    }

    fn finish_actors(&mut self, changes: &mut Changes) {
        for id in std::mem::take(&mut self.touched_actors) {
            let Some(held) = self.actors.get_mut(&id) else {
                continue;
            };
            let alive = held.value.kind == ActorKind::Person && held.value.merged_into.is_none();
            if let Some(told) = held.told.take().filter(|_| alive) {
                Arc::make_mut(&mut held.value).revision += 1;
                changes
                    .announcements
                    .push(Announcement::Person(Arc::clone(&held.value), told));
            }
            let rows = if held.new {
                &mut changes.new_actors
            } else {
                &mut changes.changed_actors
            };
            rows.push(Arc::clone(&held.value));
        }
    }
}
