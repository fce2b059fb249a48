//! Search documents, and the first version in history, of records that were there before there were such.
//!
//! Contract: idempotent, resumed where it ended, safe in several processes at once (the row of a kind is locked), and beside
//! writers: records are locked while they are read, and a document that is there already is newer.

use std::collections::BTreeMap;

use ::store::{OrgScope, Tx};
use ids::OrgId;
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::account_rows::{AccountRow, account_columns};
use super::contact_rows::{ContactRow, contact_columns};
use super::deal_rows::{DealRow, deal_columns};
use super::history::{self, Version};
use super::note_rows::NoteRow;
use super::work::Stored as _;
use super::{Records, identity_rows, search_rows};
use crate::domain::account::Account;
use crate::domain::contact::Contact;
use crate::domain::deal::Deal;
use crate::domain::search::{Document, Kind};
use crate::domain::work::Note;
use crate::error::CrmError;

/// Records of one transaction.
const PIECE: i64 = 500;

/// A row with its organization.
#[derive(FromRow)]
struct Owned<T> {
    org_id: Uuid,
    #[sqlx(flatten)]
    row: T,
}

impl Records {
    /// Makes documents for the next records of a kind; `false` when there are no more.
    ///
    /// # Errors
    /// Of the database; what was done so far stays.
    pub async fn backfill_search(&self, kind: Kind) -> Result<bool, CrmError> {
        let mut tx = self.pipeline.begin().await?;
        sqlx::query("INSERT INTO search_backfill VALUES ($1, $2, $2, false) ON CONFLICT DO NOTHING")
            .bind(kind.name())
            .bind(Uuid::nil())
            .execute(&mut *tx)
            .await?;
        let (org, id, done): (Uuid, Uuid, bool) = sqlx::query_as(
            "SELECT after_org, after_id, done FROM search_backfill WHERE kind = $1 FOR UPDATE",
        )
        .bind(kind.name())
        .fetch_one(&mut *tx)
        .await?;
        if done {
            tx.rollback().await;
            return Ok(false);
        }
        let read = read(&mut tx, kind, (org, id)).await?;
        let last = read.last().map(|found| (found.org, found.document.id));
        let mut of_orgs: BTreeMap<Uuid, (Vec<Document>, Vec<Version>)> = BTreeMap::new();
        for found in read {
            let (documents, versions) = of_orgs.entry(found.org).or_default();
            documents.push(found.document);
            versions.extend(found.version);
        }
        for (org, (documents, versions)) in of_orgs {
            let scope = OrgScope::new(OrgId(org));
            search_rows::save_many(&mut tx, &scope, &documents, true).await?;
            history::keep_many(&mut tx, &scope, &*self.ids, &versions, true).await?;
        }
        let (org, id) = last.unwrap_or((org, id));
        sqlx::query("UPDATE search_backfill SET after_org = $2, after_id = $3, done = $4 WHERE kind = $1")
            .bind(kind.name())
            .bind(org)
            .bind(id)
            .bind(last.is_none())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(last.is_some())
    }
}

/// What is made of a record.
struct Found {
    org: Uuid,
    document: Document,
    /// None for what has no history.
    version: Option<Version>,
}

/// The documents of the records behind `after`, in the order of their keys.
async fn read(tx: &mut Tx, kind: Kind, after: (Uuid, Uuid)) -> Result<Vec<Found>, CrmError> {
    match kind {
        Kind::Account => {
            let sql = concat!(
                "SELECT t.org_id, ",
                account_columns!(),
                " FROM accounts t WHERE t.recorded AND"
            );
            documents::<AccountRow, Account>(tx, sql, after).await
        }
        Kind::Contact => contacts(tx, after).await,
        Kind::Deal => {
            let sql = concat!("SELECT t.org_id, ", deal_columns!(), " FROM deals t WHERE");
            documents::<DealRow, Deal>(tx, sql, after).await
        }
        Kind::Note => {
            let sql = format!("SELECT t.org_id, {} FROM notes t WHERE", Note::SPEC.columns);
            let rows = rows::<NoteRow>(tx, &sql, after).await?;
            Ok(rows
                .into_iter()
                .map(|Owned { org_id, row }| Found {
                    org: org_id,
                    document: Document::from(&Note::from(row)),
                    version: None,
                })
                .collect())
        }
        // Custom objects came after search.
        Kind::Record => Ok(Vec::new()),
    }
}

async fn rows<R>(tx: &mut Tx, select: &str, after: (Uuid, Uuid)) -> Result<Vec<Owned<R>>, CrmError>
where
    R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let sql = format!("{select} (t.org_id, t.id) > ($1, $2) ORDER BY t.org_id, t.id LIMIT $3 FOR SHARE OF t");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(after.0)
        .bind(after.1)
        .bind(PIECE)
        .fetch_all(&mut **tx)
        .await?)
}

async fn documents<R, T>(tx: &mut Tx, select: &str, after: (Uuid, Uuid)) -> Result<Vec<Found>, CrmError>
where
    R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    T: TryFrom<R, Error = CrmError>,
    for<'t> Document: From<&'t T>,
    for<'t> Version: From<&'t T>,
{
    let rows = rows::<R>(tx, select, after).await?;
    rows.into_iter()
        .map(|Owned { org_id, row }| {
            let record = T::try_from(row)?;
            Ok(Found {
                org: org_id,
                document: Document::from(&record),
                version: Some(Version::from(&record)),
            })
        })
        .collect()
}

async fn contacts(tx: &mut Tx, after: (Uuid, Uuid)) -> Result<Vec<Found>, CrmError> {
    let sql = concat!(
        "SELECT t.org_id, ",
        contact_columns!(),
        " FROM contacts t WHERE t.recorded AND"
    );
    let mut of_orgs: BTreeMap<Uuid, Vec<Contact>> = BTreeMap::new();
    for Owned { org_id, row } in rows::<ContactRow>(tx, sql, after).await? {
        of_orgs.entry(org_id).or_default().push(Contact::try_from(row)?);
    }
    let mut found = Vec::new();
    for (org, mut contacts) in of_orgs {
        identity_rows::fill(tx, &OrgScope::new(OrgId(org)), &mut contacts).await?;
        found.extend(contacts.iter().map(|contact| Found {
            org,
            document: Document::from(contact),
            version: Some(Version::from(contact)),
        }));
    }
    Ok(found)
}
