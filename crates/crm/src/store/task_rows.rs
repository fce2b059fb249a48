//! Rows of `tasks`, and the events that tell of them.

use ::store::list::{Field, Filter, Kind, ListSpec, Match, Sort, SortKind};
use ::store::{OrgScope, ToSqlx as _, Ts, Tx};
use contracts::events::v1 as events;
use ids::{AccountId, ContactId};
use sqlx::FromRow;
use uuid::Uuid;

use super::Records;
use super::work::{BY_ACCOUNT, BY_CONTACT, BY_DEAL, Stored};
use crate::domain::work::{Links, Stamp, Task, Work as _};
use crate::error::CrmError;
use crate::wire;

pub(super) const CREATED: Sort = Sort {
    name: "createdAt",
    column: "created_at",
    kind: SortKind::Time,
    nullable: false,
};

/// A row of `tasks`.
#[derive(Debug, FromRow)]
pub struct TaskRow {
    id: Uuid,
    title: String,
    body: Option<String>,
    due_at: Option<Ts>,
    assignee_id: Option<Uuid>,
    completed_at: Option<Ts>,
    account_id: Option<Uuid>,
    contact_id: Option<Uuid>,
    deal_id: Option<Uuid>,
    created_by: String,
    created_at: Ts,
    updated_at: Ts,
    version: i64,
}

impl From<TaskRow> for Task {
    fn from(row: TaskRow) -> Self {
        Self {
            id: row.id,
            title: row.title,
            body: row.body,
            due_at: row.due_at.map(Ts::to_jiff),
            assignee: row.assignee_id,
            completed_at: row.completed_at.map(Ts::to_jiff),
            links: Links {
                account: row.account_id.map(AccountId),
                contact: row.contact_id.map(ContactId),
                deal: row.deal_id,
            },
            stamp: Stamp {
                by: row.created_by,
                created_at: row.created_at.to_jiff(),
                updated_at: row.updated_at.to_jiff(),
                version: row.version,
            },
        }
    }
}

impl Stored for Task {
    const FIELDS: &'static [Field] = &[
        Field {
            name: "title",
            column: "t.title",
            kind: Kind::Text,
        },
        Field {
            name: "assigneeId",
            column: "t.assignee_id",
            kind: Kind::Uuid,
        },
        Field {
            name: "dueAt",
            column: "t.due_at",
            kind: Kind::Time,
        },
        Field {
            name: "completedAt",
            column: "t.completed_at",
            kind: Kind::Time,
        },
        Field {
            name: "accountId",
            column: "t.account_id",
            kind: Kind::Uuid,
        },
        Field {
            name: "contactId",
            column: "t.contact_id",
            kind: Kind::Uuid,
        },
        Field {
            name: "dealId",
            column: "t.deal_id",
            kind: Kind::Uuid,
        },
        Field {
            name: "createdAt",
            column: "t.created_at",
            kind: Kind::Time,
        },
        Field {
            name: "updatedAt",
            column: "t.updated_at",
            kind: Kind::Time,
        },
    ];
    type Row = TaskRow;
    const TABLE: &'static str = "tasks";
    const LIST: &'static str = "ListTasks";
    const SPEC: ListSpec = ListSpec {
        table: "tasks",
        columns: "t.id, t.title, t.body, t.due_at, t.assignee_id, t.completed_at, t.account_id, t.contact_id, t.deal_id, t.created_by, t.created_at, t.updated_at, t.version",
        condition: None,
        filters: &[
            Filter {
                name: "status",
                kind: Kind::OneOf(&["open", "done"]),
                matches: Match::Sql("t.is_done = ({} = 'done')"),
            },
            Filter {
                name: "assigneeId",
                kind: Kind::Uuid,
                matches: Match::Eq("assignee_id"),
            },
            Filter {
                name: "dueFrom",
                kind: Kind::Time,
                matches: Match::AtLeast("due_at"),
            },
            Filter {
                name: "dueTo",
                kind: Kind::Time,
                matches: Match::Below("due_at"),
            },
            BY_ACCOUNT,
            BY_CONTACT,
            BY_DEAL,
        ],
        sorts: &[
            CREATED,
            Sort {
                name: "dueAt",
                column: "due_at",
                kind: SortKind::Time,
                nullable: true,
            },
        ],
        default_sort: "-createdAt",
    };

    async fn save(&self, tx: &mut Tx, scope: &OrgScope) -> Result<(), CrmError> {
        sqlx::query(
            "INSERT INTO tasks (org_id, id, title, body, due_at, assignee_id, completed_at, account_id, contact_id, deal_id, created_by, created_at, updated_at, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (org_id, id) DO UPDATE SET title = excluded.title, body = excluded.body, due_at = excluded.due_at, assignee_id = excluded.assignee_id, completed_at = excluded.completed_at, account_id = excluded.account_id, contact_id = excluded.contact_id, deal_id = excluded.deal_id, updated_at = excluded.updated_at, version = excluded.version",
        )
            .bind(scope.uuid())
            .bind(self.id)
            .bind(&self.title)
            .bind(&self.body)
            .bind(self.due_at.map(|at| at.to_sqlx()))
            .bind(self.assignee)
            .bind(self.completed_at.map(|at| at.to_sqlx()))
            .bind(self.links.account.map(AccountId::uuid))
            .bind(self.links.contact.map(ContactId::uuid))
            .bind(self.links.deal)
            .bind(&self.stamp.by)
            .bind(self.stamp.created_at.to_sqlx())
            .bind(self.stamp.updated_at.to_sqlx())
            .bind(self.stamp.version)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    async fn tell(
        &self,
        records: &Records,
        tx: &mut Tx,
        scope: &OrgScope,
        before: Option<&Self>,
    ) -> Result<(), CrmError> {
        let message = Some(wire::task(self));
        let (about, at) = (self.id.to_string(), self.stamp.updated_at);
        let Some(before) = before else {
            let event = events::TaskCreated { task: message };
            return records.tell(tx, scope, &event, about, at).await;
        };
        let event = events::TaskUpdated {
            task: message,
            changed_fields: before.differences(self),
        };
        records.tell(tx, scope, &event, about, at).await?;
        if before.completed_at.is_none() && self.completed_at.is_some() {
            let event = events::TaskCompleted {
                task: Some(wire::task(self)),
            };
            records
                .tell(tx, scope, &event, self.id.to_string(), self.stamp.updated_at)
                .await?;
        }
        Ok(())
    }

    async fn tell_deleted(&self, records: &Records, tx: &mut Tx, scope: &OrgScope) -> Result<(), CrmError> {
        let event = events::TaskDeleted {
            task_id: self.id.to_string(),
        };
        records
            .tell(tx, scope, &event, self.id.to_string(), records.now())
            .await
    }
}
