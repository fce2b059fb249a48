//! For which company: the rules over traces.

use std::sync::Arc;

use ids::IdGen;
use uuid::Uuid;

use super::account::{Account, AccountKey, AccountKeyKind};
use super::actor::{Link, Stated};
use super::changes::{DecisionKind, Told};
use super::claims::{Claims, CompanyClaim};
use super::company_name;
use super::resolve::{Because, Seen};
use super::rule::Rule;
use super::world::World;

/// The account of a signal, and what decided. Gives the signal's person an account if they have none.
pub(super) fn account_of(
    world: &mut World,
    claims: &Claims,
    person: Option<Uuid>,
    seen: Seen,
    ids: &dyn IdGen,
) -> Option<(Uuid, Because)> {
    let stated = company(world, &claims.stated, Need::Account, seen, ids);
    let Some(person) = person else {
        let found = stated.or_else(|| company(world, &claims.employer, Need::Account, seen, ids));
        return found.map(because);
    };
    let held = world.actor(person).and_then(|person| person.link.clone());
    let link = if let Some(held) = held {
        // Nothing to decide, but the traces may tell more of a known company.
        company(world, &claims.employer, Need::Knowledge, seen, ids);
        Some(held)
    } else {
        let outranked = claims
            .employer
            .strength()
            .is_none_or(|rule| claims.stated.strength().is_some_and(|s| s < rule));
        let found = match &stated {
            Some(stated) if outranked => Some(stated.clone()),
            _ => company(world, &claims.employer, Need::Account, seen, ids).or_else(|| stated.clone()),
        };
        if let Some(link) = &found {
            give(world, person, link, seen);
        }
        found
    };
    stated.or(link).map(because)
}

fn because(link: Link) -> (Uuid, Because) {
    (
        link.account,
        Because {
            rule: link.rule,
            evidence: link.evidence,
        },
    )
}

/// The person belongs to the account from now on.
fn give(world: &mut World, person: Uuid, link: &Link, seen: Seen) {
    let told = seen.told(&Because {
        rule: link.rule,
        evidence: Arc::clone(&link.evidence),
    });
    let Some(changed) = world.change_actor(person) else {
        return;
    };
    changed.link = Some(link.clone());
    changed.seen(seen.at);
    world.decide(DecisionKind::AccountLinked, person, Some(link.account), &told);
    world.note_link(person, &told);
    if !world.is_told(person) {
        world.tell_actor(person, &told);
    }
}

/// What a company is looked up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// A signal or a person needs one: made if it is not known.
    Account,
    /// Nobody needs it: only what is known already learns.
    Knowledge,
}

/// The company behind traces. The domain decides; the others lead to a company, and are attached to it.
fn company(world: &mut World, claim: &CompanyClaim, need: Need, seen: Seen, ids: &dyn IdGen) -> Option<Link> {
    let known = find(world, claim);
    let id = match known {
        Some(id) => id,
        // A name that two companies bear leads nowhere, and makes no third.
        None if need == Need::Knowledge || claim.keys.iter().all(|(key, _)| world.holder(key).is_some()) => {
            return None;
        }
        None => {
            let free = claim.id.filter(|id| world.account(*id).is_none());
            let id = free.unwrap_or_else(|| ids.next());
            world.add_account(id, seen.at);
            id
        }
    };
    for (key, rule) in &claim.keys {
        match world.holder(key) {
            Some(holder) if holder != id => dispute(world, key, id, holder, &told_by(key, *rule, seen)),
            Some(_) => {}
            None => attach(world, key, id, known.is_none(), &told_by(key, *rule, seen)),
        }
    }
    let (key, rule) = claim.keys.iter().find(|(key, _)| world.holder(key) == Some(id))?;
    let told = told_by(key, *rule, seen);
    if known.is_none() {
        world.decide(DecisionKind::AccountCreated, id, None, &told);
        world.tell_account(id, &told);
    }
    learn(world, id, claim, &told);
    if let Some(recorded) = claim.id
        && recorded != id
        && world.account(recorded).is_none()
    {
        world.note_recorded_account(recorded, id);
    }
    Some(Link {
        account: id,
        rule: *rule,
        evidence: Arc::clone(&key.value),
    })
}

/// The known company: the domain's, if it is known. Else where a weaker trace leads, unless that company has another
/// domain.
fn find(world: &World, claim: &CompanyClaim) -> Option<Uuid> {
    let domain = claim
        .keys
        .iter()
        .find(|(key, _)| key.kind == AccountKeyKind::Domain);
    if let Some(known) = domain.and_then(|(key, _)| world.holder(key)) {
        return Some(known);
    }
    claim.keys.iter().find_map(|(key, _)| {
        let id = world.holder(key)?;
        let account = world.account(id)?;
        let free = domain.is_none() || account.first(AccountKeyKind::Domain).is_none();
        (free && account.leads(key)).then_some(id)
    })
}

fn attach(world: &mut World, key: &AccountKey, id: Uuid, is_new: bool, told: &Told) {
    let full = world
        .account(id)
        .is_none_or(|account| account.keys.len() >= Account::MAX_KEYS);
    // The domain that makes a company somebody's must not be lost to a crowd of names.
    if full && key.kind != AccountKeyKind::Domain {
        return;
    }
    world.attach_key(key, id, told);
    if !is_new {
        world.decide(DecisionKind::KeyAttached, id, None, told);
        world.tell_account(id, told);
    }
}

/// A trace of this company leads to another one already. A name becomes worthless when both have a domain of their own;
/// any other trace stays where it is, and the pair is noted once.
fn dispute(world: &mut World, key: &AccountKey, id: Uuid, holder: Uuid, told: &Told) {
    let (Some(own), Some(other)) = (world.account(id), world.account(holder)) else {
        return;
    };
    let domain = |account: &Account| account.first(AccountKeyKind::Domain).is_some();
    if key.kind == AccountKeyKind::Name && domain(own) && domain(other) {
        if other.leads(key) {
            world.make_ambiguous(key, holder);
            world.decide(DecisionKind::NameAmbiguous, holder, Some(id), told);
        }
        return;
    }
    if own.kept_apart.len() >= Account::MAX_KEPT_APART || own.kept_apart.contains(&holder) {
        return;
    }
    if let Some(account) = world.change_account(id) {
        account.kept_apart.push(holder);
    }
    world.decide(DecisionKind::KeptApart, id, Some(holder), told);
}

/// Takes over what the signal says about the company besides traces.
fn learn(world: &mut World, id: Uuid, claim: &CompanyClaim, told: &Told) {
    let Some(known) = world.account(id) else { return };
    let at = told.at;
    let fresh = |held: &Option<Stated<Arc<str>>>, stated: &Option<Arc<str>>| {
        stated
            .clone()
            .filter(|value| Stated::changes(held.as_ref(), value, at))
    };
    let firm = &known.firmographics;
    // Another spelling of the same name is no news: sources that spell differently would take turns forever.
    let news = |name: &Arc<str>| match &known.name {
        None => true,
        Some(held) => claim.by_sender && !company_name::is_spelling_of(name, &held.value),
    };
    let name = fresh(&known.name, &claim.written).filter(news);
    let industry = fresh(&firm.industry, &claim.industry);
    let country = fresh(&firm.country, &claim.country);
    let stage = fresh(&firm.funding_stage, &claim.funding_stage);
    let employees = claim
        .employees
        .filter(|n| Stated::changes(firm.employees.as_ref(), n, at));
    if name.is_none() && industry.is_none() && country.is_none() && stage.is_none() && employees.is_none() {
        return;
    }
    let Some(account) = world.change_account(id) else {
        return;
    };
    let set = |slot: &mut Option<Stated<Arc<str>>>, value: Option<Arc<str>>| {
        if let Some(value) = value {
            *slot = Some(Stated { value, at });
        }
    };
    set(&mut account.name, name);
    set(&mut account.firmographics.industry, industry);
    set(&mut account.firmographics.country, country);
    set(&mut account.firmographics.funding_stage, stage);
    if let Some(value) = employees {
        account.firmographics.employees = Some(Stated { value, at });
    }
    account.first_seen = account.first_seen.min(at);
    world.tell_account(id, told);
}

fn told_by(key: &AccountKey, rule: Rule, seen: Seen) -> Told {
    seen.told(&Because {
        rule,
        evidence: Arc::clone(&key.value),
    })
}
