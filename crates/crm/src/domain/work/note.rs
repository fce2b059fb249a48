//! Notes.

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::{Line, Links, LinksEdit, Stamp, Work, data, excerpt, named, set};

/// A text about a record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "named and meant as in the contract's Note")]
pub struct Note {
    pub id: Uuid,
    pub body: String,
    pub links: Links,
    pub stamp: Stamp,
}

/// What a person sets on a note.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named and meant as in the contract")]
pub struct NoteEdit {
    pub body: Option<String>,
    pub links: LinksEdit,
}

impl Work for Note {
    type Edit = NoteEdit;
    const NAME: &'static str = "note";
    const NEEDS_LINK: bool = true;

    fn blank(id: Uuid, stamp: Stamp) -> Self {
        Self {
            id,
            body: String::new(),
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

    fn edit(&mut self, edit: NoteEdit, _now: Timestamp) {
        set(&mut self.body, edit.body);
        edit.links.apply(&mut self.links);
    }

    fn differences(&self, after: &Self) -> Vec<String> {
        named([
            ("body", self.body != after.body),
            ("accountId", self.links.account != after.links.account),
            ("contactId", self.links.contact != after.links.contact),
            ("dealId", self.links.deal != after.links.deal),
        ])
    }

    fn lines(&self) -> Vec<Line> {
        let first: String = self
            .body
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(100)
            .collect();
        vec![Line {
            id: self.id,
            at: self.stamp.created_at,
            kind: "note",
            title: format!("Note: {first}"),
            data: data([
                ("body", excerpt(Some(&self.body))),
                ("createdBy", json!(self.stamp.by)),
            ]),
        }]
    }
}
