//! Search as values: what is looked through of a record, which terms find it, and how well it fits what was asked.
//!
//! Contract: whatever [`rank`] accepts is found by one of the [`Wanted`] tiers, so the index can only leave out what is cut off
//! by the number of candidates.

mod document;
mod fold;
mod query;
mod rank;
mod terms;

pub use document::{Document, Kind};
pub use fold::{Word, folded, words};
pub use query::{MAX_CHARS, Query, Refusal};
pub use rank::{Found, Highlight, Reason, rank};
pub use terms::{Wanted, of_document, of_kinds, wanted};

#[cfg(test)]
mod tests;
