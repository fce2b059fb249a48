//! What accounts, contacts and deals have in common: an owner, tags, and values of the organization's own fields.

use serde_json::{Map, Value};
use uuid::Uuid;

/// Most tags of one record.
pub const MAX_TAGS: usize = 50;
/// Longest name of a tag, in characters.
pub const MAX_TAG: usize = 50;

/// A kind of record that tags and own fields are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Object {
    /// An account.
    Account,
    /// A contact.
    Contact,
    /// A deal.
    Deal,
}

impl Object {
    /// All.
    pub const ALL: [Self; 3] = [Self::Account, Self::Contact, Self::Deal];

    /// The name in the contract and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Contact => "contact",
            Self::Deal => "deal",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|object| object.name() == name)
    }
}

/// What a record has besides its own fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extras {
    /// The user who looks after it.
    pub owner: Option<Uuid>,
    /// Names of its tags, in order.
    pub tags: Vec<String>,
    /// Values of the organization's own fields, by key.
    pub custom: Map<String, Value>,
}

/// What a person changes; `None` stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExtrasEdit {
    /// The owner; `Some(None)` removes.
    pub owner: Option<Option<Uuid>>,
    /// All tags anew, cleaned, each once.
    pub tags: Option<Vec<String>>,
    /// Values by key; null removes, what is absent stays.
    pub custom: Map<String, Value>,
}

impl ExtrasEdit {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owner.is_none() && self.tags.is_none() && self.custom.is_empty()
    }
}

/// What tells tags apart: the name in lower case.
#[must_use]
pub fn tag_key(name: &str) -> String {
    name.to_lowercase()
}
