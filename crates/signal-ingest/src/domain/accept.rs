//! Which signals of a group of requests are new: the plan of one accepting transaction.
//!
//! The group may hold requests of many organizations. A key that stands twice in it belongs to the first.

use std::collections::HashMap;
use std::sync::Arc;

use ids::{BatchId, IdGen, OrgId, SignalId};
use uuid::Uuid;

use super::prepared::Prepared;

/// The signals of one request that passed every check.
#[derive(Debug, Clone)]
pub struct Request {
    /// The organization that sent it.
    pub org: OrgId,
    /// Its signals in order.
    pub signals: Vec<Prepared>,
    /// W3C trace context of the call that brought it.
    pub traceparent: Option<Arc<str>>,
}

/// What became of one signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// New, and stored.
    Accepted(SignalId),
    /// Known: the id of the signal that was first.
    Duplicate(SignalId),
}

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The batch of its first new signal.
    pub batch: Option<BatchId>,
    /// One verdict per signal, in order.
    pub verdicts: Vec<Verdict>,
}

/// A key to be entered into the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim<'a> {
    /// Organization.
    pub org: Uuid,
    /// Key.
    pub key: &'a str,
    /// The signal that claims it.
    pub signal: Uuid,
}

/// The plan: an id for every signal, and which of them repeat another one of the group.
pub struct Plan<'a> {
    requests: &'a [Request],
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    request: usize,
    id: SignalId,
    signal: &'a Prepared,
    /// The id of the signal that was first with this key.
    repeats: Option<SignalId>,
}

impl<'a> Plan<'a> {
    /// Gives every signal an id, in order.
    #[must_use]
    pub fn new(requests: &'a [Request], ids: &dyn IdGen) -> Self {
        let mut first: HashMap<(OrgId, &str), SignalId> = HashMap::new();
        let mut entries = Vec::with_capacity(requests.iter().map(|r| r.signals.len()).sum());
        for (index, request) in requests.iter().enumerate() {
            for signal in &request.signals {
                let id = SignalId::new(ids);
                let holder = signal
                    .ledger_key
                    .as_deref()
                    .map(|key| *first.entry((request.org, key)).or_insert(id));
                let repeats = holder.filter(|holder| *holder != id);
                entries.push(Entry {
                    request: index,
                    id,
                    signal,
                    repeats,
                });
            }
        }
        Self { requests, entries }
    }

    /// The keys to claim, sorted: transactions that claim the same keys take them in the same order and cannot wait for
    /// each other in a circle.
    #[must_use]
    pub fn claims(&self) -> Vec<Claim<'a>> {
        let mut claims: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| entry.repeats.is_none())
            .filter_map(|entry| {
                let key = entry.signal.ledger_key.as_deref()?;
                Some(Claim {
                    org: self.requests[entry.request].org.uuid(),
                    key,
                    signal: entry.id.uuid(),
                })
            })
            .collect();
        claims.sort_unstable();
        claims
    }

    /// Takes in what the ledger knew already: claimed id to the id that was first.
    pub fn known(&mut self, taken: &HashMap<Uuid, Uuid>) {
        if taken.is_empty() {
            return;
        }
        for entry in &mut self.entries {
            let claimed = entry.repeats.unwrap_or(entry.id);
            if let Some(first) = taken.get(&claimed.uuid()) {
                entry.repeats = Some(SignalId(*first));
            }
        }
    }

    /// The new signals by organization, in order of acceptance.
    #[must_use]
    pub fn fresh(&self) -> Vec<(OrgId, Vec<(SignalId, &'a Prepared)>)> {
        let mut place: HashMap<OrgId, usize> = HashMap::new();
        let mut groups: Vec<(OrgId, Vec<(SignalId, &'a Prepared)>)> = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.repeats.is_none()) {
            let org = self.requests[entry.request].org;
            let index = *place.entry(org).or_insert_with(|| {
                groups.push((org, Vec::new()));
                groups.len() - 1
            });
            groups[index].1.push((entry.id, entry.signal));
        }
        groups
    }

    /// The trace that the batches of each organization belong to: that of its first request that has one.
    #[must_use]
    pub fn traces(&self) -> HashMap<OrgId, Arc<str>> {
        let mut traces = HashMap::new();
        for request in self.requests {
            if let Some(trace) = &request.traceparent {
                traces.entry(request.org).or_insert_with(|| Arc::clone(trace));
            }
        }
        traces
    }

    /// The answers, in the order of the requests. `batch_of` knows the batch of every new signal.
    #[must_use]
    pub fn outcomes(&self, batch_of: &HashMap<SignalId, BatchId>) -> Vec<Outcome> {
        let empty = |request: &Request| Outcome {
            batch: None,
            verdicts: Vec::with_capacity(request.signals.len()),
        };
        let mut outcomes: Vec<Outcome> = self.requests.iter().map(empty).collect();
        for entry in &self.entries {
            let outcome = &mut outcomes[entry.request];
            outcome.verdicts.push(match entry.repeats {
                Some(first) => Verdict::Duplicate(first),
                None => {
                    outcome.batch = outcome.batch.or_else(|| batch_of.get(&entry.id).copied());
                    Verdict::Accepted(entry.id)
                }
            });
        }
        outcomes
    }
}

#[cfg(test)]
mod tests {
    use ids::SeededIds;
    use jiff::Timestamp;

    use super::*;

    fn signal(key: Option<&str>) -> Prepared {
        Prepared {
            encoded: Vec::new(),
            ledger_key: key.map(str::to_owned),
            source_id: None,
            dated: false,
        }
    }

    fn request(org: u128, keys: &[Option<&str>]) -> Request {
        Request {
            org: OrgId(Uuid::from_u128(org)),
            signals: keys.iter().map(|key| signal(*key)).collect(),
            traceparent: None,
        }
    }

    fn ids() -> SeededIds {
        SeededIds::from(Timestamp::from_second(1_800_000_000).unwrap())
    }

    #[test]
    fn the_first_of_a_key_is_new_and_the_others_repeat_it() {
        let requests = [
            request(1, &[Some("a"), Some("a"), None, None]),
            request(1, &[Some("a")]),
            request(2, &[Some("a")]),
        ];
        let plan = Plan::new(&requests, &ids());
        assert_eq!(plan.claims().len(), 2);
        let outcomes = plan.outcomes(&HashMap::new());
        let Verdict::Accepted(first) = outcomes[0].verdicts[0] else {
            panic!()
        };
        assert_eq!(outcomes[0].verdicts[1], Verdict::Duplicate(first));
        assert!(matches!(
            outcomes[0].verdicts[2..],
            [Verdict::Accepted(_), Verdict::Accepted(_)]
        ));
        assert_eq!(outcomes[1].verdicts, [Verdict::Duplicate(first)]);
        assert!(matches!(outcomes[2].verdicts[..], [Verdict::Accepted(_)]));
        let fresh: Vec<_> = plan
            .fresh()
            .iter()
            .map(|(org, s)| (org.uuid().as_u128(), s.len()))
            .collect();
        assert_eq!(fresh, [(1, 3), (2, 1)]);
    }

    #[test]
    fn what_the_ledger_knew_is_a_duplicate_of_what_it_knew() {
        let requests = [request(1, &[Some("a"), Some("b"), Some("a")])];
        let mut plan = Plan::new(&requests, &ids());
        let claims = plan.claims();
        let known = Uuid::from_u128(77);
        plan.known(&[(claims[0].signal, known)].into());
        let outcome = plan.outcomes(&HashMap::new()).remove(0);
        assert_eq!(outcome.verdicts[0], Verdict::Duplicate(SignalId(known)));
        assert_eq!(outcome.verdicts[2], Verdict::Duplicate(SignalId(known)));
        assert!(matches!(outcome.verdicts[1], Verdict::Accepted(_)));
        assert_eq!(plan.fresh()[0].1.len(), 1);
    }

    #[test]
    fn claims_are_sorted_over_organizations() {
        let requests = [request(2, &[Some("b"), Some("a")]), request(1, &[Some("z")])];
        let plan = Plan::new(&requests, &ids());
        let order: Vec<_> = plan
            .claims()
            .iter()
            .map(|c| (c.org.as_u128(), c.key.to_owned()))
            .collect();
        assert_eq!(order, [(1, "z".into()), (2, "a".into()), (2, "b".into())]);
    }
}
