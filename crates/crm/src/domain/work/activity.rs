//! Activities.

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::{Line, Links, LinksEdit, Stamp, Work, data, excerpt, named, set};

/// Something that took place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "named and meant as in the contract's Activity")]
pub struct Activity {
    pub id: Uuid,
    pub kind: String,
    pub subject: String,
    pub body: Option<String>,
    pub occurred_at: Timestamp,
    pub duration_minutes: Option<i32>,
    pub direction: Option<String>,
    pub owner: Option<Uuid>,
    pub links: Links,
    pub stamp: Stamp,
}

/// What a person sets on an activity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named and meant as in the contract")]
pub struct ActivityEdit {
    pub kind: Option<String>,
    pub subject: Option<String>,
    pub body: Option<Option<String>>,
    pub occurred_at: Option<Timestamp>,
    pub duration_minutes: Option<Option<i32>>,
    pub direction: Option<Option<String>>,
    pub owner: Option<Option<Uuid>>,
    pub links: LinksEdit,
}

impl Work for Activity {
    type Edit = ActivityEdit;
    const NAME: &'static str = "activity";
    const NEEDS_LINK: bool = true;

    fn blank(id: Uuid, stamp: Stamp) -> Self {
        Self {
            id,
            kind: String::new(),
            subject: String::new(),
            body: None,
            occurred_at: stamp.created_at,
            duration_minutes: None,
            direction: None,
            owner: None,
            links: Links::default(),
            stamp,
        }
    }

    fn id(&self) -> Uuid {
        self.id
    }

    fn links(&self) -> &Links {
        &self.links
    }

    fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }

    fn edit(&mut self, edit: ActivityEdit, _now: Timestamp) {
        set(&mut self.kind, edit.kind);
        set(&mut self.subject, edit.subject);
        set(&mut self.body, edit.body);
        set(&mut self.occurred_at, edit.occurred_at);
        set(&mut self.duration_minutes, edit.duration_minutes);
        set(&mut self.direction, edit.direction);
        set(&mut self.owner, edit.owner);
        edit.links.apply(&mut self.links);
    }

    fn differences(&self, after: &Self) -> Vec<String> {
        named([
            ("type", self.kind != after.kind),
            ("subject", self.subject != after.subject),
            ("body", self.body != after.body),
            ("occurredAt", self.occurred_at != after.occurred_at),
            ("durationMinutes", self.duration_minutes != after.duration_minutes),
            ("direction", self.direction != after.direction),
            ("ownerId", self.owner != after.owner),
            ("accountId", self.links.account != after.links.account),
            ("contactId", self.links.contact != after.links.contact),
            ("dealId", self.links.deal != after.links.deal),
        ])
    }

    fn lines(&self) -> Vec<Line> {
        vec![Line {
            id: self.id,
            at: self.occurred_at,
            kind: "activity",
            title: format!("{}: {}", self.kind, self.subject),
            data: data([
                ("type", json!(self.kind)),
                ("subject", json!(self.subject)),
                ("body", excerpt(self.body.as_ref())),
                ("durationMinutes", json!(self.duration_minutes)),
                ("direction", json!(self.direction)),
                ("ownerId", json!(self.owner)),
            ]),
        }]
    }
}
