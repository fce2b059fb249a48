//! Resolves signals one after the other, and corrects the earlier ones by what the later ones told.

use std::sync::Arc;

use ids::IdGen;
use jiff::Timestamp;
use uuid::Uuid;

use super::actor::ActorKind;
use super::changes::Told;
use super::claims::Claims;
use super::rule::Rule;
use super::world::World;
use super::{companies, persons};

/// Which signal, and when it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The signal.
    pub signal: Uuid,
    /// When it happened.
    pub at: Timestamp,
}

/// What decided, and what it saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Because {
    /// The rule.
    pub rule: Rule,
    /// What it saw.
    pub evidence: Arc<str>,
}

/// Whom and which company a signal counts for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attribution {
    /// The actor, if the signal says anything about it.
    pub actor: Option<(Uuid, Because)>,
    /// Whether the actor is a known person.
    pub is_person: bool,
    /// The account, if there is evidence of one.
    pub account: Option<(Uuid, Because)>,
}

impl Seen {
    pub(super) fn told(self, because: &Because) -> Told {
        Told {
            signal: self.signal,
            at: self.at,
            rule: because.rule,
            evidence: Arc::clone(&because.evidence),
        }
    }
}

/// Resolves the signals in order; one attribution each. The world must know every identity and trace they name, as far as
/// it is known at all.
pub fn resolve<'a>(
    world: &mut World,
    signals: impl IntoIterator<Item = &'a (Claims, Seen)>,
    ids: &dyn IdGen,
) -> Vec<Attribution> {
    let mut attributions: Vec<_> = signals
        .into_iter()
        .map(|(claims, seen)| one(world, claims, *seen, ids))
        .collect();
    for attribution in &mut attributions {
        settle(world, attribution);
    }
    attributions
}

fn one(world: &mut World, claims: &Claims, seen: Seen, ids: &dyn IdGen) -> Attribution {
    world.hush(claims.quiet);
    let actor = persons::actor_of(world, claims, seen, ids);
    let person = actor
        .as_ref()
        .map(|(id, _)| *id)
        .filter(|id| is_person(world, *id));
    let account = companies::account_of(world, claims, person, seen, ids);
    if let (Some(person), Some((_, because))) = (person, &actor) {
        world.tell_first(person, &seen.told(because));
    }
    if let Some((account, because)) = &account {
        world.tell_account_first(*account, &seen.told(because));
    }
    Attribution {
        actor,
        is_person: person.is_some(),
        account,
    }
}

/// A visitor of an earlier signal may have become known by a later one, and a person may have got an account.
fn settle(world: &World, attribution: &mut Attribution) {
    let Some((actor, _)) = &mut attribution.actor else {
        return;
    };
    *actor = world.follow(*actor);
    attribution.is_person = is_person(world, *actor);
    if attribution.account.is_none() {
        let link = world.actor(*actor).and_then(|actor| actor.link.as_ref());
        attribution.account = link.map(|link| {
            (
                link.account,
                Because {
                    rule: link.rule,
                    evidence: Arc::clone(&link.evidence),
                },
            )
        });
    }
}

fn is_person(world: &World, actor: Uuid) -> bool {
    world
        .actor(actor)
        .is_some_and(|actor| actor.kind == ActorKind::Person)
}
