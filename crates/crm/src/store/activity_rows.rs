//! Rows of `activities`, and the events that tell of them.

use ::store::list::{Field, Filter, Kind, ListSpec, Match, Sort, SortKind};
use ::store::{OrgScope, ToSqlx as _, Ts, Tx};
use contracts::events::v1 as events;
use ids::{AccountId, ContactId};
use sqlx::FromRow;
use uuid::Uuid;

use super::Records;
use super::task_rows::CREATED;
use super::work::{BY_ACCOUNT, BY_CONTACT, BY_DEAL, Stored};
use crate::domain::work::{Activity, Links, Stamp, Work as _};
use crate::error::CrmError;
use crate::wire;

/// A row of `activities`.
#[derive(Debug, FromRow)]
pub struct ActivityRow {
    id: Uuid,
    r#type: String,
    subject: String,
    body: Option<String>,
    occurred_at: Ts,
    duration_minutes: Option<i32>,
    direction: Option<String>,
    owner_id: Option<Uuid>,
    account_id: Option<Uuid>,
    contact_id: Option<Uuid>,
    deal_id: Option<Uuid>,
    created_by: String,
    created_at: Ts,
    updated_at: Ts,
    version: i64,
}

impl From<ActivityRow> for Activity {
    fn from(row: ActivityRow) -> Self {
        Self {
            id: row.id,
            kind: row.r#type,
            subject: row.subject,
            body: row.body,
            occurred_at: row.occurred_at.to_jiff(),
            duration_minutes: row.duration_minutes,
            direction: row.direction,
            owner: row.owner_id,
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

impl Stored for Activity {
    const FIELDS: &'static [Field] = &[
        Field {
            name: "type",
            column: "t.type",
            kind: Kind::Text,
        },
        Field {
            name: "subject",
            column: "t.subject",
            kind: Kind::Text,
        },
        Field {
            name: "direction",
            column: "t.direction",
            kind: Kind::Text,
        },
        Field {
            name: "occurredAt",
            column: "t.occurred_at",
            kind: Kind::Time,
        },
        Field {
            name: "durationMinutes",
            column: "t.duration_minutes",
            kind: Kind::Int,
        },
        Field {
            name: "ownerId",
            column: "t.owner_id",
            kind: Kind::Uuid,
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
    type Row = ActivityRow;
    const TABLE: &'static str = "activities";
    const LIST: &'static str = "ListActivities";
    const SPEC: ListSpec = ListSpec {
        table: "activities",
        columns: "t.id, t.type, t.subject, t.body, t.occurred_at, t.duration_minutes, t.direction, t.owner_id, t.account_id, t.contact_id, t.deal_id, t.created_by, t.created_at, t.updated_at, t.version",
        condition: None,
        filters: &[
            Filter {
                name: "type",
                kind: Kind::OneOf(&crate::domain::work::ACTIVITY_TYPES),
                matches: Match::Eq("type"),
            },
            Filter {
                name: "ownerId",
                kind: Kind::Uuid,
                matches: Match::Eq("owner_id"),
            },
            BY_ACCOUNT,
            BY_CONTACT,
            BY_DEAL,
        ],
        sorts: &[
            Sort {
                name: "occurredAt",
                column: "occurred_at",
                kind: SortKind::Time,
                nullable: false,
            },
            CREATED,
        ],
        default_sort: "-occurredAt",
    };

    async fn save(&self, tx: &mut Tx, scope: &OrgScope) -> Result<(), CrmError> {
        sqlx::query(
            "INSERT INTO activities (org_id, id, type, subject, body, occurred_at, duration_minutes, direction, owner_id, account_id, contact_id, deal_id, created_by, created_at, updated_at, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT (org_id, id) DO UPDATE SET type = excluded.type, subject = excluded.subject, body = excluded.body, occurred_at = excluded.occurred_at, duration_minutes = excluded.duration_minutes, direction = excluded.direction, owner_id = excluded.owner_id, account_id = excluded.account_id, contact_id = excluded.contact_id, deal_id = excluded.deal_id, updated_at = excluded.updated_at, version = excluded.version",
        )
            .bind(scope.uuid())
            .bind(self.id)
            .bind(&self.kind)
            .bind(&self.subject)
            .bind(&self.body)
            .bind(self.occurred_at.to_sqlx())
            .bind(self.duration_minutes)
            .bind(&self.direction)
            .bind(self.owner)
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
        let message = Some(wire::activity(self));
        let (about, at) = (self.id.to_string(), self.stamp.updated_at);
        let Some(before) = before else {
            let event = events::ActivityCreated { activity: message };
            return records.tell(tx, scope, &event, about, at).await;
        };
        let event = events::ActivityUpdated {
            activity: message,
            changed_fields: before.differences(self),
        };
        records.tell(tx, scope, &event, about, at).await?;
        Ok(())
    }

    async fn tell_deleted(&self, records: &Records, tx: &mut Tx, scope: &OrgScope) -> Result<(), CrmError> {
        let event = events::ActivityDeleted {
            activity_id: self.id.to_string(),
        };
        records
            .tell(tx, scope, &event, self.id.to_string(), records.now())
            .await
    }
}
