//! Tasks.

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::{Line, Links, LinksEdit, Stamp, Work, data, named, set};

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "named and meant as in the contract's Task")]
pub struct Task {
    pub id: Uuid,
    pub title: String,
    pub body: Option<String>,
    pub due_at: Option<Timestamp>,
    pub assignee: Option<Uuid>,
    pub completed_at: Option<Timestamp>,
    pub links: Links,
    pub stamp: Stamp,
}

/// What a person sets on a task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named and meant as in the contract")]
pub struct TaskEdit {
    pub title: Option<String>,
    pub body: Option<Option<String>>,
    pub due_at: Option<Option<Timestamp>>,
    pub assignee: Option<Option<Uuid>>,
    pub done: Option<bool>,
    pub links: LinksEdit,
}

impl Work for Task {
    type Edit = TaskEdit;
    const NAME: &'static str = "task";
    const NEEDS_LINK: bool = false;

    fn blank(id: Uuid, stamp: Stamp) -> Self {
        Self {
            id,
            title: String::new(),
            body: None,
            due_at: None,
            assignee: None,
            completed_at: None,
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

    fn edit(&mut self, edit: TaskEdit, now: Timestamp) {
        set(&mut self.title, edit.title);
        set(&mut self.body, edit.body);
        set(&mut self.due_at, edit.due_at);
        set(&mut self.assignee, edit.assignee);
        match edit.done {
            Some(true) if self.completed_at.is_none() => self.completed_at = Some(now),
            Some(false) => self.completed_at = None,
            _ => {}
        }
        edit.links.apply(&mut self.links);
    }

    fn differences(&self, after: &Self) -> Vec<String> {
        named([
            ("title", self.title != after.title),
            ("body", self.body != after.body),
            ("dueAt", self.due_at != after.due_at),
            ("assigneeId", self.assignee != after.assignee),
            ("status", self.completed_at != after.completed_at),
            ("accountId", self.links.account != after.links.account),
            ("contactId", self.links.contact != after.links.contact),
            ("dealId", self.links.deal != after.links.deal),
        ])
    }

    fn lines(&self) -> Vec<Line> {
        let data = data([
            ("title", json!(self.title)),
            ("dueAt", json!(self.due_at.map(|at| at.to_string()))),
            ("assigneeId", json!(self.assignee)),
            ("createdBy", json!(self.stamp.by)),
        ]);
        let mut lines = vec![Line {
            id: self.id,
            at: self.stamp.created_at,
            kind: "task",
            title: format!("Task: {}", self.title),
            data: data.clone(),
        }];
        if let Some(at) = self.completed_at {
            lines.push(Line {
                id: ids::derived(self.id, "completed"),
                at,
                kind: "task_completed",
                title: format!("Done: {}", self.title),
                data,
            });
        }
        lines
    }
}
