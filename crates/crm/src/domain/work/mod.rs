//! Tasks, activities and notes: what is done about accounts, contacts and deals.

mod activity;
mod note;
mod task;

use ids::{AccountId, ContactId};
use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

pub use activity::{Activity, ActivityEdit};
pub use note::{Note, NoteEdit};
pub use task::{Task, TaskEdit};

/// What kinds of activities there are.
pub const ACTIVITY_TYPES: [&str; 8] = [
    "call",
    "email",
    "meeting",
    "sms",
    "linkedin",
    "referral",
    "conference",
    "note",
];

/// Longest title of a task and subject of an activity, in characters.
pub const MAX_TITLE: usize = 300;

/// What a record is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Links {
    /// The account.
    pub account: Option<AccountId>,
    /// The contact.
    pub contact: Option<ContactId>,
    /// The deal.
    pub deal: Option<Uuid>,
}

impl Links {
    /// Whether it is about nothing.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The ids of what it is about.
    #[must_use]
    pub fn abouts(&self) -> Vec<Uuid> {
        let ids = [
            self.account.map(AccountId::uuid),
            self.contact.map(ContactId::uuid),
            self.deal,
        ];
        ids.into_iter().flatten().collect()
    }
}

/// What a person sets; `None` stays, `Some(None)` removes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinksEdit {
    /// The account.
    pub account: Option<Option<AccountId>>,
    /// The contact.
    pub contact: Option<Option<ContactId>>,
    /// The deal.
    pub deal: Option<Option<Uuid>>,
}

impl LinksEdit {
    fn apply(self, links: &mut Links) {
        set(&mut links.account, self.account);
        set(&mut links.contact, self.contact);
        set(&mut links.deal, self.deal);
    }
}

/// Who made a record, when, and how often it was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Who.
    pub by: String,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts up with every change.
    pub version: i64,
}

/// A line of a timeline that a record stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its id.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// Its kind.
    pub kind: &'static str,
    /// One line for a person.
    pub title: String,
    /// Details.
    pub data: Map<String, Value>,
}

/// One of the three kinds of records.
pub trait Work: Clone + PartialEq + Send + Sync {
    /// What a person can set.
    type Edit: Clone + Send + Sync;
    /// What it is called.
    const NAME: &'static str;
    /// Whether it has to be about something.
    const NEEDS_LINK: bool;

    /// A record with nothing in it.
    fn blank(id: Uuid, stamp: Stamp) -> Self;
    /// Its id.
    fn id(&self) -> Uuid;
    /// What it is about.
    fn links(&self) -> &Links;
    /// Who made it and when.
    fn stamp(&self) -> &Stamp;
    /// The same, to be changed.
    fn stamp_mut(&mut self) -> &mut Stamp;
    /// Applies a change.
    fn edit(&mut self, edit: Self::Edit, now: Timestamp);
    /// The names of the fields that differ.
    fn differences(&self, after: &Self) -> Vec<String>;
    /// How it shows in timelines.
    fn lines(&self) -> Vec<Line>;
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn named<const N: usize>(all: [(&str, bool); N]) -> Vec<String> {
    all.into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn data<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// How much of a body a timeline shows, in characters.
const EXCERPT: usize = 500;

fn excerpt(text: Option<&String>) -> Value {
    text.map_or(Value::Null, |text| {
        Value::String(text.chars().take(EXCERPT).collect())
    })
}
