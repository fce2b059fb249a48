//! What one unit of work decided: rows to write and facts to tell.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::account::{Account, AccountKey};
use super::actor::Actor;
use super::identity::IdentityKey;
use super::rule::Rule;

/// Which signal told something, and by what rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The signal.
    pub signal: Uuid,
    /// When it happened.
    pub at: Timestamp,
    /// What decided.
    pub rule: Rule,
    /// What the rule saw.
    pub evidence: Arc<str>,
}

/// Kinds of decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DecisionKind {
    /// A person was seen for the first time; `other` is absent.
    PersonCreated,
    /// An identity was found to be a known person's.
    IdentityAttached,
    /// An anonymous profile (`other`) turned out to be a person.
    Stitched,
    /// A person (`other`) turned out to be the same as an older one.
    Merged,
    /// An account was seen for the first time.
    AccountCreated,
    /// A trace was found to be a known account's.
    KeyAttached,
    /// A person was found to belong to an account (`other`).
    AccountLinked,
    /// Evidence joined the subject with `other`, and they stay two.
    KeptApart,
    /// The account's name is borne by another one (`other`) too, and decides nothing any more.
    NameAmbiguous,
}

impl DecisionKind {
    /// The name, as in rows and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PersonCreated => "person_created",
            Self::IdentityAttached => "identity_attached",
            Self::Stitched => "stitched",
            Self::Merged => "merged",
            Self::AccountCreated => "account_created",
            Self::KeyAttached => "key_attached",
            Self::AccountLinked => "account_linked",
            Self::KeptApart => "kept_apart",
            Self::NameAmbiguous => "name_ambiguous",
        }
    }
}

/// One decision, for the lineage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What was decided.
    pub kind: DecisionKind,
    /// About which actor or account.
    pub subject: Uuid,
    /// The second actor or account, where there is one.
    pub other: Option<Uuid>,
    /// Why.
    pub told: Told,
}

/// An identity that was not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIdentity {
    /// The identity.
    pub key: IdentityKey,
    /// Whose it is.
    pub actor: Uuid,
    /// Why.
    pub told: Told,
}

/// A trace that was not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The trace.
    pub key: AccountKey,
    /// Where it leads.
    pub account: Uuid,
    /// Its place among the account's traces.
    pub position: usize,
    /// Why.
    pub told: Told,
}

/// A fact that others must hear of, in the order of telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announcement {
    /// A company became known, or more of it.
    Account(Arc<Account>, Told),
    /// A person became known, or more of them.
    Person(Arc<Actor>, Told),
    /// What was attributed to `from` belongs to a person.
    Merged {
        /// The actor that is no more.
        from: Uuid,
        /// The person.
        into: Uuid,
        /// The person's account.
        account: Option<Uuid>,
        /// Why.
        told: Told,
    },
    /// An account that was recorded by hand is one that is known.
    AccountMerged {
        /// The account that is no more.
        from: Uuid,
        /// The one it is.
        into: Uuid,
    },
    /// A person known before was found to belong to a company.
    Linked {
        /// The person.
        person: Uuid,
        /// The company.
        account: Uuid,
        /// Why.
        told: Told,
    },
}

/// Everything that one unit of work decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Actors to insert.
    pub new_actors: Vec<Arc<Actor>>,
    /// Actors to update.
    pub changed_actors: Vec<Arc<Actor>>,
    /// Identities to insert.
    pub new_identities: Vec<NewIdentity>,
    /// Known actors whose identities now belong to another: (from, into).
    pub moved: Vec<(Uuid, Uuid)>,
    /// Accounts to insert.
    pub new_accounts: Vec<Arc<Account>>,
    /// Accounts to update.
    pub changed_accounts: Vec<Arc<Account>>,
    /// Traces to insert.
    pub new_keys: Vec<NewKey>,
    /// Traces that became ambiguous.
    pub ambiguous: Vec<AccountKey>,
    /// The lineage.
    pub decisions: Vec<Decision>,
    /// What to tell.
    pub announcements: Vec<Announcement>,
}

impl Changes {
    /// Whether nothing was decided.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        // Whatever else changes, an actor, an account, an identity or a trace does.
        self.new_actors.is_empty()
            && self.changed_actors.is_empty()
            && self.new_identities.is_empty()
            && self.new_accounts.is_empty()
            && self.changed_accounts.is_empty()
            && self.new_keys.is_empty()
            && self.ambiguous.is_empty()
            // Who was recorded by hand and is known changes nothing here, but must be told.
            && self.announcements.is_empty()
    }

    /// Whether rows that others may hold in memory were changed, rather than rows added.
    #[must_use]
    pub fn revises(&self) -> bool {
        !self.changed_actors.is_empty() || !self.changed_accounts.is_empty()
    }
}
