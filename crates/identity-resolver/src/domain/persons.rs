//! Who did it: the rules over identities.
//!
//! Every function decides on the state that the signals before it left, and leaves the next state in the [`World`].

use std::sync::Arc;

use ids::IdGen;
use uuid::Uuid;

use super::actor::{Actor, ActorKind, Stated};
use super::changes::{DecisionKind, Told};
use super::claims::Claims;
use super::identity::{IdentityKey, IdentityKind};
use super::resolve::{Because, Seen};
use super::world::World;

/// The actor of a signal, and the identity that decided.
pub(super) fn actor_of(
    world: &mut World,
    claims: &Claims,
    seen: Seen,
    ids: &dyn IdGen,
) -> Option<(Uuid, Because)> {
    let (actor, key) = if claims.identities.is_empty() {
        let key = claims.anonymous.as_ref()?;
        (visitor(world, key, seen, ids), key)
    } else {
        let (person, key) = person(world, claims, seen, ids);
        adopt(world, claims.person, person, &told_by(key, seen));
        if let Some(anonymous) = &claims.anonymous {
            stitch(world, anonymous, person, seen);
        }
        (person, key)
    };
    let because = Because {
        rule: key.kind.rule(),
        evidence: Arc::clone(&key.value),
    };
    learn(world, actor, claims, &seen.told(&because));
    Some((actor, because))
}

/// The person or profile behind an anonymous id; a new profile if it was never seen.
fn visitor(world: &mut World, key: &IdentityKey, seen: Seen, ids: &dyn IdGen) -> Uuid {
    if let Some(known) = world.identified(key) {
        return known;
    }
    let id = ids.next();
    world.add_actor(id, ActorKind::Anonymous, seen.at);
    world.attach(key, id, &told_by(key, seen));
    id
}

/// Somebody who was recorded by hand is somebody who is known: the id they were recorded with is told to be that one's.
fn adopt(world: &mut World, recorded: Option<Uuid>, person: Uuid, told: &Told) {
    if let Some(recorded) = recorded
        && recorded != person
        && world.actor(recorded).is_none()
    {
        world.note_recorded(recorded, person, told);
    }
}

/// The person behind strong identities, and the identity that decided. There is at least one identity.
fn person<'a>(world: &mut World, claims: &'a Claims, seen: Seen, ids: &dyn IdGen) -> (Uuid, &'a IdentityKey) {
    let keys = &claims.identities;
    let mut lead: Option<(Uuid, &IdentityKey)> = None;
    for key in keys {
        let Some(found) = world.identified(key) else {
            continue;
        };
        lead = Some(match lead {
            Some((leader, by)) if leader != found => (reconcile(world, leader, found, key, seen), by),
            Some(lead) => lead,
            None => (found, key),
        });
    }
    let (mut person, mut by) = match lead {
        Some(lead) => lead,
        None => {
            let free = claims.person.filter(|id| world.actor(*id).is_none());
            let id = free.unwrap_or_else(|| ids.next());
            (create(world, &keys[0], seen, id), &keys[0])
        }
    };
    for key in keys {
        if world.identified(key).is_some() {
            continue;
        }
        let full = world
            .actor(person)
            .is_some_and(|known| known.count(key.kind) >= Actor::MAX_OF_A_KIND);
        if full {
            // The identity that they share is not one person's. Who it is, is for the stronger identity to say.
            let other = create(world, key, seen, ids.next());
            if *key < *by {
                keep_apart(world, other, person, by, seen);
                (person, by) = (other, key);
            } else {
                keep_apart(world, person, other, key, seen);
            }
        } else {
            let told = told_by(key, seen);
            world.attach(key, person, &told);
            world.decide(DecisionKind::IdentityAttached, person, None, &told);
            world.tell_actor(person, &told_by(by, seen));
        }
    }
    (person, by)
}

fn create(world: &mut World, key: &IdentityKey, seen: Seen, id: Uuid) -> Uuid {
    let told = told_by(key, seen);
    world.add_actor(id, ActorKind::Person, seen.at);
    world.attach(key, id, &told);
    world.decide(DecisionKind::PersonCreated, id, None, &told);
    world.tell_actor(id, &told);
    id
}

/// One signal names two known persons: they are one, and the older stays, unless they have different identities of the
/// same kind. Answers who leads from here.
fn reconcile(world: &mut World, leader: Uuid, found: Uuid, by: &IdentityKey, seen: Seen) -> Uuid {
    let contradiction = match (world.actor(leader), world.actor(found)) {
        (Some(one), Some(two)) => one.contradicts(two),
        _ => true,
    };
    if contradiction {
        keep_apart(world, leader, found, by, seen);
        return leader;
    }
    // Who was there before this unit is older, whatever the clocks of other replicas say.
    let age = |id: Uuid| (!world.was_known(id), id);
    let (older, younger) = if age(leader) < age(found) {
        (leader, found)
    } else {
        (found, leader)
    };
    let told = told_by(by, seen);
    merge(world, younger, older, &told);
    world.decide(DecisionKind::Merged, older, Some(younger), &told);
    older
}

/// A signal names a visitor and a person: from now on, and for what the visitor did before, the visitor is the person.
/// A visitor who is somebody else already stays that (a shared device).
fn stitch(world: &mut World, anonymous: &IdentityKey, person: Uuid, seen: Seen) {
    let told = told_by(anonymous, seen);
    match world.identified(anonymous) {
        None => {
            world.attach(anonymous, person, &told);
            world.decide(DecisionKind::IdentityAttached, person, None, &told);
            tell_unless_told(world, person, &told);
        }
        Some(known) if known == person => {}
        Some(known)
            if world
                .actor(known)
                .is_some_and(|actor| actor.kind == ActorKind::Anonymous) =>
        {
            merge(world, known, person, &told);
            world.decide(DecisionKind::Stitched, person, Some(known), &told);
        }
        Some(other) => keep_apart(world, person, other, anonymous, seen),
    }
}

/// Everything of `from` becomes `into`'s.
fn merge(world: &mut World, from: Uuid, into: Uuid, told: &Told) {
    let Some(gone) = world.change_actor(from) else {
        return;
    };
    gone.merged_into = Some(into);
    let gone = gone.clone();
    world.note_merge(from, into, told);
    let Some(person) = world.change_actor(into) else {
        return;
    };
    let room = Actor::MAX_ANONYMOUS.saturating_sub(person.count(IdentityKind::Anonymous));
    let (anonymous, strong): (Vec<_>, Vec<_>) = gone
        .identities
        .into_iter()
        .partition(|key| key.kind == IdentityKind::Anonymous);
    person
        .identities
        .extend(strong.into_iter().chain(anonymous.into_iter().take(room)));
    person.traits = std::mem::take(&mut person.traits).combine(gone.traits);
    person.seen(gone.first_seen);
    person.seen(gone.last_seen);
    person.seen(told.at);
    let gains = person.link.is_none() && gone.link.is_some();
    if gains {
        person.link = gone.link;
    }
    if gains {
        world.note_link(into, told);
    }
    tell_unless_told(world, into, told);
}

/// Notes, once per pair, that evidence joined two who stay two.
fn keep_apart(world: &mut World, subject: Uuid, other: Uuid, by: &IdentityKey, seen: Seen) {
    let known = world.actor(subject).is_none_or(|actor| {
        actor.kept_apart.len() >= Actor::MAX_KEPT_APART || actor.kept_apart.contains(&other)
    });
    if known {
        return;
    }
    if let Some(actor) = world.change_actor(subject) {
        actor.kept_apart.push(other);
    }
    world.decide(DecisionKind::KeptApart, subject, Some(other), &told_by(by, seen));
}

/// Takes over what the signal says about the person besides identities.
fn learn(world: &mut World, actor: Uuid, claims: &Claims, told: &Told) {
    let Some(known) = world.actor(actor) else { return };
    let stated = [&claims.name, &claims.title, &claims.company, &claims.avatar_url];
    let traits = &known.traits;
    let held = [&traits.name, &traits.title, &traits.company, &traits.avatar_url];
    let changes = |(stated, held): (&Option<Arc<str>>, &Option<Stated<Arc<str>>>)| {
        stated
            .as_ref()
            .is_some_and(|value| Stated::changes(held.as_ref(), value, told.at))
    };
    let changed: [bool; 4] = std::array::from_fn(|i| changes((stated[i], held[i])));
    if changed == [false; 4] {
        return;
    }
    let Some(person) = world.change_actor(actor) else {
        return;
    };
    let traits = &mut person.traits;
    let slots = [
        &mut traits.name,
        &mut traits.title,
        &mut traits.company,
        &mut traits.avatar_url,
    ];
    for ((slot, stated), changed) in slots.into_iter().zip(stated).zip(changed) {
        if let Some(value) = stated.as_ref().filter(|_| changed) {
            *slot = Some(Stated {
                value: Arc::clone(value),
                at: told.at,
            });
        }
    }
    person.seen(told.at);
    world.tell_actor(actor, told);
}

/// The rule that decided for the person says more than a side effect does, so it is not replaced by that.
fn tell_unless_told(world: &mut World, person: Uuid, told: &Told) {
    if !world.is_told(person) {
        world.tell_actor(person, told);
    }
}

fn told_by(key: &IdentityKey, seen: Seen) -> Told {
    seen.told(&Because {
        rule: key.kind.rule(),
        evidence: Arc::clone(&key.value),
    })
}
