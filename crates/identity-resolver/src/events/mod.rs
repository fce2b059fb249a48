//! From the wire to the domain and back: what is consumed, what is told.
//!
//! Owns the reading of payloads; one that cannot be read is a dead letter at once. Must not: decide, or write.

mod accepted;
mod announce;
mod resolved;
mod stated;

pub use accepted::{Accepted, AcceptedHandler, EVENT};
pub use announce::announcements;
pub use resolved::resolved;
pub use stated::{COMPANIES, CompaniesHandler, PEOPLE, PeopleHandler, companies, people};

use contracts::signals::v1::Resolution;

use crate::domain::Rule;

fn resolution(rule: Rule, evidence: &str) -> Resolution {
    Resolution {
        rule: rule.name().to_owned(),
        evidence: evidence.to_owned(),
        confidence: rule.confidence(),
    }
}
