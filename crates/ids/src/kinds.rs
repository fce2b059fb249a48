//! One newtype per kind of identifier, so that an account's id cannot be passed where an organization's is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::IdGen;

/// The text is not a UUID in its canonical 36-character form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID in canonical form (8-4-4-4-12 hexadecimal digits)")]
pub struct ParseIdError;

/// Parses the hyphenated form only: braces, `urn:uuid:` and the 32-digit form are refused, so that one id has one
/// spelling (letter case aside).
fn parse_canonical(text: &str) -> Result<Uuid, ParseIdError> {
    if text.len() != 36 {
        return Err(ParseIdError);
    }
    Uuid::try_parse(text).map_err(|_| ParseIdError)
}

macro_rules! id_kinds {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id of this kind.
            #[must_use]
            pub fn new(ids: &dyn IdGen) -> Self {
                Self(ids.next())
            }

            /// The bare UUID.
            #[must_use]
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_canonical(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

id_kinds! {
    /// An organization: the tenant.
    OrgId;
    /// An API key of an organization.
    ApiKeyId;
    /// A configured signal source.
    SourceId;
    /// One accepted signal.
    SignalId;
    /// One stored batch of signals of one organization; the unit of idempotency of the pipeline.
    BatchId;
    /// A company that is tracked.
    AccountId;
    /// A known person.
    ContactId;
    /// Whoever acted: a known person or an anonymous profile. A contact's actor id equals its contact id.
    ActorId;
    /// One public event; stable over redelivery.
    EventId;
    /// One request of a client, for logs, traces and problems.
    RequestId;
}

/// A stable id derived from another id and a label (UUIDv5): the same inputs give the same id on every replica and
/// on every redelivery.
#[must_use]
pub fn derived(from: Uuid, label: &str) -> Uuid {
    Uuid::new_v5(&from, label.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_form_is_parsed() {
        let id = "0197e1c8-1f2a-7b3c-8d4e-5f6071829304";
        assert!(id.parse::<OrgId>().is_ok());
        assert!(id.to_uppercase().parse::<OrgId>().is_ok());
        for bad in [
            "",
            "x",
            "{0197e1c8-1f2a-7b3c-8d4e-5f6071829304}",
            "0197e1c81f2a7b3c8d4e5f6071829304",
        ] {
            assert!(bad.parse::<OrgId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn derived_ids_are_stable_and_distinct() {
        let id = Uuid::nil();
        assert_eq!(derived(id, "signal.received"), derived(id, "signal.received"));
        assert_ne!(
            derived(id, "signal.received"),
            derived(id, "signal.account_matched")
        );
    }
}
