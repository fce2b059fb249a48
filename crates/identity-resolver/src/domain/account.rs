//! Companies and the traces that lead to them.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::actor::Stated;

/// Kinds of traces, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountKeyKind {
    /// Registrable domain. An account has at most one: another domain is another account.
    Domain,
    /// Login of a GitHub organization.
    GithubOrg,
    /// Name in compared form.
    Name,
}

impl AccountKeyKind {
    const ALL: [Self; 3] = [Self::Domain, Self::GithubOrg, Self::Name];

    /// The name, as in rows.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::GithubOrg => "github_org",
            Self::Name => "name",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A trace in its normal form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey {
    /// What it is.
    pub kind: AccountKeyKind,
    /// The normal form.
    pub value: Arc<str>,
}

impl AccountKey {
    /// A trace whose value is in its normal form already.
    pub fn new(kind: AccountKeyKind, value: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            value: value.into(),
        }
    }
}

/// A trace of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyState {
    /// The trace.
    pub key: AccountKey,
    /// A name that another company bears too: it leads nowhere any more.
    pub ambiguous: bool,
}

/// What is known of a company besides its traces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Firmographics {
    /// Number of employees.
    pub employees: Option<Stated<i64>>,
    /// Industry.
    pub industry: Option<Stated<Arc<str>>>,
    /// ISO 3166-1 alpha-2 country code.
    pub country: Option<Stated<Arc<str>>>,
    /// Funding stage.
    pub funding_stage: Option<Stated<Arc<str>>>,
}

/// An account with everything that decisions need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: Uuid,
    /// Number of the last event about it.
    pub revision: i64,
    /// Name, as written.
    pub name: Option<Stated<Arc<str>>>,
    /// What else is known.
    pub firmographics: Firmographics,
    /// Its traces, in the order in which they were attached.
    pub keys: Vec<KeyState>,
    /// Time of the earliest signal that told something.
    pub first_seen: Timestamp,
    /// Accounts that a signal named together with this one, but that are not the same.
    pub kept_apart: Vec<Uuid>,
}

impl Account {
    /// Names and organizations that an account can have; further ones are not attached.
    pub const MAX_KEYS: usize = 32;
    /// Conflicts that are noted per account; further ones are decided alike, but not noted.
    pub const MAX_KEPT_APART: usize = 32;

    /// An account that was just seen for the first time.
    #[must_use]
    pub fn new(id: Uuid, at: Timestamp) -> Self {
        Self {
            id,
            revision: 0,
            name: None,
            firmographics: Firmographics::default(),
            keys: Vec::new(),
            first_seen: at,
            kept_apart: Vec::new(),
        }
    }

    /// The first trace of this kind.
    #[must_use]
    pub fn first(&self, kind: AccountKeyKind) -> Option<&Arc<str>> {
        self.keys
            .iter()
            .find(|held| held.key.kind == kind)
            .map(|held| &held.key.value)
    }

    /// Whether the trace leads here.
    pub(super) fn leads(&self, key: &AccountKey) -> bool {
        self.keys.iter().any(|held| held.key == *key && !held.ambiguous)
    }
}
