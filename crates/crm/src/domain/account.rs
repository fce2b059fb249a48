//! An account: what was learnt, what a person set, what scoring told, and how they combine.
//!
//! Contract: learnt facts and scores apply by their own revisions, so the outcome is the same in whatever order events
//! arrive, and a second arrival changes nothing. A field that a person set stays as set.

use std::collections::BTreeSet;

use ids::AccountId;
use jiff::Timestamp;

use super::edit::AccountEdit;
use super::extras::Extras;
use super::score::{Score, ScoreChange};
use super::{Change, country, text};

/// A field of an account that can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountField {
    /// Name.
    Name,
    /// Registrable domain.
    Domain,
    /// GitHub organization.
    GithubOrg,
    /// Number of employees.
    Employees,
    /// Industry.
    Industry,
    /// Country.
    Country,
    /// Funding stage.
    FundingStage,
    /// Owner.
    OwnerId,
    /// Tags.
    Tags,
    /// Own fields of the organization.
    CustomFields,
}

impl AccountField {
    const ALL: [Self; 10] = [
        Self::Name,
        Self::Domain,
        Self::GithubOrg,
        Self::Employees,
        Self::Industry,
        Self::Country,
        Self::FundingStage,
        Self::OwnerId,
        Self::Tags,
        Self::CustomFields,
    ];

    /// The field's name in JSON, in events and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Domain => "domain",
            Self::GithubOrg => "githubOrg",
            Self::Employees => "employees",
            Self::Industry => "industry",
            Self::Country => "country",
            Self::FundingStage => "fundingStage",
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

/// What a reader sees of a company, score and counts aside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Name; never empty once recorded.
    pub name: String,
    /// Registrable domain.
    pub domain: Option<String>,
    /// Login of its GitHub organization.
    pub github_org: Option<String>,
    /// Number of employees.
    pub employees: Option<i64>,
    /// Industry.
    pub industry: Option<String>,
    /// ISO 3166-1 alpha-2 country code.
    pub country: Option<String>,
    /// Funding stage.
    pub funding_stage: Option<String>,
}

/// What one `account.discovered` tells, cleaned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountFacts {
    /// Counts up with each event about the company.
    pub revision: i64,
    /// Everything known; the name is empty if none is.
    pub profile: Profile,
}

impl AccountFacts {
    /// The facts with every value bounded; a country that is none and a headcount below 1 are left out.
    #[must_use]
    pub fn cleaned(mut self) -> Self {
        let profile = &mut self.profile;
        profile.name = text::learnt(Some(&profile.name), text::MAX_NAME).unwrap_or_default();
        profile.domain = text::learnt(profile.domain.as_deref(), 253);
        profile.github_org = text::learnt(profile.github_org.as_deref(), text::MAX_NAME);
        profile.employees = profile.employees.filter(|count| *count > 0);
        profile.industry = text::learnt(profile.industry.as_deref(), text::MAX_INDUSTRY);
        profile.country = profile.country.as_deref().and_then(country::normalised);
        profile.funding_stage = text::learnt(profile.funding_stage.as_deref(), text::MAX_FUNDING_STAGE);
        self
    }
}

/// An account as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Whether readers see it: false until it was discovered or recorded by hand, and when it was removed by hand.
    pub recorded: bool,
    /// When it was removed by hand.
    pub deleted_at: Option<Timestamp>,
    /// Owner, tags, own fields.
    pub extras: Extras,
    /// What is known of the company.
    pub profile: Profile,
    /// The fields that a person set.
    pub edited: BTreeSet<AccountField>,
    /// The newest facts applied; -1 before the first.
    pub learnt_revision: i64,
    /// The score, once there is one.
    pub score: Option<Score>,
    /// The newest score applied; -1 before the first.
    pub score_revision: i64,
    /// How many recorded contacts belong to it.
    pub contact_count: i64,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts up with every change that a reader can see.
    pub version: i64,
}

impl Account {
    /// Applies what was learnt, unless newer facts were applied before.
    pub fn learn(&mut self, facts: AccountFacts, now: Timestamp) -> Change<AccountField> {
        if facts.revision <= self.learnt_revision {
            return Change::None;
        }
        self.learnt_revision = facts.revision;
        let before = self.clone();
        let mut learnt = facts.cleaned().profile;
        for field in &self.edited {
            keep(&mut learnt, &before.profile, *field);
        }
        if learnt.name.is_empty() {
            learnt.name = fallback_name(&learnt, self.id);
        }
        self.profile = learnt;
        if self.deleted_at.is_some() {
            return Change::None;
        }
        if !self.recorded {
            self.recorded = true;
            self.created_at = now;
            self.touch(now);
            return Change::Created;
        }
        self.told(differences(&before, self), now)
    }

    /// Records it by hand, also after it was removed.
    pub fn record(&mut self, edit: AccountEdit, now: Timestamp) -> Change<AccountField> {
        self.edit(edit, now);
        if self.profile.name.is_empty() {
            self.profile.name = fallback_name(&self.profile, self.id);
        }
        self.recorded = true;
        self.deleted_at = None;
        self.created_at = now;
        self.touch(now);
        Change::Created
    }

    /// Removes it by hand: what is learnt later does not bring it back.
    pub fn delete(&mut self, now: Timestamp) {
        self.recorded = false;
        self.deleted_at = Some(now);
        self.extras.tags.clear();
        self.extras.custom.clear();
        self.touch(now);
    }

    /// Gives fields their earlier values back.
    pub fn take_back(
        &mut self,
        back: &super::transfer::snapshot::Snapshot,
        now: Timestamp,
    ) -> Change<AccountField> {
        let before = self.clone();
        super::transfer::snapshot::set_account(self, back);
        if before.recorded && self.recorded {
            return self.told(differences(&before, self), now);
        }
        self.touch(now);
        Change::None
    }

    /// As if it had never been recorded. The domain stays, unseen: it leads to the same id again.
    pub fn forget(&mut self, now: Timestamp) {
        self.recorded = false;
        self.deleted_at = None;
        self.edited.clear();
        self.extras = Extras::default();
        self.profile = Profile {
            domain: self.profile.domain.take(),
            ..Profile::default()
        };
        self.touch(now);
    }

    /// Takes in what a person set on `other`, which turned out to be this account, where nothing is set here.
    pub fn absorb(&mut self, other: Self, now: Timestamp) -> Change<AccountField> {
        let before = self.clone();
        for field in other.edited {
            if self.edited.insert(field) {
                keep(&mut self.profile, &other.profile, field);
            }
        }
        self.extras.owner = self.extras.owner.or(other.extras.owner);
        for (key, value) in other.extras.custom {
            self.extras.custom.entry(key).or_insert(value);
        }
        for tag in other.extras.tags {
            if self.extras.tags.len() < super::extras::MAX_TAGS && !self.extras.tags.contains(&tag) {
                self.extras.tags.push(tag);
            }
        }
        if !self.recorded && self.deleted_at.is_none() && other.recorded {
            if self.profile.name.is_empty() {
                self.profile.name = fallback_name(&self.profile, self.id);
            }
            self.recorded = true;
            self.created_at = now;
            self.touch(now);
            return Change::Created;
        }
        self.told(differences(&before, self), now)
    }

    /// Applies what a person set: values change, and later facts leave these fields alone.
    pub fn edit(&mut self, edit: AccountEdit, now: Timestamp) -> Change<AccountField> {
        let before = self.clone();
        self.edited.extend(edit.fields());
        let profile = &mut self.profile;
        set(&mut profile.name, edit.name);
        set(&mut profile.employees, edit.employees.map(Some));
        set(&mut profile.industry, edit.industry);
        set(&mut profile.country, edit.country);
        set(&mut profile.funding_stage, edit.funding_stage);
        set(&mut profile.domain, edit.domain);
        set(&mut profile.github_org, edit.github_org);
        set(&mut self.extras, edit.extras);
        if !self.recorded {
            return Change::None;
        }
        self.told(differences(&before, self), now)
    }

    /// Applies a score, unless a newer one was applied before. Returns whether it did.
    pub fn rate(&mut self, change: &ScoreChange, now: Timestamp) -> bool {
        if change.revision <= self.score_revision {
            return false;
        }
        self.score_revision = change.revision;
        self.score = Some(change.score);
        if self.recorded {
            self.touch(now);
        }
        true
    }

    fn told(&mut self, fields: Vec<AccountField>, now: Timestamp) -> Change<AccountField> {
        if !fields.is_empty() {
            self.touch(now);
        }
        Change::of(fields)
    }

    fn touch(&mut self, now: Timestamp) {
        self.version += 1;
        // Under the lock of the record: time does not run backwards in its history.
        self.updated_at = self.updated_at.max(now);
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// What to call a company whose name is not known.
fn fallback_name(profile: &Profile, id: AccountId) -> String {
    profile
        .domain
        .clone()
        .or_else(|| profile.github_org.clone())
        .unwrap_or_else(|| id.to_string())
}

fn keep(learnt: &mut Profile, before: &Profile, field: AccountField) {
    match field {
        AccountField::Name => learnt.name.clone_from(&before.name),
        AccountField::Domain => learnt.domain.clone_from(&before.domain),
        AccountField::GithubOrg => learnt.github_org.clone_from(&before.github_org),
        AccountField::Employees => learnt.employees = before.employees,
        AccountField::Industry => learnt.industry.clone_from(&before.industry),
        AccountField::Country => learnt.country.clone_from(&before.country),
        AccountField::FundingStage => learnt.funding_stage.clone_from(&before.funding_stage),
        AccountField::OwnerId | AccountField::Tags | AccountField::CustomFields => {}
    }
}

fn differences(earlier: &Account, later: &Account) -> Vec<AccountField> {
    let (before, after) = (&earlier.profile, &later.profile);
    let differs = |field: &AccountField| match field {
        AccountField::Name => before.name != after.name,
        AccountField::Domain => before.domain != after.domain,
        AccountField::GithubOrg => before.github_org != after.github_org,
        AccountField::Employees => before.employees != after.employees,
        AccountField::Industry => before.industry != after.industry,
        AccountField::Country => before.country != after.country,
        AccountField::FundingStage => before.funding_stage != after.funding_stage,
        AccountField::OwnerId => earlier.extras.owner != later.extras.owner,
        AccountField::Tags => earlier.extras.tags != later.extras.tags,
        AccountField::CustomFields => earlier.extras.custom != later.extras.custom,
    };
    AccountField::ALL.into_iter().filter(differs).collect()
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
