//! Deliveries that share a transaction: which of them are new, and whose they are.

use std::collections::{BTreeMap, HashSet};

use ::store::{OrgScope, Tx, inbox};
use uuid::Uuid;

use super::{Delivered, Outcome};
use crate::error::CrmError;

/// A group of deliveries, claimed.
#[derive(Debug)]
pub(super) struct Claimed<'t, T> {
    /// What becomes of each, in the order of the group, once the transaction is committed.
    pub(super) outcomes: Vec<Outcome>,
    /// What is new, by organization: in the order of their ids, as everybody locks.
    pub(super) by_org: BTreeMap<Uuid, OfOrg<'t, T>>,
}

/// What is new of one organization.
#[derive(Debug)]
pub(super) struct OfOrg<'t, T> {
    /// Whose it is.
    pub(super) scope: OrgScope,
    /// What the deliveries tell, in their order.
    pub(super) told: Vec<&'t T>,
}

/// Claims the deliveries, which are all of one consumer.
pub(super) async fn claim<'t, T>(
    tx: &mut Tx,
    group: &'t [(Delivered, T)],
) -> Result<Claimed<'t, T>, CrmError> {
    let mut claimed = Claimed {
        outcomes: Vec::with_capacity(group.len()),
        by_org: BTreeMap::new(),
    };
    let Some((first, _)) = group.first() else {
        return Ok(claimed);
    };
    let ids: Vec<Uuid> = group
        .iter()
        .map(|(delivered, _)| delivered.event.uuid())
        .collect();
    let fresh = inbox::claim_all(tx, first.consumer, &ids).await?;
    let mut fresh: HashSet<Uuid> = fresh.into_iter().collect();
    for (delivered, told) in group {
        // A delivery that stands twice in the group is new once.
        let new = fresh.remove(&delivered.event.uuid());
        claimed
            .outcomes
            .push(if new { Outcome::Applied } else { Outcome::Repeated });
        if new {
            let scope = delivered.scope;
            let of_org = claimed.by_org.entry(scope.uuid()).or_insert(OfOrg {
                scope,
                told: Vec::new(),
            });
            of_org.told.push(told);
        }
    }
    Ok(claimed)
}

/// Cuts items into runs, in their order, in which each record stands at most once: statements that write many rows
/// write none of them twice.
pub(super) fn runs<T, K: std::hash::Hash + Eq>(items: Vec<T>, key: impl Fn(&T) -> K) -> Vec<Vec<T>> {
    let mut runs: Vec<(HashSet<K>, Vec<T>)> = Vec::new();
    for item in items {
        let key = key(&item);
        // Behind the last run that has the record: later facts come after earlier ones.
        let place = runs
            .iter()
            .rposition(|(keys, _)| keys.contains(&key))
            .map_or(0, |last| last + 1);
        if place == runs.len() {
            runs.push((HashSet::new(), Vec::new()));
        }
        if let Some((keys, run)) = runs.get_mut(place) {
            keys.insert(key);
            run.push(item);
        }
    }
    runs.into_iter().map(|(_, run)| run).collect()
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn no_run_has_a_record_twice_and_their_order_is_kept() {
        let items = vec![(1, 'a'), (2, 'b'), (1, 'c'), (3, 'd'), (1, 'e'), (2, 'f')];
        assert_eq!(
            runs(items, |(record, _)| *record),
            [
                vec![(1, 'a'), (2, 'b'), (3, 'd')],
                vec![(1, 'c'), (2, 'f')],
                vec![(1, 'e')]
            ]
        );
        assert!(runs(Vec::<u8>::new(), |n| *n).is_empty());
    }
}
