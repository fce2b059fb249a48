//! The rules: which identities are one person, which traces are one company. Values in, values out.
//!
//! Owns: normalisation, the rules, the decisions of one unit of work. Must not: know the wire, the database, the bus,
//! the clock; new ids come from the `ids` seam.

mod account;
mod actor;
mod changes;
mod claims;
mod companies;
mod company_name;
mod email;
mod host;
mod identity;
mod persons;
mod resolve;
mod rule;
mod text;
mod world;

#[cfg(test)]
mod tests;

pub use account::{Account, AccountKey, AccountKeyKind, Firmographics, KeyState};
pub use actor::{Actor, ActorKind, Link, Stated, Traits};
pub use changes::{Announcement, Changes, Decision, DecisionKind, NewIdentity, NewKey, Told};
pub use claims::{AccountFacts, ActorFacts, Claims, CompanyClaim, Observation};
pub use identity::{IdentityKey, IdentityKind};
pub use resolve::{Attribution, Because, Seen, resolve};
pub use rule::Rule;
pub use world::World;
