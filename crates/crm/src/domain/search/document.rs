//! What is looked through of a record.

use serde_json::Value;
use uuid::Uuid;

use crate::domain::account::Account;
use crate::domain::contact::Contact;
use crate::domain::deal::Deal;
use crate::domain::extras::Extras;
use crate::domain::work::Note;

/// Longest text of a field, in characters; what is behind is not found.
const FIELD_CHARS: usize = 10_000;
/// Most fields of one record.
const MAX_FIELDS: usize = 100;
/// Longest title, in characters.
const TITLE_CHARS: usize = 200;

/// A kind of record that can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "named as in the contract's SearchResult.type")]
pub enum Kind {
    Account,
    Contact,
    Deal,
    Record,
    Note,
}

impl Kind {
    /// All, those that are shown first of equals first.
    pub const ALL: [Self; 5] = [Self::Account, Self::Contact, Self::Deal, Self::Record, Self::Note];

    /// The name in the contract and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Contact => "contact",
            Self::Deal => "deal",
            Self::Record => "record",
            Self::Note => "note",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// First half of the scope that reading it needs.
    #[must_use]
    pub fn resource(self) -> &'static str {
        match self {
            Self::Account => "accounts",
            Self::Contact => "contacts",
            Self::Deal => "deals",
            Self::Record => "objects",
            Self::Note => "notes",
        }
    }
}

/// What is looked through of a record: its title and its other texts, each with the name of its field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: Uuid,
    /// Of a record of a custom object the object's key.
    pub object: Option<String>,
    /// What it is called.
    pub title: String,
    /// Name and text of the other fields. What a field holds as a whole is found exactly, too.
    pub fields: Vec<(String, String)>,
}

impl Document {
    /// Of a kind, with a title.
    #[must_use]
    pub fn new(kind: Kind, id: Uuid, title: &str) -> Self {
        Self {
            kind,
            id,
            object: None,
            title: title.chars().take(TITLE_CHARS).collect(),
            fields: Vec::new(),
        }
    }

    /// Adds a field that has a text.
    #[must_use]
    pub fn with(mut self, name: &str, text: Option<&str>) -> Self {
        if let Some(text) = text.filter(|text| !text.is_empty())
            && self.fields.len() < MAX_FIELDS
            && text != self.title
        {
            let text = text.chars().take(FIELD_CHARS).collect();
            self.fields.push((name.to_owned(), text));
        }
        self
    }

    /// Adds the texts among values, under `prefix` and their keys.
    #[must_use]
    pub fn with_values(mut self, prefix: &str, values: &serde_json::Map<String, Value>) -> Self {
        for (key, value) in values {
            let name = format!("{prefix}{key}");
            match value {
                Value::String(text) => self = self.with(&name, Some(text)),
                Value::Array(items) => {
                    for item in items {
                        self = self.with(&name, item.as_str());
                    }
                }
                _ => {}
            }
        }
        self
    }

    fn with_extras(self, extras: &Extras) -> Self {
        self.with_values("customFields.", &extras.custom)
    }
}

impl From<&Account> for Document {
    fn from(account: &Account) -> Self {
        let profile = &account.profile;
        Self::new(Kind::Account, account.id.uuid(), &profile.name)
            .with("domain", profile.domain.as_deref())
            .with("githubOrg", profile.github_org.as_deref())
            .with("industry", profile.industry.as_deref())
            .with_extras(&account.extras)
    }
}

impl From<&Contact> for Document {
    fn from(contact: &Contact) -> Self {
        let mut document = Self::new(Kind::Contact, contact.id.uuid(), &contact.name)
            .with("email", contact.email.as_deref())
            .with("title", contact.title.as_deref())
            .with("company", contact.company.as_deref());
        for identity in contact.visible_identities() {
            if Some(&identity.value) != contact.email.as_ref() {
                document = document.with(&identity.kind, Some(&identity.value));
            }
        }
        document.with_extras(&contact.extras)
    }
}

impl From<&Deal> for Document {
    fn from(deal: &Deal) -> Self {
        Self::new(Kind::Deal, deal.id, &deal.name)
            .with("closeReason", deal.close_reason.as_deref())
            .with_extras(&deal.extras)
    }
}

impl From<&Note> for Document {
    /// The title is the first line with a letter or digit, without what Markdown begins headings and lists with.
    fn from(note: &Note) -> Self {
        let first = note
            .body
            .lines()
            .map(|line| line.trim_start_matches(|c: char| !c.is_alphanumeric()).trim_end())
            .find(|line| !line.is_empty())
            .unwrap_or("note");
        Self::new(Kind::Note, note.id, first).with("body", Some(&note.body))
    }
}
