//! `timeline_entries`: what our own records show in the timelines of accounts, contacts and deals.

use ::store::{OrgScope, ToSqlx as _, Ts, Tx};
use ids::{AccountId, ContactId};
use serde_json::{Map, Value};
use sqlx::FromRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Records, extras};
use crate::domain::extras::Object;
use crate::domain::timeline::{Entry, Position};
use crate::domain::work::{Line, Links};
use crate::error::CrmError;

/// Whose timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// An account's.
    Account(AccountId),
    /// A contact's.
    Contact(ContactId),
    /// A deal's.
    Deal(Uuid),
}

impl About {
    /// The record's id.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        match self {
            Self::Account(id) => id.uuid(),
            Self::Contact(id) => id.uuid(),
            Self::Deal(id) => id,
        }
    }

    /// The kind of the record.
    #[must_use]
    pub fn object(self) -> Object {
        match self {
            Self::Account(_) => Object::Account,
            Self::Contact(_) => Object::Contact,
            Self::Deal(_) => Object::Deal,
        }
    }
}

#[derive(Debug, FromRow)]
struct Row {
    at: Ts,
    id: Uuid,
    kind: String,
    title: String,
    contact_id: Option<Uuid>,
    data: Json<Map<String, Value>>,
}

/// Kinds that this release writes.
const KINDS: [&str; 6] = [
    "activity",
    "note",
    "task",
    "task_completed",
    "deal_created",
    "deal_moved",
];

/// Writes the lines of `record`, in place of those before, into the timelines of what it is about.
pub(super) async fn replace(
    tx: &mut Tx,
    scope: &OrgScope,
    record: Uuid,
    links: &Links,
    lines: &[Line],
) -> Result<(), CrmError> {
    remove(tx, scope, record).await?;
    add(tx, scope, record, links, lines).await
}

/// Adds lines of `record` to the timelines of what it is about.
pub(super) async fn add(
    tx: &mut Tx,
    scope: &OrgScope,
    record: Uuid,
    links: &Links,
    lines: &[Line],
) -> Result<(), CrmError> {
    let abouts = links.abouts();
    for line in lines {
        sqlx::query(
            "INSERT INTO timeline_entries (org_id, about, at, id, kind, title, contact_id, data, record_id) \
             SELECT $1, a, $3, $4, $5, $6, $7, $8, $9 FROM unnest($2::uuid[]) a ON CONFLICT DO NOTHING",
        )
        .bind(scope.uuid())
        .bind(&abouts)
        .bind(line.at.to_sqlx())
        .bind(line.id)
        .bind(line.kind)
        .bind(&line.title)
        .bind(links.contact.map(ContactId::uuid))
        .bind(Json(&line.data))
        .bind(record)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Removes the lines of `record`.
pub(super) async fn remove(tx: &mut Tx, scope: &OrgScope, record: Uuid) -> Result<(), CrmError> {
    sqlx::query("DELETE FROM timeline_entries WHERE org_id = $1 AND record_id = $2")
        .bind(scope.uuid())
        .bind(record)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Gives everything that is about `from` to `into`: records, their lines, tags and own values. What both have stays once.
pub(super) async fn hand_over(
    tx: &mut Tx,
    scope: &OrgScope,
    object: Object,
    from: Uuid,
    into: Uuid,
) -> Result<(), CrmError> {
    let column = object.name();
    let mut statements = vec![
        "DELETE FROM timeline_entries f WHERE f.org_id = $1 AND f.about = $2 AND EXISTS (SELECT FROM timeline_entries i \
         WHERE i.org_id = $1 AND i.about = $3 AND i.at = f.at AND i.id = f.id)"
            .to_owned(),
        "UPDATE timeline_entries SET about = $3 WHERE org_id = $1 AND about = $2".to_owned(),
        "DELETE FROM record_tags WHERE org_id = $1 AND record_id = $2 AND $3::uuid IS NOT NULL".to_owned(),
        "DELETE FROM custom_values WHERE org_id = $1 AND record_id = $2 AND $3::uuid IS NOT NULL".to_owned(),
    ];
    for table in ["tasks", "activities", "notes"] {
        statements.push(format!(
            "UPDATE {table} SET {column}_id = $3, version = version + 1 WHERE org_id = $1 AND {column}_id = $2"
        ));
    }
    match object {
        Object::Account => {
            statements.push(
                "UPDATE deals SET account_id = $3, version = version + 1 WHERE org_id = $1 AND account_id = $2".to_owned(),
            );
            statements.push(
                "INSERT INTO account_milestones SELECT org_id, $3, milestone, reached_at, reason FROM account_milestones \
                 WHERE org_id = $1 AND account_id = $2 ON CONFLICT DO NOTHING"
                    .to_owned(),
            );
        }
        Object::Contact => {
            statements.push(
                "INSERT INTO deal_contacts SELECT org_id, deal_id, $3, position FROM deal_contacts \
                 WHERE org_id = $1 AND contact_id = $2 ON CONFLICT DO NOTHING"
                    .to_owned(),
            );
            statements.push(
                "DELETE FROM deal_contacts WHERE org_id = $1 AND contact_id = $2 AND $3::uuid IS NOT NULL"
                    .to_owned(),
            );
        }
        Object::Deal => {}
    }
    for statement in statements {
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(scope.uuid())
            .bind(from)
            .bind(into)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

impl Records {
    /// The newest `limit` lines of a record's timeline behind `after`, of our own: for an account with the moves of its
    /// score.
    ///
    /// # Errors
    /// [`CrmError::NotFound`] for a record that is not there, or of the database.
    pub async fn own_timeline(
        &self,
        scope: &OrgScope,
        about: About,
        after: Option<Position>,
        limit: i64,
    ) -> Result<Vec<Entry>, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let known = extras::exists(&mut tx, scope, about.object(), about.uuid()).await?;
        if !known {
            tx.rollback().await;
            return Err(CrmError::NotFound(about.object().name()));
        }
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT at, id, kind, title, contact_id, data FROM timeline_entries WHERE org_id = $1 AND about = $2 \
             AND (at, id) < (coalesce($3, 'infinity'), coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff')) \
             ORDER BY at DESC, id DESC LIMIT $5",
        )
        .bind(scope.uuid())
        .bind(about.uuid())
        .bind(after.map(|position| position.at.to_sqlx()))
        .bind(after.map(|position| position.id))
        .bind(limit)
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut entries = rows.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        if let About::Account(account) = about {
            let moves = self.score_changes(scope, account, after, limit).await?;
            entries.extend(moves.into_iter().map(Entry::from));
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.position));
            entries.truncate(usize::try_from(limit).unwrap_or_default());
        }
        Ok(entries)
    }
}

fn entry(row: Row) -> Result<Entry, CrmError> {
    let kind = KINDS
        .into_iter()
        .find(|kind| *kind == row.kind)
        .ok_or_else(|| CrmError::Corrupt(format!("timeline entry {}, kind", row.id)))?;
    Ok(Entry {
        position: Position {
            at: row.at.to_jiff(),
            id: row.id,
        },
        kind,
        title: row.title,
        contact: row.contact_id.map(ContactId),
        data: row.data.0,
    })
}
