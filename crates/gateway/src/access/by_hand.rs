//! The rules of routes that no method of the contract stands for; ingest borrows its method's.

use contracts::access::{Permission, Rule, rule_of};

/// Streams of events, by whatever transport.
pub const EVENTS: Rule = Rule {
    method: "GET /api/v1/events",
    resource: "events",
    permission: Permission::Read,
};

const INGEST_METHOD: &str = "/devsignal.signals.v1.SignalService/IngestSignals";

/// Taking signals in.
pub fn ingest() -> Rule {
    rule_of(INGEST_METHOD).copied().unwrap_or(Rule {
        method: INGEST_METHOD,
        resource: "signals",
        permission: Permission::System,
    })
}
