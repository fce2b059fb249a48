//! Signals added up per organization, account, day, actor and what was done.
//!
//! Owns the keys of the roll-ups and how a batch is added up before it reaches the database. Adding is commutative:
//! any order of batches gives the same roll-ups. Must not know where they are stored.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, hash_map::Entry};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use uuid::Uuid;

use super::signal::{RecordedSignal, UsageReading};

/// One row of the activity roll-up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActivityKey {
    /// Organization.
    pub org: Uuid,
    /// Account; nil while not known.
    pub account: Uuid,
    /// Day (UTC) on which it happened.
    pub day: Date,
    /// Who acted; nil while not known.
    pub actor: Uuid,
    /// Signal type.
    pub kind: String,
    /// Feature, when it is another than the type.
    pub feature: String,
    /// Competitor the signals are about.
    pub competitor: String,
}

/// What is added to such a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// How many signals.
    pub signals: i64,
    /// When the first happened.
    pub first_at: Timestamp,
    /// When the newest happened.
    pub last_at: Timestamp,
    /// The newest.
    pub last_signal: Uuid,
}

/// One row of the usage readings: the highest reading of a metric by an actor on a day.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UsageKey {
    /// Organization.
    pub org: Uuid,
    /// Account; nil while not known.
    pub account: Uuid,
    /// Day (UTC) of the reading.
    pub day: Date,
    /// Who caused it; nil while not known.
    pub actor: Uuid,
    /// What is measured.
    pub metric: String,
}

/// A usage reading with the signal that brought it.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// The reading.
    pub reading: UsageReading,
    /// When it was taken.
    pub at: Timestamp,
    /// The signal that brought it.
    pub signal: Uuid,
}

/// An actor's job title as a signal stated it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedTitle {
    /// The title.
    pub title: String,
    /// When it was stated.
    pub at: Timestamp,
    /// The signal that stated it.
    pub signal: Uuid,
}

/// What a group of batches adds to the roll-ups.
#[derive(Debug, Default)]
pub struct Rollup {
    activity: HashMap<ActivityKey, Activity>,
    usage: HashMap<UsageKey, Usage>,
    titles: HashMap<(Uuid, Uuid), StatedTitle>,
    accounts: BTreeSet<(Uuid, Uuid)>,
}

/// The same, in the order in which rows are locked.
#[derive(Debug, Default)]
pub struct SortedRollup {
    /// Signals.
    pub activity: Vec<(ActivityKey, Activity)>,
    /// Usage readings.
    pub usage: Vec<(UsageKey, Usage)>,
    /// Titles by organization and actor.
    pub titles: Vec<((Uuid, Uuid), StatedTitle)>,
    /// Known accounts touched, by organization.
    pub accounts: Vec<(Uuid, Uuid)>,
}

impl Rollup {
    /// Adds one signal of `org`.
    pub fn add(&mut self, org: Uuid, signal: RecordedSignal) {
        let day = day_of(signal.at);
        let (account, actor) = (signal.account, signal.actor);
        if let Some(reading) = signal.usage {
            let key = UsageKey {
                org,
                account,
                day,
                actor,
                metric: reading.metric.clone(),
            };
            self.add_usage(
                key,
                Usage {
                    reading,
                    at: signal.at,
                    signal: signal.id,
                },
            );
        }
        if let Some(title) = signal.title.filter(|_| !actor.is_nil()) {
            self.add_title(
                (org, actor),
                StatedTitle {
                    title,
                    at: signal.at,
                    signal: signal.id,
                },
            );
        }
        if !account.is_nil() {
            self.accounts.insert((org, account));
        }
        let (kind, feature, competitor) = (signal.kind, signal.feature, signal.competitor);
        let key = ActivityKey {
            org,
            account,
            day,
            actor,
            kind,
            feature,
            competitor,
        };
        let one = Activity {
            signals: 1,
            first_at: signal.at,
            last_at: signal.at,
            last_signal: signal.id,
        };
        match self.activity.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(one);
            }
            Entry::Occupied(mut entry) => entry.get_mut().merge(&one),
        }
    }

    fn add_usage(&mut self, key: UsageKey, usage: Usage) {
        match self.usage.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(usage);
            }
            Entry::Occupied(mut entry) => {
                if usage.is_above(entry.get()) {
                    entry.insert(usage);
                }
            }
        }
    }

    fn add_title(&mut self, key: (Uuid, Uuid), title: StatedTitle) {
        match self.titles.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(title);
            }
            Entry::Occupied(mut entry) => {
                if (title.at, title.signal) > (entry.get().at, entry.get().signal) {
                    entry.insert(title);
                }
            }
        }
    }

    /// In locking order: the same for every transaction, so that none wait in a circle; descending, so that the nil
    /// account and actor, which everybody shares, are locked last and shortest.
    #[must_use]
    pub fn sorted(self) -> SortedRollup {
        let mut activity: Vec<_> = self.activity.into_iter().collect();
        activity.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        let mut usage: Vec<_> = self.usage.into_iter().collect();
        usage.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        let mut titles: Vec<_> = self.titles.into_iter().collect();
        titles.sort_unstable_by_key(|(key, _)| std::cmp::Reverse(*key));
        SortedRollup {
            activity,
            usage,
            titles,
            accounts: self.accounts.into_iter().rev().collect(),
        }
    }
}

impl Activity {
    /// Adds what happened under the same key.
    pub fn merge(&mut self, other: &Self) {
        self.signals += other.signals;
        self.first_at = self.first_at.min(other.first_at);
        if (other.last_at, other.last_signal) > (self.last_at, self.last_signal) {
            (self.last_at, self.last_signal) = (other.last_at, other.last_signal);
        }
    }
}

impl Usage {
    /// Whether this reading replaces `other`: the higher share, then the newer, then the greater signal id.
    #[must_use]
    pub fn is_above(&self, other: &Self) -> bool {
        let by_ratio = self.reading.ratio().total_cmp(&other.reading.ratio());
        by_ratio
            .then(self.at.cmp(&other.at))
            .then(self.signal.cmp(&other.signal))
            == Ordering::Greater
    }
}

/// The day (UTC) of an instant.
#[must_use]
pub fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signal(n: u128, minute: i64) -> RecordedSignal {
        RecordedSignal {
            id: Uuid::from_u128(n + 1),
            actor: Uuid::from_u128(n % 3),
            account: Uuid::from_u128(n % 2),
            at: Timestamp::from_second(1_700_000_000 + minute * 60).unwrap(),
            kind: if n.is_multiple_of(2) {
                "api_call".into()
            } else {
                "page_view".into()
            },
            feature: String::new(),
            competitor: String::new(),
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            usage: n.is_multiple_of(4).then(|| UsageReading {
                metric: "m".into(),
                used: n as f64,
                limit: 10.0,
            }),
            title: n.is_multiple_of(5).then(|| format!("t{n}")),
        }
    }

    fn rolled(signals: &[RecordedSignal]) -> SortedRollup {
        let mut rollup = Rollup::default();
        for signal in signals {
            rollup.add(Uuid::from_u128(9), signal.clone());
        }
        rollup.sorted()
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_nothing_is_lost(
            minutes in proptest::collection::vec(0_i64..6_000, 1..80),
            seed in any::<u64>(),
        ) {
            let signals: Vec<_> = minutes.iter().enumerate().map(|(n, m)| signal(n as u128, *m)).collect();
            let mut shuffled = signals.clone();
            let len = shuffled.len();
            for i in 0..len {
                let j = usize::try_from(seed.rotate_left(u32::try_from(i % 64).unwrap()) % len as u64).unwrap();
                shuffled.swap(i, j);
            }
            let (a, b) = (rolled(&signals), rolled(&shuffled));
            prop_assert_eq!(&a.activity, &b.activity);
            prop_assert_eq!(&a.usage, &b.usage);
            prop_assert_eq!(&a.titles, &b.titles);
            prop_assert_eq!(a.activity.iter().map(|(_, row)| row.signals).sum::<i64>(), i64::try_from(len).unwrap());
        }
    }

    #[test]
    fn rows_are_sorted_with_the_nil_account_last_and_only_known_accounts_are_touched() {
        let rows = rolled(&(0..10).map(|n| signal(n, 0)).collect::<Vec<_>>());
        assert!(rows.activity.is_sorted_by(|a, b| a.0 >= b.0));
        assert!(rows.activity.last().unwrap().0.account.is_nil());
        assert_eq!(rows.accounts, vec![(Uuid::from_u128(9), Uuid::from_u128(1))]);
    }
}
