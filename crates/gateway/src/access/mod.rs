//! Who calls: organizations, people, sessions, API keys, and turning a key or a token into a principal.
//!
//! Owns: the tables `organizations`, `api_keys`, `users`, `members`, `invitations`, `sessions`, `refresh_tokens`, `throttles`,
//! `nats_credentials`, `nats_consumers`; the text
//! form of keys and tokens, the cache of known ones; the services of `devsignal.access.v1`. Must not: decide what a
//! principal may do with a record (the policy table does), or let a secret into a log.

mod admin;
mod audit_export;
mod audit_log;
mod auth;
mod authenticate;
mod batch;
pub mod by_hand;
mod key;
mod keys;
mod membership;
mod nats;
mod nats_directory;
mod nats_store;
mod organizations;
mod parts;
mod password;
mod proofs;
mod serve;
mod sessions;
mod signing;
mod telling;
mod throttle;
mod token;
mod trail;

pub use admin::{NewKey, create_key, create_organization, revoke_key};
pub(crate) use audit_export::AuditExport;
pub(crate) use authenticate::Proofs;
pub use authenticate::{Authenticator, Credential};
pub use key::{ApiKey, NewSecret};
pub(crate) use parts::Parts;
pub(crate) use password::Passwords;
pub(crate) use serve::{listen, nats_access, serve};
pub use signing::Signing;
pub(crate) use signing::{Claim, Signatures};
pub(crate) use throttle::Throttle;
pub(crate) use token::Tokens;

use crate::http::{ByHand, JWKS};

/// The route of the key set, for `Allow`; it is no part of the API's document.
pub(crate) fn described() -> Vec<ByHand> {
    let keys = ByHand {
        method: "GET",
        path: JWKS,
        public: true,
        operation: None,
    };
    vec![keys, audit_export::described()]
}
