//! Who acts: a person, or the anonymous profile of a visitor who is not known yet.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::identity::{IdentityKey, IdentityKind};
use super::rule::Rule;

/// Whether the actor is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorKind {
    /// Somebody with at least one strong identity; its id is the contact's id.
    Person,
    /// A visitor with nothing but an anonymous id.
    Anonymous,
}

impl ActorKind {
    /// The name, as in rows.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Anonymous => "anonymous",
        }
    }
}

/// A value and when it was stated. The latest statement wins; absence is no statement. Saying the same again does not
/// renew its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated<T> {
    /// The value.
    pub value: T,
    /// The time of the signal that stated it.
    pub at: Timestamp,
}

/// What is known of a person besides identities.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traits {
    /// Display name.
    pub name: Option<Stated<Arc<str>>>,
    /// Job title.
    pub title: Option<Stated<Arc<str>>>,
    /// Company as the person states it.
    pub company: Option<Stated<Arc<str>>>,
    /// URL of a picture.
    pub avatar_url: Option<Stated<Arc<str>>>,
}

/// The account of a person, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The account.
    pub account: Uuid,
    /// What decided.
    pub rule: Rule,
    /// What the rule saw.
    pub evidence: Arc<str>,
}

/// An actor with everything that decisions need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Its id; of a person also the contact's.
    pub id: Uuid,
    /// Person or profile.
    pub kind: ActorKind,
    /// Number of the last event about the person; 0 before the first.
    pub revision: i64,
    /// The actor it turned out to be; then everything else here is history.
    pub merged_into: Option<Uuid>,
    /// All strong identities, and the first few anonymous ones ([`Actor::MAX_ANONYMOUS`]).
    pub identities: Vec<IdentityKey>,
    /// The account, once there is evidence. Never replaced by later evidence.
    pub link: Option<Link>,
    /// What is known besides.
    pub traits: Traits,
    /// Time of the earliest signal that told something.
    pub first_seen: Timestamp,
    /// Time of the latest signal that told something.
    pub last_seen: Timestamp,
    /// Actors that evidence joined with this one, but that are not the same; so that it is decided (and told) once.
    pub kept_apart: Vec<Uuid>,
}

impl Actor {
    /// Identities of one kind that a person can have. Above, the identity they share is taken for a shared one (a bot's
    /// login, a team's mailbox).
    pub const MAX_OF_A_KIND: usize = 16;
    /// Anonymous ids that are kept with the person and told; more are attached, but only kept in their own rows. Sites
    /// that give a new one per visit would make persons without bound.
    pub const MAX_ANONYMOUS: usize = 16;
    /// Conflicts that are noted per actor; further ones are decided alike, but not noted.
    pub const MAX_KEPT_APART: usize = 32;

    /// An actor that was just seen for the first time.
    #[must_use]
    pub fn new(id: Uuid, kind: ActorKind, at: Timestamp) -> Self {
        Self {
            id,
            kind,
            revision: 0,
            merged_into: None,
            identities: Vec::new(),
            link: None,
            traits: Traits::default(),
            first_seen: at,
            last_seen: at,
            kept_apart: Vec::new(),
        }
    }

    /// How many identities of this kind it has (of those kept with it).
    #[must_use]
    pub fn count(&self, kind: IdentityKind) -> usize {
        self.identities.iter().filter(|key| key.kind == kind).count()
    }

    /// Whether both have an identity of the same strong kind, hence different values of it.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        IdentityKind::ALL
            .into_iter()
            .any(|kind| kind.is_strong() && self.count(kind) > 0 && other.count(kind) > 0)
    }

    /// Notes that a signal told something about it.
    pub(super) fn seen(&mut self, at: Timestamp) {
        self.first_seen = self.first_seen.min(at);
        self.last_seen = self.last_seen.max(at);
    }
}

impl<T: PartialEq> Stated<T> {
    /// Whether stating `value` at `at` changes what is known.
    pub(super) fn changes(known: Option<&Self>, value: &T, at: Timestamp) -> bool {
        known.is_none_or(|known| known.value != *value && at >= known.at)
    }

    /// Of two statements the later one; the first if they are of the same time.
    pub(super) fn later(one: Option<Self>, two: Option<Self>) -> Option<Self> {
        match (one, two) {
            (Some(one), Some(two)) => Some(if two.at > one.at { two } else { one }),
            (one, two) => one.or(two),
        }
    }
}

impl Traits {
    /// What is known of two actors that are one.
    pub(super) fn combine(self, other: Self) -> Self {
        Self {
            name: Stated::later(self.name, other.name),
            title: Stated::later(self.title, other.title),
            company: Stated::later(self.company, other.company),
            avatar_url: Stated::later(self.avatar_url, other.avatar_url),
        }
    }
}
