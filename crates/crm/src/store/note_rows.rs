//! Rows of `notes`, and the events that tell of them.

use ::store::list::{Field, Kind, ListSpec};
use ::store::{OrgScope, ToSqlx as _, Ts, Tx};
use contracts::events::v1 as events;
use ids::{AccountId, ContactId};
use sqlx::FromRow;
use uuid::Uuid;

use super::task_rows::CREATED;
use super::work::{BY_ACCOUNT, BY_CONTACT, BY_DEAL, Stored};
use super::{Records, search_rows};
use crate::domain::search::Document;
use crate::domain::work::{Links, Note, Stamp, Work as _};
use crate::error::CrmError;
use crate::wire;

/// A row of `notes`.
#[derive(Debug, FromRow)]
pub struct NoteRow {
    id: Uuid,
    body: String,
    account_id: Option<Uuid>,
    contact_id: Option<Uuid>,
    deal_id: Option<Uuid>,
    created_by: String,
    created_at: Ts,
    updated_at: Ts,
    version: i64,
}

impl From<NoteRow> for Note {
    fn from(row: NoteRow) -> Self {
        Self {
            id: row.id,
            body: row.body,
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

impl Stored for Note {
    const FIELDS: &'static [Field] = &[
        Field {
            name: "body",
            column: "t.body",
            kind: Kind::Text,
        },
        Field {
            name: "createdBy",
            column: "t.created_by",
            kind: Kind::Text,
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
    type Row = NoteRow;
    const TABLE: &'static str = "notes";
    const LIST: &'static str = "ListNotes";
    const SPEC: ListSpec = ListSpec {
        table: "notes",
        columns: "t.id, t.body, t.account_id, t.contact_id, t.deal_id, t.created_by, t.created_at, t.updated_at, t.version",
        condition: None,
        filters: &[BY_ACCOUNT, BY_CONTACT, BY_DEAL],
        sorts: &[CREATED],
        default_sort: "-createdAt",
    };

    async fn save(&self, tx: &mut Tx, scope: &OrgScope) -> Result<(), CrmError> {
        sqlx::query(
            "INSERT INTO notes (org_id, id, body, account_id, contact_id, deal_id, created_by, created_at, updated_at, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (org_id, id) DO UPDATE SET body = excluded.body, account_id = excluded.account_id, contact_id = excluded.contact_id, deal_id = excluded.deal_id, updated_at = excluded.updated_at, version = excluded.version",
        )
            .bind(scope.uuid())
            .bind(self.id)
            .bind(&self.body)
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
        search_rows::save(tx, scope, &Document::from(self)).await?;
        let message = Some(wire::note(self));
        let (about, at) = (self.id.to_string(), self.stamp.updated_at);
        let Some(before) = before else {
            let event = events::NoteCreated { note: message };
            return records.tell(tx, scope, &event, about, at).await;
        };
        let event = events::NoteUpdated {
            note: message,
            changed_fields: before.differences(self),
        };
        records.tell(tx, scope, &event, about, at).await?;
        Ok(())
    }

    async fn tell_deleted(&self, records: &Records, tx: &mut Tx, scope: &OrgScope) -> Result<(), CrmError> {
        search_rows::remove(tx, scope, &[self.id]).await?;
        let event = events::NoteDeleted {
            note_id: self.id.to_string(),
        };
        records
            .tell(tx, scope, &event, self.id.to_string(), records.now())
            .await
    }
}
