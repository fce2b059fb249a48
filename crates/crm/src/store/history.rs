//! `record_versions`: what accounts, contacts and deals were.
//!
//! Contract: every version that events tell of is kept in the transaction that makes it, so the newest version of a record up to
//! a time is what was told of it up to then. Nothing changes or deletes a version.

use ::store::partitions::PartitionSpec;
use ::store::{OrgScope, ToSqlx as _, Tx};
use ids::{AccountId, ContactId, IdGen};
use jiff::Timestamp;
use prost::Message as _;
use uuid::Uuid;

use super::contact_rows::{ContactRow, contact_columns};
use super::{identity_rows, search_rows};
use crate::domain::account::Account;
use crate::domain::contact::Contact;
use crate::domain::deal::Deal;
use crate::domain::search::Document;
use crate::error::CrmError;
use crate::wire;

/// Records of one statement.
const PIECE: usize = 500;

/// Months of history, each a partition; kept until the organization goes.
pub(crate) const PARTITIONS: PartitionSpec = PartitionSpec {
    table: "record_versions",
    id_column: "version_id",
    every_days: 30,
    ahead_days: 30,
    retention_days: None,
    keep_while: None,
};

/// What a version is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Account = 1,
    Contact = 2,
    Deal = 3,
}

/// A version of a record.
#[derive(Debug, Clone)]
pub(super) struct Version {
    of: Of,
    record: Uuid,
    at: Timestamp,
    account: Option<Uuid>,
    state: Option<Vec<u8>>,
}

impl Version {
    /// That a record was removed.
    pub(super) fn removed(of: Of, record: Uuid, at: Timestamp) -> Self {
        Self {
            of,
            record,
            at,
            account: None,
            state: None,
        }
    }
}

impl From<&Account> for Version {
    fn from(account: &Account) -> Self {
        Self {
            of: Of::Account,
            record: account.id.uuid(),
            at: account.updated_at,
            account: None,
            state: Some(wire::account(account).encode_to_vec()),
        }
    }
}

impl From<&Contact> for Version {
    fn from(contact: &Contact) -> Self {
        Self {
            of: Of::Contact,
            record: contact.id.uuid(),
            at: contact.updated_at,
            account: contact.account_id().map(AccountId::uuid),
            state: Some(wire::contact(contact).encode_to_vec()),
        }
    }
}

impl From<&Deal> for Version {
    fn from(deal: &Deal) -> Self {
        Self {
            of: Of::Deal,
            record: deal.id,
            at: deal.updated_at,
            account: deal.account.map(AccountId::uuid),
            state: Some(wire::deal(deal).encode_to_vec()),
        }
    }
}

/// Keeps a version, and the document of search with it where that changed.
pub(super) async fn keep(
    tx: &mut Tx,
    scope: &OrgScope,
    ids: &dyn IdGen,
    version: Version,
    document: Option<&Document>,
) -> Result<(), CrmError> {
    match document {
        Some(document) => search_rows::save_with(tx, scope, document, Some((ids.next(), &version))).await,
        None => keep_many(tx, scope, ids, &[version], false).await,
    }
}

/// The statement that keeps a version, for the parameters from `$9` on.
pub(super) const KEEP: &str = "INSERT INTO record_versions (org_id, record_id, version_id, kind, recorded_at, account_id, state) \
     VALUES ($1, $9, $10, $11, $12, $13, $14)";

impl Version {
    pub(super) fn kind(&self) -> i16 {
        self.of as i16
    }

    pub(super) fn parts(&self) -> (Uuid, Timestamp, Option<Uuid>, Option<&[u8]>) {
        (self.record, self.at, self.account, self.state.as_deref())
    }
}

/// Keeps versions; with `first_only` those of records that have none.
pub(super) async fn keep_many(
    tx: &mut Tx,
    scope: &OrgScope,
    ids: &dyn IdGen,
    versions: &[Version],
    first_only: bool,
) -> Result<(), CrmError> {
    if versions.is_empty() {
        return Ok(());
    }
    let condition = if first_only {
        "WHERE NOT EXISTS (SELECT FROM record_versions v WHERE v.org_id = $1 AND v.record_id = n.record_id)"
    } else {
        ""
    };
    let statement = format!(
        "INSERT INTO record_versions (org_id, record_id, version_id, kind, recorded_at, account_id, state) \
         SELECT $1, n.* FROM unnest($2::uuid[], $3::uuid[], $4::smallint[], $5::timestamptz[], $6::uuid[], $7::bytea[]) \
         n (record_id, version_id, kind, recorded_at, account_id, state) {condition}"
    );
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(scope.uuid())
        .bind(versions.iter().map(|version| version.record).collect::<Vec<_>>())
        .bind(versions.iter().map(|_| ids.next()).collect::<Vec<_>>())
        .bind(versions.iter().map(Version::kind).collect::<Vec<_>>())
        .bind(
            versions
                .iter()
                .map(|version| version.at.to_sqlx())
                .collect::<Vec<_>>(),
        )
        .bind(versions.iter().map(|version| version.account).collect::<Vec<_>>())
        .bind(
            versions
                .iter()
                .map(|version| version.state.clone())
                .collect::<Vec<_>>(),
        )
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Keeps a version of each of these contacts, after something changed of them that nothing tells of.
pub(super) async fn keep_contacts(
    tx: &mut Tx,
    scope: &OrgScope,
    ids: &dyn IdGen,
    contacts: &[ContactId],
    now: Timestamp,
) -> Result<(), CrmError> {
    for piece in contacts.chunks(PIECE) {
        let rows: Vec<ContactRow> = sqlx::query_as(concat!(
            "SELECT ",
            contact_columns!(),
            " FROM contacts t WHERE t.org_id = $1 AND t.id = ANY($2) AND t.recorded"
        ))
        .bind(scope.uuid())
        .bind(piece.iter().map(|id| id.uuid()).collect::<Vec<Uuid>>())
        .fetch_all(&mut **tx)
        .await?;
        let mut read = rows
            .into_iter()
            .map(Contact::try_from)
            .collect::<Result<Vec<_>, _>>()?;
        identity_rows::fill(tx, scope, &mut read).await?;
        let versions: Vec<Version> = read
            .iter()
            .map(|contact| at_least(Version::from(contact), now))
            .collect();
        keep_many(tx, scope, ids, &versions, false).await?;
    }
    Ok(())
}

/// The version as of `now`, where the record itself does not say that it changed.
pub(super) fn at_least(version: Version, now: Timestamp) -> Version {
    Version {
        at: version.at.max(now),
        ..version
    }
}
