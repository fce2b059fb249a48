//! Entries of writes that no caller of an organization asks for: people who come in, organizations that begin. They commit with
//! what they tell of.

use jiff::Timestamp;
use serde_json::Value;
use store::{StoreError, ToSqlx as _, Tx};
use uuid::Uuid;

/// What was done.
#[derive(Debug)]
pub(crate) struct Note<'a> {
    /// The entry's id.
    pub(crate) id: Uuid,
    /// When.
    pub(crate) at: Timestamp,
    /// In which organization.
    pub(crate) org: Uuid,
    /// `user` or `system`, and who.
    pub(crate) actor: (&'a str, String),
    /// The actor's role.
    pub(crate) role: &'a str,
    /// The method: `access.v1.AuthService/Register`.
    pub(crate) action: &'a str,
    /// What it was about.
    pub(crate) resource: &'a str,
    /// The record.
    pub(crate) record: Option<String>,
    /// The fields that were given, without secrets.
    pub(crate) request: Value,
    /// The record afterwards.
    pub(crate) after: Option<Value>,
    /// The client's address and request.
    pub(crate) from: (&'a str, &'a str),
}

/// Keeps an entry with its outcome, within the transaction that does what it tells of. For either role of the schema.
pub(crate) async fn note(tx: &mut Tx, note: Note<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO audit_entries (org_id, id, created_at, actor_type, actor_id, role, action, resource, record_id, \
         request, address, request_id) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12)",
    )
    .bind(note.org)
    .bind(note.id)
    .bind(note.at.to_sqlx())
    .bind(note.actor.0)
    .bind(note.actor.1)
    .bind(note.role)
    .bind(note.action)
    .bind(note.resource)
    .bind(&note.record)
    .bind(note.request)
    .bind(note.from.0)
    .bind(note.from.1)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "INSERT INTO audit_outcomes (org_id, id, created_at, outcome, record_id, after) VALUES ($1,$2,$3,'ok',$4,$5)",
    )
    .bind(note.org)
    .bind(note.id)
    .bind(note.at.to_sqlx())
    .bind(note.record)
    .bind(note.after)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
