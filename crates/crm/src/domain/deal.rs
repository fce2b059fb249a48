//! Deals, the stages they go through, and the rule by which they move by themselves.
//!
//! Contract of the rule: it moves forward only, to stages that bear a milestone only, so never past the last of these
//! without a person; and it gives the same target however often it is asked.

use ids::{AccountId, ContactId};
use jiff::Timestamp;
use uuid::Uuid;

use super::extras::Extras;

/// What a stage means for a deal in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum Status {
    /// Still to be decided.
    Open = 1,
    /// Won.
    Won = 2,
    /// Lost.
    Lost = 3,
}

impl Status {
    /// All.
    pub const ALL: [Self; 3] = [Self::Open, Self::Won, Self::Lost];

    /// The name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Won => "won",
            Self::Lost => "lost",
        }
    }

    /// The status of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// The status of this number in the database.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as i16 == number)
    }
}

/// How far an account has come, as its signals show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum Milestone {
    /// A person of it is known.
    Identified = 1,
    /// Somebody did a meaningful thing with the product.
    Activated = 2,
    /// Several persons of it are known.
    TeamAdoption = 3,
    /// It came close to a limit of its plan.
    ExpansionSignal = 4,
}

impl Milestone {
    /// All, in order.
    pub const ALL: [Self; 4] = [
        Self::Identified,
        Self::Activated,
        Self::TeamAdoption,
        Self::ExpansionSignal,
    ];

    /// The name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Identified => "identified",
            Self::Activated => "activated",
            Self::TeamAdoption => "team_adoption",
            Self::ExpansionSignal => "expansion_signal",
        }
    }

    /// The milestone of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|milestone| milestone.name() == name)
    }

    /// The milestone of this number in the database.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|milestone| *milestone as i16 == number)
    }
}

/// How many known persons of an account are a team.
pub const TEAM: i64 = 3;

/// Whether a signal of this type is a meaningful product action: one that takes the product into use, not one that looks
/// at it.
#[must_use]
pub fn is_activation(signal_type: &str) -> bool {
    matches!(
        signal_type,
        "package_install"
            | "api_call"
            | "api_key_created"
            | "cli_run"
            | "sdk_init"
            | "deploy"
            | "deployment"
            | "project_created"
            | "first_request"
            | "activated"
            | "product_activated"
    )
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its id.
    pub id: Uuid,
    /// Its name for programs.
    pub key: String,
    /// Its name for persons.
    pub name: String,
    /// What it means.
    pub kind: Status,
    /// What moves deals here.
    pub milestone: Option<Milestone>,
}

/// A pipeline with its stages in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Whether deals go here that name none.
    pub is_default: bool,
    /// The stages.
    pub stages: Vec<Stage>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts up with every change.
    pub version: i64,
}

/// The default pipeline's stages: key, name, what it means, what moves deals here.
pub const DEFAULT_STAGES: [(&str, &str, Status, Option<Milestone>); 9] = [
    ("anonymous_usage", "Anonymous usage", Status::Open, None),
    (
        "identified",
        "Identified",
        Status::Open,
        Some(Milestone::Identified),
    ),
    ("activated", "Activated", Status::Open, Some(Milestone::Activated)),
    (
        "team_adoption",
        "Team adoption",
        Status::Open,
        Some(Milestone::TeamAdoption),
    ),
    (
        "expansion_signal",
        "Expansion signal",
        Status::Open,
        Some(Milestone::ExpansionSignal),
    ),
    ("sales_qualified", "Sales qualified", Status::Open, None),
    ("negotiation", "Negotiation", Status::Open, None),
    ("closed_won", "Closed won", Status::Won, None),
    ("closed_lost", "Closed lost", Status::Lost, None),
];

impl Pipeline {
    /// The stage of this id or key.
    #[must_use]
    pub fn stage(&self, id_or_key: &str) -> Option<&Stage> {
        self.stages
            .iter()
            .find(|stage| stage.key == id_or_key || stage.id.to_string() == id_or_key)
    }

    /// The stage of this id.
    #[must_use]
    pub fn stage_of(&self, id: Uuid) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.id == id)
    }

    /// Where a deal in stage `current` moves by itself, its account having reached `reached`: the furthest open stage
    /// with one of these milestones, if it lies ahead and the deal is open.
    #[must_use]
    pub fn moves_to(&self, current: Uuid, reached: &[Milestone]) -> Option<&Stage> {
        let place = self.stages.iter().position(|stage| stage.id == current)?;
        if self.stages[place].kind != Status::Open {
            return None;
        }
        self.stages[place + 1..].iter().rev().find(|stage| {
            stage.kind == Status::Open
                && stage
                    .milestone
                    .is_some_and(|milestone| reached.contains(&milestone))
        })
    }

    /// Where a new deal begins that names no stage.
    #[must_use]
    pub fn first(&self, reached: &[Milestone]) -> Option<&Stage> {
        let first = self.stages.iter().find(|stage| stage.kind == Status::Open)?;
        Some(self.moves_to(first.id, reached).unwrap_or(first))
    }
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// ISO 4217 code.
    pub currency: String,
    /// Whole units.
    pub units: i64,
    /// Billionths.
    pub nanos: i32,
}

/// A deal as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Deal {
    /// Its id.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// The account it is with.
    pub account: Option<AccountId>,
    /// Its pipeline.
    pub pipeline: Uuid,
    /// Its stage.
    pub stage: Uuid,
    /// The stage's key.
    pub stage_key: String,
    /// What the stage means.
    pub status: Status,
    /// What it is worth.
    pub amount: Option<Money>,
    /// Day on which it is expected to close.
    pub expected_close_on: Option<String>,
    /// Why it was won or lost.
    pub close_reason: Option<String>,
    /// When it was won or lost.
    pub closed_at: Option<Timestamp>,
    /// Since when it is in its stage.
    pub stage_since: Timestamp,
    /// Who takes part.
    pub contacts: Vec<ContactId>,
    /// Owner, tags, own fields.
    pub extras: Extras,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts up with every change.
    pub version: i64,
}

impl Deal {
    /// Moves to `stage`. Returns the stage before, or `None` if it is there already.
    pub fn enter(&mut self, stage: &Stage, now: Timestamp) -> Option<String> {
        if self.stage == stage.id {
            return None;
        }
        let before = std::mem::replace(&mut self.stage_key, stage.key.clone());
        self.stage = stage.id;
        self.status = stage.kind;
        self.stage_since = now;
        self.closed_at = (stage.kind != Status::Open).then_some(now);
        if stage.kind == Status::Open {
            self.close_reason = None;
        }
        Some(before)
    }

    /// The names of the fields that differ, in the order of the contract.
    #[must_use]
    pub fn differences(&self, after: &Self) -> Vec<String> {
        let all = [
            ("name", self.name != after.name),
            ("accountId", self.account != after.account),
            ("pipelineId", self.pipeline != after.pipeline),
            ("stage", self.stage != after.stage),
            ("amount", self.amount != after.amount),
            ("ownerId", self.extras.owner != after.extras.owner),
            (
                "expectedCloseOn",
                self.expected_close_on != after.expected_close_on,
            ),
            ("closeReason", self.close_reason != after.close_reason),
            ("contactIds", self.contacts != after.contacts),
            ("tags", self.extras.tags != after.extras.tags),
            ("customFields", self.extras.custom != after.extras.custom),
        ];
        all.into_iter()
            .filter(|(_, differs)| *differs)
            .map(|(name, _)| name.to_owned())
            .collect()
    }
}

/// One move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Its id.
    pub id: Uuid,
    /// The deal.
    pub deal: Uuid,
    /// Key of the stage before; empty for the first.
    pub from: String,
    /// Key of the stage after.
    pub to: String,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// The account whose signals influenced it.
    pub account: Option<AccountId>,
}

/// How far before a move signals count for it, in hours: 90 days.
pub const INFLUENCE_HOURS: i64 = 90 * 24;

/// The times before moves (newest first) in which signals of the account count for them; those that touch in one.
#[must_use]
pub fn windows(moves: impl IntoIterator<Item = (Uuid, Timestamp)>) -> Vec<(Uuid, Timestamp, Timestamp)> {
    let mut windows: Vec<(Uuid, Timestamp, Timestamp)> = Vec::new();
    for (account, at) in moves {
        let begin = at
            .saturating_sub(jiff::SignedDuration::from_hours(INFLUENCE_HOURS))
            .unwrap_or(Timestamp::MIN);
        match windows.last_mut() {
            Some((known, from, _)) if *known == account && *from <= at => *from = begin,
            _ => windows.push((account, begin, at)),
        }
    }
    windows
}

/// What a person sets on a deal; `None` stays, `Some(None)` removes.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "named and meant as in the contract")]
pub struct DealEdit {
    pub name: Option<String>,
    pub account: Option<Option<AccountId>>,
    pub pipeline: Option<Uuid>,
    pub stage: Option<String>,
    pub amount: Option<Option<Money>>,
    pub expected_close_on: Option<Option<String>>,
    pub close_reason: Option<Option<String>>,
    pub move_reason: Option<String>,
    pub contacts: Option<Vec<ContactId>>,
    pub extras: super::extras::ExtrasEdit,
}

#[cfg(test)]
#[path = "deal_tests.rs"]
mod tests;
