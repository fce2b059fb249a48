//! Bursts of small requests: when many wait at once, accepting them goes before working them off.
//!
//! Owns the judgement whether there is a burst, and the switch that holds the relay back meanwhile: the stages behind
//! rest, and what they would have taken of the machine goes to those who wait for an answer. What is accepted stands in
//! the outbox, durable. Must not: hold it for longer than is set, or hold it again before it had time to catch up.

use std::time::Duration;

use lifecycle::{Lifecycle, OnExit, Phase};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::metrics::IngestMetrics;

/// How often the counts are looked at.
const TICK: Duration = Duration::from_millis(100);
/// A burst begins when so many looks in a row see it: a single slow commit makes requests wait, too.
const BEGINS: u32 = 5;
/// It is over when so many in a row do not.
const ENDS: u32 = 3;
/// Many wait at once when accepting transactions carry so many requests on average …
const REQUESTS: u64 = 8;
/// … and they are small when they carry at most so many signals. Large ones cost the stages behind little per signal:
/// there is nothing to win.
const SIGNALS: u64 = 8;

/// Starts to watch, and returns what holds the relay: never when `longest` is zero.
pub(crate) fn watch(
    longest: Duration,
    metrics: &IngestMetrics,
    lifecycle: &Lifecycle,
) -> watch::Receiver<bool> {
    let (hold, held) = watch::channel(false);
    if longest.is_zero() {
        return held;
    }
    let metrics = metrics.clone();
    lifecycle.spawn("burst", Phase::Work, OnExit::restart(), move |shutdown| {
        let (hold, metrics) = (hold.clone(), metrics.clone());
        async move {
            let mut judge = Judge::new(longest);
            let mut before = Counts::of(&metrics);
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !shutdown.is_requested() {
                tokio::select! {
                    () = shutdown.requested() => {}
                    _ = ticks.tick() => {
                        let now = Counts::of(&metrics);
                        let holds = judge.look(&now.since(&before));
                        before = now;
                        metrics.held.set(holds.into());
                        hold.send_if_modified(|held| std::mem::replace(held, holds) != holds);
                    }
                }
            }
            hold.send_replace(false);
            Ok(())
        }
    });
    held
}

/// What accepting did, since the start or in a while.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    transactions: u64,
    requests: u64,
    signals: u64,
}

impl Counts {
    fn of(metrics: &IngestMetrics) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count below 2^53"
        )]
        let signals = metrics.group_items.get_sample_sum() as u64;
        Self {
            transactions: metrics.group_items.get_sample_count(),
            requests: metrics.requests.get(),
            signals,
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            transactions: self.transactions.saturating_sub(before.transactions),
            requests: self.requests.saturating_sub(before.requests),
            signals: self.signals.saturating_sub(before.signals),
        }
    }

    fn are_a_burst(&self) -> bool {
        self.transactions > 0
            && self.requests >= REQUESTS * self.transactions
            && self.signals <= SIGNALS * self.requests
    }
}

/// Judges look by look.
#[derive(Debug)]
struct Judge {
    holds: bool,
    /// Looks in a row that speak against what holds now.
    against: u32,
    /// For how long may still be held; comes back at half the speed at which it goes.
    left: Duration,
    longest: Duration,
}

impl Judge {
    fn new(longest: Duration) -> Self {
        Self {
            holds: false,
            against: 0,
            left: longest,
            longest,
        }
    }

    /// What one [`TICK`] brought; returns whether to hold from here on.
    fn look(&mut self, counts: &Counts) -> bool {
        if self.holds {
            self.left = self.left.saturating_sub(TICK);
        } else {
            self.left = self.longest.min(self.left + TICK / 2);
        }
        if counts.are_a_burst() == self.holds {
            self.against = 0;
        } else {
            self.against += 1;
        }
        let turns = match self.holds {
            true => self.left.is_zero() || self.against >= ENDS,
            // Not for a moment only, and not before the backlog had some time.
            false => self.against >= BEGINS && self.left >= self.longest / 2,
        };
        if turns {
            self.holds = !self.holds;
            self.against = 0;
        }
        self.holds
    }
}

#[cfg(test)]
mod tests {
    use telemetry::Metrics;

    use super::*;

    const BURST: Counts = Counts {
        transactions: 10,
        requests: 200,
        signals: 200,
    };
    const SINGLE: Counts = Counts {
        transactions: 40,
        requests: 60,
        signals: 60,
    };
    const BATCHES: Counts = Counts {
        transactions: 4,
        requests: 40,
        signals: 4_000,
    };
    const NOTHING: Counts = Counts {
        transactions: 0,
        requests: 0,
        signals: 0,
    };

    fn held(judge: &mut Judge, looks: impl IntoIterator<Item = Counts>) -> usize {
        looks.into_iter().filter(|counts| judge.look(counts)).count()
    }

    /// From what accepting counts to the relay's switch, on a clock of its own.
    #[tokio::test(start_paused = true)]
    async fn what_is_counted_holds_the_relay_and_lets_it_go() {
        let metrics = IngestMetrics::new(&Metrics::new("signal-ingest")).unwrap();
        let lifecycle = Lifecycle::new();
        let held = watch(Duration::from_secs(30), &metrics, &lifecycle);
        let never = watch(Duration::ZERO, &metrics, &lifecycle);
        for _ in 0..20 {
            metrics.group_items.observe(20.0);
            metrics.requests.inc_by(20);
            tokio::time::sleep(TICK).await;
        }
        assert!(*held.borrow() && !*never.borrow());
        assert_eq!(metrics.held.get(), 1);
        tokio::time::sleep(TICK * (ENDS + 2)).await;
        assert!(!*held.borrow());
        assert_eq!(metrics.held.get(), 0);
    }

    #[test]
    fn only_many_small_requests_for_a_while_are_a_burst() {
        let judge = || Judge::new(Duration::from_secs(10));
        for calm in [SINGLE, BATCHES, NOTHING] {
            assert_eq!(held(&mut judge(), [calm; 50]), 0, "{calm:?}");
        }
        // A commit that took long, now and then.
        let hiccups = (0..100).map(|n| if n % 6 < 4 { BURST } else { SINGLE });
        assert_eq!(held(&mut judge(), hiccups), 0);
        assert_eq!(held(&mut judge(), [BURST; 50]), 46);
    }

    #[test]
    fn a_burst_ends_soon_after_its_last_request() {
        let mut judge = Judge::new(Duration::from_secs(10));
        held(&mut judge, [BURST; 20]);
        // A commit that took long is no end.
        assert_eq!(held(&mut judge, [NOTHING, NOTHING, BURST]), 3);
        assert_eq!(held(&mut judge, [NOTHING; 20]), 2);
    }

    #[test]
    fn under_endless_load_at_most_a_third_of_the_time_is_held() {
        let longest = Duration::from_secs(10);
        let mut judge = Judge::new(longest);
        let looks = 10_000;
        let (mut run, mut longest_run, mut all) = (0, 0, 0);
        for _ in 0..looks {
            run = if judge.look(&BURST) { run + 1 } else { 0 };
            longest_run = longest_run.max(run);
            all += usize::from(run > 0);
        }
        assert!(TICK * longest_run <= longest, "{longest_run}");
        assert!(all * 3 <= looks + 300, "{all}");
        assert!(all * 4 > looks, "{all}");
    }
}
