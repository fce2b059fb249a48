//! A contact: what was told about a person, what a person set by hand, and how they combine, also across merges.
//!
//! Contract: every rule here is a maximum, a union or "the newer one counts", so the outcome is the same in whatever
//! order events arrive, and a second arrival changes nothing.

use std::collections::BTreeSet;

use ids::{AccountId, ContactId, EventId};
use jiff::Timestamp;

use super::extras::Extras;
use super::identity::{self, Identity, ToldIdentity};
use super::{Change, text};

/// A field of a contact that can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContactField {
    /// Display name.
    Name,
    /// The primary e-mail address.
    Email,
    /// Job title.
    Title,
    /// Company as stated.
    Company,
    /// URL of a picture.
    AvatarUrl,
    /// The account.
    AccountId,
    /// The identities.
    Identities,
    /// When they were first seen.
    FirstSeenAt,
    /// When they were last heard of.
    LastSeenAt,
    /// Owner.
    OwnerId,
    /// Tags.
    Tags,
    /// Own fields of the organization.
    CustomFields,
}

impl ContactField {
    const ALL: [Self; 12] = [
        Self::Name,
        Self::Email,
        Self::Title,
        Self::Company,
        Self::AvatarUrl,
        Self::AccountId,
        Self::Identities,
        Self::FirstSeenAt,
        Self::LastSeenAt,
        Self::OwnerId,
        Self::Tags,
        Self::CustomFields,
    ];

    /// The field's name in JSON, in events and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Email => "email",
            Self::Title => "title",
            Self::Company => "company",
            Self::AvatarUrl => "avatarUrl",
            Self::AccountId => "accountId",
            Self::Identities => "identities",
            Self::FirstSeenAt => "firstSeenAt",
            Self::LastSeenAt => "lastSeenAt",
            Self::OwnerId => "ownerId",
            Self::Tags => "tags",
            Self::CustomFields => "customFields",
        }
    }

    /// The field of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

/// The account a contact belongs to, with the event that told. Of two the later event counts; events of one instant are
/// ordered by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToldAccount {
    /// When the event happened.
    pub at: Timestamp,
    /// The event.
    pub by: EventId,
    /// The account.
    pub account: AccountId,
}

/// What one `contact.identified` tells, cleaned.
#[derive(Debug, Clone, PartialEq)]
pub struct ContactFacts {
    /// The person it is about.
    pub person: ContactId,
    /// Counts up with each event about the person.
    pub revision: i64,
    /// The account, if known.
    pub account: Option<ToldAccount>,
    /// Every identity known of the person.
    pub identities: Vec<Identity>,
    /// Display name.
    pub name: Option<String>,
    /// Job title.
    pub title: Option<String>,
    /// Company as stated.
    pub company: Option<String>,
    /// URL of a picture.
    pub avatar_url: Option<String>,
    /// When the person was first seen.
    pub first_seen_at: Timestamp,
    /// When the signal that told happened.
    pub last_seen_at: Timestamp,
}

/// A contact as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Contact {
    /// Its id.
    pub id: ContactId,
    /// Whether readers see it: false until the person was identified or recorded by hand, and when removed by hand.
    pub recorded: bool,
    /// When it was removed by hand.
    pub deleted_at: Option<Timestamp>,
    /// Owner, tags, own fields.
    pub extras: Extras,
    /// The name to show: set by hand, else told, else the best identity.
    pub name: String,
    /// The name told.
    pub told_name: Option<String>,
    /// The primary e-mail address.
    pub email: Option<String>,
    /// Job title.
    pub title: Option<String>,
    /// Company as stated.
    pub company: Option<String>,
    /// URL of a picture.
    pub avatar_url: Option<String>,
    /// The account.
    pub account: Option<ToldAccount>,
    /// What each person who is this contact was told to have.
    pub identities: Vec<ToldIdentity>,
    /// The fields that a person set.
    pub edited: BTreeSet<ContactField>,
    /// The newest `contact.identified` applied; -1 before the first.
    pub revision: i64,
    /// Earliest sight told by any event.
    pub first_seen_at: Option<Timestamp>,
    /// Latest sight told by any event.
    pub last_seen_at: Option<Timestamp>,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts up with every change that a reader can see.
    pub version: i64,
}

impl Contact {
    /// A contact of which nothing is known but its id; readers do not see it.
    #[must_use]
    pub fn unknown(id: ContactId, now: Timestamp) -> Self {
        Self {
            id,
            recorded: false,
            deleted_at: None,
            extras: Extras::default(),
            name: String::new(),
            told_name: None,
            email: None,
            title: None,
            company: None,
            avatar_url: None,
            account: None,
            identities: Vec::new(),
            edited: BTreeSet::new(),
            revision: -1,
            first_seen_at: None,
            last_seen_at: None,
            created_at: now,
            updated_at: now,
            version: 0,
        }
    }

    /// The identities a reader sees.
    #[must_use]
    pub fn visible_identities(&self) -> Vec<Identity> {
        identity::visible(self.id, &self.identities)
    }

    /// The account a reader sees.
    #[must_use]
    pub fn account_id(&self) -> Option<AccountId> {
        self.account.map(|told| told.account)
    }

    /// Applies a `contact.identified` about this contact. Of facts older than what is known, only the times and the
    /// account can still tell something new.
    pub fn hear(&mut self, facts: ContactFacts, now: Timestamp) -> Change<ContactField> {
        let before = self.clone();
        self.see(facts.first_seen_at, facts.last_seen_at);
        self.tell_account(facts.account);
        if facts.revision > self.revision {
            self.revision = facts.revision;
            self.replace_identities(self.id, facts.identities);
            self.told_name = text::learnt(facts.name.as_deref(), text::MAX_NAME);
            if !self.edited.contains(&ContactField::Title) {
                self.title = text::learnt(facts.title.as_deref(), text::MAX_TITLE);
            }
            if !self.edited.contains(&ContactField::Company) {
                self.company = text::learnt(facts.company.as_deref(), text::MAX_TITLE);
            }
            self.avatar_url = text::learnt(facts.avatar_url.as_deref(), text::MAX_URL);
        }
        if !self.recorded && self.deleted_at.is_none() {
            self.recorded = true;
            self.created_at = now;
            self.derive();
            self.touch(now);
            return Change::Created;
        }
        self.settle(&before, now)
    }

    /// Applies a `contact.identified` about a person who was merged into this contact before the event arrived.
    /// `newest` tells whether its revision is above what was applied of that person.
    pub fn hear_of_merged(
        &mut self,
        facts: ContactFacts,
        newest: bool,
        now: Timestamp,
    ) -> Change<ContactField> {
        let before = self.clone();
        self.see(facts.first_seen_at, facts.last_seen_at);
        if newest {
            self.replace_identities(facts.person, facts.identities);
        }
        self.settle(&before, now)
    }

    /// Applies an `identity.account_linked`.
    pub fn link(&mut self, told: ToldAccount, now: Timestamp) -> Change<ContactField> {
        let before = self.clone();
        self.tell_account(Some(told));
        self.settle(&before, now)
    }

    pub(super) fn see(&mut self, first: Timestamp, last: Timestamp) {
        self.first_seen_at = Some(self.first_seen_at.map_or(first, |known| known.min(first)));
        self.last_seen_at = Some(self.last_seen_at.map_or(last, |known| known.max(last)));
    }

    pub(super) fn tell_account(&mut self, told: Option<ToldAccount>) {
        let Some(told) = told.filter(|_| !self.edited.contains(&ContactField::AccountId)) else {
            return;
        };
        let newer = self
            .account
            .is_none_or(|known| (told.at, told.by) > (known.at, known.by));
        if newer {
            self.account = Some(told);
        }
    }

    pub(super) fn replace_identities(&mut self, told_by: ContactId, list: Vec<Identity>) {
        self.identities.retain(|told| told.told_by != told_by);
        let mut fresh: Vec<ToldIdentity> = Vec::with_capacity(list.len());
        for (position, identity) in (0_i32..).zip(list) {
            let repeated = fresh
                .iter()
                .any(|t| t.identity.kind == identity.kind && t.identity.value == identity.value);
            if !repeated {
                fresh.push(ToldIdentity {
                    told_by,
                    position,
                    identity,
                });
            }
        }
        self.identities.extend(fresh);
    }

    /// Works out what follows from the identities.
    pub(super) fn derive(&mut self) {
        let identities = self.visible_identities();
        if !self.edited.contains(&ContactField::Email) {
            self.email = identity::primary_email(&identities).map(str::to_owned);
        }
        if !self.edited.contains(&ContactField::Name) {
            let told = self
                .told_name
                .as_deref()
                .or_else(|| identity::name_from(&identities));
            self.name = told.map_or_else(
                || self.id.to_string(),
                |name| name.chars().take(text::MAX_NAME).collect(),
            );
        }
    }

    pub(super) fn settle(&mut self, before: &Self, now: Timestamp) -> Change<ContactField> {
        // What readers do not see yet is worked out when they will.
        if !self.recorded {
            return Change::None;
        }
        self.derive();
        let fields = differences(before, self);
        if !fields.is_empty() {
            self.touch(now);
        }
        Change::of(fields)
    }

    pub(super) fn touch(&mut self, now: Timestamp) {
        self.version += 1;
        // Under the lock of the record: time does not run backwards in its history.
        self.updated_at = self.updated_at.max(now);
    }
}

fn differences(before: &Contact, after: &Contact) -> Vec<ContactField> {
    let differs = |field: &ContactField| match field {
        ContactField::Name => before.name != after.name,
        ContactField::Email => before.email != after.email,
        ContactField::Title => before.title != after.title,
        ContactField::Company => before.company != after.company,
        ContactField::AvatarUrl => before.avatar_url != after.avatar_url,
        ContactField::AccountId => before.account_id() != after.account_id(),
        ContactField::Identities => before.visible_identities() != after.visible_identities(),
        ContactField::FirstSeenAt => before.first_seen_at != after.first_seen_at,
        ContactField::LastSeenAt => before.last_seen_at != after.last_seen_at,
        ContactField::OwnerId => before.extras.owner != after.extras.owner,
        ContactField::Tags => before.extras.tags != after.extras.tags,
        ContactField::CustomFields => before.extras.custom != after.extras.custom,
    };
    ContactField::ALL.into_iter().filter(differs).collect()
}
