//! Rows of `contacts`.

use std::collections::BTreeSet;

use ::store::{OrgScope, ToSqlx as _, Ts, Tx};
use ids::{AccountId, ContactId, EventId};
use serde_json::{Map, Value};
use sqlx::FromRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::{arrays, identity_rows};
use crate::domain::contact::{Contact, ContactField, ToldAccount};
use crate::domain::extras::Extras;
use crate::domain::text;
use crate::error::CrmError;

/// The columns of [`ContactRow`], over a table under the alias `t`.
macro_rules! contact_columns {
    () => {
        "t.id, t.recorded, t.name, t.told_name, t.email, t.title, t.company, t.avatar_url, t.account_id, \
         t.account_told_at, t.account_told_by, t.edited_fields, t.revision, t.first_seen_at, t.last_seen_at, \
         t.created_at, t.updated_at, t.version, t.owner_id, t.tags, t.custom, t.deleted_at"
    };
}
pub(super) use contact_columns;

/// A row of `contacts`; the identities stand in a table of their own.
#[derive(Debug, FromRow)]
pub(super) struct ContactRow {
    id: Uuid,
    recorded: bool,
    name: String,
    told_name: Option<String>,
    email: Option<String>,
    title: Option<String>,
    company: Option<String>,
    avatar_url: Option<String>,
    account_id: Option<Uuid>,
    account_told_at: Option<Ts>,
    account_told_by: Option<Uuid>,
    edited_fields: Vec<String>,
    revision: i64,
    first_seen_at: Option<Ts>,
    last_seen_at: Option<Ts>,
    created_at: Ts,
    updated_at: Ts,
    version: i64,
    owner_id: Option<Uuid>,
    tags: Vec<String>,
    custom: Json<Map<String, Value>>,
    deleted_at: Option<Ts>,
}

impl TryFrom<ContactRow> for Contact {
    type Error = CrmError;

    /// The contact without its identities.
    fn try_from(row: ContactRow) -> Result<Self, CrmError> {
        let account = match (row.account_id, row.account_told_at, row.account_told_by) {
            (Some(account), Some(at), Some(by)) => Some(ToldAccount {
                at: at.to_jiff(),
                by: EventId(by),
                account: AccountId(account),
            }),
            _ => None,
        };
        let edited: Option<BTreeSet<_>> = row
            .edited_fields
            .iter()
            .map(|name| ContactField::parse(name))
            .collect();
        let edited = edited.ok_or_else(|| CrmError::Corrupt(format!("contact {}, edited_fields", row.id)))?;
        Ok(Self {
            id: ContactId(row.id),
            recorded: row.recorded,
            deleted_at: row.deleted_at.map(Ts::to_jiff),
            extras: Extras {
                owner: row.owner_id,
                tags: row.tags,
                custom: row.custom.0,
            },
            name: row.name,
            told_name: row.told_name,
            email: row.email,
            title: row.title,
            company: row.company,
            avatar_url: row.avatar_url,
            account,
            identities: Vec::new(),
            edited,
            revision: row.revision,
            first_seen_at: row.first_seen_at.map(Ts::to_jiff),
            last_seen_at: row.last_seen_at.map(Ts::to_jiff),
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            version: row.version,
        })
    }
}

const READ: &str = concat!(
    "SELECT ",
    contact_columns!(),
    " FROM contacts t WHERE t.org_id = $1 AND t.id = $2"
);
const LOCK: &str = concat!(
    "SELECT ",
    contact_columns!(),
    " FROM contacts t WHERE t.org_id = $1 AND t.id = $2 FOR UPDATE"
);

/// The contact with its identities, recorded or not.
pub(super) async fn read(tx: &mut Tx, scope: &OrgScope, id: ContactId) -> Result<Option<Contact>, CrmError> {
    one(tx, scope, id, READ).await
}

/// The contact with its identities, recorded or not, locked until the end of the transaction.
pub(super) async fn lock(tx: &mut Tx, scope: &OrgScope, id: ContactId) -> Result<Option<Contact>, CrmError> {
    one(tx, scope, id, LOCK).await
}

async fn one(
    tx: &mut Tx,
    scope: &OrgScope,
    id: ContactId,
    statement: &'static str,
) -> Result<Option<Contact>, CrmError> {
    let row: Option<ContactRow> = sqlx::query_as(statement)
        .bind(scope.uuid())
        .bind(id.uuid())
        .fetch_optional(&mut **tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let mut contacts = [Contact::try_from(row)?];
    identity_rows::fill(tx, scope, &mut contacts).await?;
    let [contact] = contacts;
    Ok(Some(contact))
}

const LOCK_MANY: &str = concat!(
    "SELECT ",
    contact_columns!(),
    " FROM contacts t WHERE t.org_id = $1 AND t.id = ANY($2) ORDER BY t.id FOR UPDATE"
);

/// Those of the contacts that are there, with their identities, recorded or not, locked until the end of the transaction.
pub(super) async fn lock_many(tx: &mut Tx, scope: &OrgScope, ids: &[Uuid]) -> Result<Vec<Contact>, CrmError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<ContactRow> = sqlx::query_as(LOCK_MANY)
        .bind(scope.uuid())
        .bind(ids)
        .fetch_all(&mut **tx)
        .await?;
    let mut contacts = rows
        .into_iter()
        .map(Contact::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    identity_rows::fill(tx, scope, &mut contacts).await?;
    Ok(contacts)
}

/// Writes the contact without its identities. Whoever makes a row holds the person's lock, see [`super::people`].
pub(super) async fn save(tx: &mut Tx, scope: &OrgScope, contact: &Contact) -> Result<(), CrmError> {
    save_many(tx, scope, &[contact]).await
}

/// As [`save`], of many contacts, none of them twice.
pub(super) async fn save_many(tx: &mut Tx, scope: &OrgScope, all: &[&Contact]) -> Result<(), CrmError> {
    if all.is_empty() {
        return Ok(());
    }
    fn column<'a, T>(all: &[&'a Contact], get: impl Fn(&'a Contact) -> T) -> Vec<T> {
        all.iter().map(|contact| get(contact)).collect()
    }
    let at = |time: Option<jiff::Timestamp>| -> Option<Ts> { time.map(|at| at.to_sqlx()) };
    sqlx::query(
        "INSERT INTO contacts (org_id, id, recorded, name, name_key, told_name, email, title, company, avatar_url, \
         account_id, account_told_at, account_told_by, edited_fields, revision, first_seen_at, last_seen_at, \
         created_at, updated_at, version, owner_id, tags, custom, deleted_at) \
         SELECT $1, n.id, n.recorded, n.name, n.name_key, n.told_name, n.email, n.title, n.company, n.avatar_url, \
         n.account_id, n.told_at, n.told_by, n.edited::text[], n.revision, n.first_seen, n.last_seen, n.created, \
         n.updated, n.version, n.owner, n.tags::text[], n.custom, n.deleted \
         FROM unnest($2::uuid[], $3::boolean[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], \
         $10::text[], $11::uuid[], $12::timestamptz[], $13::uuid[], $14::text[], $15::bigint[], $16::timestamptz[], \
         $17::timestamptz[], $18::timestamptz[], $19::timestamptz[], $20::bigint[], $21::uuid[], $22::text[], \
         $23::jsonb[], $24::timestamptz[]) n (id, recorded, name, name_key, told_name, email, title, company, \
         avatar_url, account_id, told_at, told_by, edited, revision, first_seen, last_seen, created, updated, version, \
         owner, tags, custom, deleted) \
         ON CONFLICT (org_id, id) DO UPDATE SET recorded = excluded.recorded, name = excluded.name, \
         name_key = excluded.name_key, told_name = excluded.told_name, email = excluded.email, \
         title = excluded.title, company = excluded.company, avatar_url = excluded.avatar_url, \
         account_id = excluded.account_id, account_told_at = excluded.account_told_at, \
         account_told_by = excluded.account_told_by, edited_fields = excluded.edited_fields, \
         revision = excluded.revision, first_seen_at = excluded.first_seen_at, \
         last_seen_at = excluded.last_seen_at, created_at = excluded.created_at, \
         updated_at = excluded.updated_at, version = excluded.version, owner_id = excluded.owner_id, \
         tags = excluded.tags, custom = excluded.custom, deleted_at = excluded.deleted_at",
    )
    .bind(scope.uuid())
    .bind(column(all, |c| c.id.uuid()))
    .bind(column(all, |c| c.recorded))
    .bind(column(all, |c| c.name.as_str()))
    .bind(column(all, |c| text::sort_key(&c.name)))
    .bind(column(all, |c| c.told_name.as_deref()))
    .bind(column(all, |c| c.email.as_deref()))
    .bind(column(all, |c| c.title.as_deref()))
    .bind(column(all, |c| c.company.as_deref()))
    .bind(column(all, |c| c.avatar_url.as_deref()))
    .bind(column(all, |c| c.account.map(|told| told.account.uuid())))
    .bind(column(all, |c| at(c.account.map(|told| told.at))))
    .bind(column(all, |c| c.account.map(|told| told.by.uuid())))
    .bind(column(all, |c| arrays::of_texts(c.edited.iter().map(|field| field.name()))))
    .bind(column(all, |c| c.revision))
    .bind(column(all, |c| at(c.first_seen_at)))
    .bind(column(all, |c| at(c.last_seen_at)))
    .bind(column(all, |c| c.created_at.to_sqlx()))
    .bind(column(all, |c| c.updated_at.to_sqlx()))
    .bind(column(all, |c| c.version))
    .bind(column(all, |c| c.extras.owner))
    .bind(column(all, |c| arrays::of_texts(c.extras.tags.iter().map(String::as_str))))
    .bind(column(all, |c| Json(&c.extras.custom)))
    .bind(column(all, |c| at(c.deleted_at)))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes the row.
pub(super) async fn remove(tx: &mut Tx, scope: &OrgScope, id: ContactId) -> Result<(), CrmError> {
    sqlx::query("DELETE FROM contacts WHERE org_id = $1 AND id = $2")
        .bind(scope.uuid())
        .bind(id.uuid())
        .execute(&mut **tx)
        .await?;
    Ok(())
}
