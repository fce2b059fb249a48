//! What the resolver counts. Consumers and the outbox are counted by the crates that run them.

use telemetry::{Histogram, IntCounterVec, Metrics, SECONDS_BUCKETS, TelemetryError};

use crate::domain::{Attribution, Changes};

pub(crate) struct ResolverMetrics {
    batches: IntCounterVec,
    signals: IntCounterVec,
    decisions: IntCounterVec,
    pub(crate) seconds: Histogram,
}

impl ResolverMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Result<Self, TelemetryError> {
        Ok(Self {
            batches: metrics.counter_vec(
                "batches_total",
                "Batches by how they were resolved: from memory, by a decision under the lock, or earlier",
                &["way"],
            )?,
            signals: metrics.counter_vec(
                "signals_total",
                "Resolved signals by who did it (person, visitor, nobody) and whether they have an account",
                &["actor", "account"],
            )?,
            decisions: metrics.counter_vec("decisions_total", "Decisions by kind", &["kind"])?,
            seconds: metrics.histogram("unit_seconds", "Time of one unit of work", SECONDS_BUCKETS)?,
        })
    }

    pub(crate) fn repeated(&self, batches: usize) {
        self.count(batches, "repeated");
    }

    pub(crate) fn known(&self, batches: usize, attributions: &[Attribution]) {
        self.count(batches, "memory");
        self.attributed(attributions);
    }

    pub(crate) fn decided(&self, batches: usize, attributions: &[Attribution], changes: &Changes) {
        self.count(batches, "decision");
        self.attributed(attributions);
        for decision in &changes.decisions {
            self.decisions.with_label_values(&[decision.kind.name()]).inc();
        }
    }

    fn count(&self, batches: usize, way: &str) {
        self.batches
            .with_label_values(&[way])
            .inc_by(u64::try_from(batches).unwrap_or(u64::MAX));
    }

    fn attributed(&self, attributions: &[Attribution]) {
        for attribution in attributions {
            let actor = match (&attribution.actor, attribution.is_person) {
                (Some(_), true) => "person",
                (Some(_), false) => "visitor",
                (None, _) => "nobody",
            };
            let account = if attribution.account.is_some() {
                "yes"
            } else {
                "no"
            };
            self.signals.with_label_values(&[actor, account]).inc();
        }
    }
}
