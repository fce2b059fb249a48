//! What holds for any signals in any order.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const KINDS: [&str; 4] = ["email", "user", "github", "npm"];

/// A signal of one of five persons who have one identity of each kind and two visitors' ids each: which of them it names.
fn true_signal() -> impl Strategy<Value = (u8, String)> {
    (0..5_u8, 0..16_u8, 0..3_u8).prop_map(|(person, named, device)| {
        let mut parts: Vec<String> = (0..4)
            .filter(|bit| named & (1 << bit) != 0)
            .map(|bit| match bit {
                0 => format!("email=p{person}@gmail.com"),
                _ => format!("{}=p{person}", KINDS[bit]),
            })
            .collect();
        if device > 0 {
            parts.push(format!("anon=d{person}-{device}"));
        }
        (person, parts.join("; "))
    })
}

/// A signal that names anything together with anything.
fn any_signal() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        (0..4_u8).prop_map(|i| format!("email=p{i}@acme{}.com", i % 2)),
        (0..4_u8).prop_map(|i| format!("github=p{i}")),
        (0..3_u8).prop_map(|i| format!("user=p{i}")),
        (0..4_u8).prop_map(|i| format!("anon=a{i}")),
        (0..3_u8).prop_map(|i| format!("domain=acme{i}.com")),
        (0..3_u8).prop_map(|i| format!("org=acme{i}")),
        (0..2_u8).prop_map(|i| format!("account=Acme{i}")),
        (0..3_u8).prop_map(|i| format!("company=@acme{i}")),
        (0..2_u8).prop_map(|i| format!("company=Acme{i} Inc")),
        (0..3_u8).prop_map(|i| format!("name=Jane {i}")),
        (0..3_u8).prop_map(|i| format!("employees={i}")),
    ];
    proptest::collection::vec(field, 0..5).prop_map(|fields| fields.join("; "))
}

/// Cuts a list into units of work.
fn cut<T: Clone>(items: &[T], cuts: &[usize]) -> Vec<Vec<T>> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (items.len() + 1)).collect();
    ends.extend([0, items.len()]);
    ends.sort_unstable();
    ends.windows(2).map(|w| items[w[0]..w[1]].to_vec()).collect()
}

/// Which identities are one person by the signals alone: two that one signal names are, transitively. Visitors' ids that
/// were only seen with one such group belong to it; the others are left out (who was first decides).
fn components(signals: &[Claims]) -> BTreeSet<BTreeSet<IdentityKey>> {
    let mut group: HashMap<IdentityKey, usize> = HashMap::new();
    let mut next = 0;
    for claims in signals {
        let mut joined: Vec<usize> = claims
            .identities
            .iter()
            .filter_map(|key| group.get(key).copied())
            .collect();
        joined.push(next);
        next += 1;
        let target = joined[0];
        group
            .values_mut()
            .filter(|g| joined.contains(g))
            .for_each(|g| *g = target);
        for key in &claims.identities {
            group.insert(key.clone(), target);
        }
    }
    let mut devices: HashMap<IdentityKey, BTreeSet<usize>> = HashMap::new();
    for claims in signals {
        if let Some(device) = &claims.anonymous {
            devices
                .entry(device.clone())
                .or_default()
                .extend(claims.identities.first().map(|key| group[key]));
        }
    }
    for (device, groups) in devices {
        match groups.len() {
            0 => {
                group.insert(device, next);
                next += 1;
            }
            1 => {
                group.insert(device, *groups.first().unwrap());
            }
            _ => {}
        }
    }
    let mut sets: BTreeMap<usize, BTreeSet<IdentityKey>> = BTreeMap::new();
    for (key, g) in group {
        sets.entry(g).or_default().insert(key);
    }
    sets.into_values().collect()
}

/// The groups without identities that `expected` leaves out.
fn only(
    groups: BTreeSet<BTreeSet<IdentityKey>>,
    expected: &BTreeSet<BTreeSet<IdentityKey>>,
) -> BTreeSet<BTreeSet<IdentityKey>> {
    let named: BTreeSet<_> = expected.iter().flatten().cloned().collect();
    groups
        .into_iter()
        .map(|group| group.intersection(&named).cloned().collect::<BTreeSet<_>>())
        .filter(|group| !group.is_empty())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any order and any cut into units gives the same persons, and every signal ends with the person it names.
    #[test]
    fn without_contradictions_order_and_batches_do_not_matter(
        signals in proptest::collection::vec(true_signal(), 1..40).prop_shuffle(),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let claims: Vec<Claims> = signals.iter().map(|(_, text)| signal(text)).collect();
        let mut base = Base::new();
        let mut actors = Vec::new();
        for unit in cut(&claims, &cuts) {
            actors.extend(base.run(unit).into_iter().map(|attribution| attribution.actor.map(|(id, _)| id)));
        }
        let expected = components(&claims);
        prop_assert_eq!(only(base.groups(), &expected), expected);
        for (claims, actor) in claims.iter().zip(actors) {
            let named = claims.identities.first().or(claims.anonymous.as_ref());
            prop_assert_eq!(named.map(|key| base.identities[key]), actor.map(|id| base.follow(id)));
        }
    }

    /// The same signals again decide nothing, whatever they contradict: every conflict is noted once.
    #[test]
    fn what_was_decided_is_not_decided_again(
        signals in proptest::collection::vec(any_signal(), 1..30),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
    ) {
        let mut base = Base::new();
        let signals: Vec<_> = signals
            .iter()
            .enumerate()
            .map(|(i, text)| {
                let second = i64::try_from(i).unwrap();
                (signal(text), Seen { signal: Uuid::from_u128(i as u128), at: at(second) })
            })
            .collect();
        for unit in cut(&signals, &cuts) {
            base.run_at(&unit);
        }
        // A repetition may still find what a later signal made decidable (a company's domain, a person's account), and the
        // next what that made decidable; every step spends one of few traces, so that it ends.
        for _ in 0..6 {
            base.run_at(&signals);
            if base.last.is_empty() {
                break;
            }
        }
        let persons = base.actors.len();
        base.run_at(&signals);
        prop_assert!(base.last.is_empty(), "{:?}", base.last);
        prop_assert_eq!(base.actors.len(), persons);
    }

    /// Whatever comes: an identity has one owner, who is; every named person has the identity; accounts have one domain.
    #[test]
    fn the_base_stays_sound(units in proptest::collection::vec(proptest::collection::vec(any_signal(), 1..8), 1..8)) {
        let mut base = Base::new();
        for unit in &units {
            let texts: Vec<&str> = unit.iter().map(String::as_str).collect();
            base.unit(&texts);
            for (key, actor) in &base.identities {
                let actor = base.actor(*actor);
                prop_assert!(key.kind == IdentityKind::Anonymous || actor.identities.contains(key));
                prop_assert_eq!(actor.kind == ActorKind::Person, actor.identities.iter().any(|key| key.kind.is_strong()));
                prop_assert!(actor.link.as_ref().is_none_or(|link| base.accounts.contains_key(&link.account)));
            }
            for account in base.accounts.values() {
                let domains = account.keys.iter().filter(|held| held.key.kind == AccountKeyKind::Domain).count();
                prop_assert!(domains <= 1 && !account.keys.is_empty());
            }
        }
    }
}
