//! Making contacts searchable behind their import: an index over terms takes in fewer contacts a second than a table does.
//!
//! Contract: a contact that waits stands in `contacts_to_index` from the transaction that wrote it to the one that writes its
//! document. That one locks the contact first and writes what it is then, so it never overwrites what an edit wrote meanwhile.

use std::collections::BTreeMap;

use ::store::{OrgScope, Tx, retry};
use ids::OrgId;
use uuid::Uuid;

use super::{Records, contact_rows, search_rows};
use crate::domain::contact::Contact;
use crate::domain::search::Document;
use crate::error::CrmError;

/// Contacts in one transaction.
const AT_ONCE: i64 = 500;

/// How far the waiting ones were gone through: what was taken away before it would only be looked at again.
pub type Place = (Uuid, Uuid);

/// Notes that these contacts wait.
pub(super) async fn note(tx: &mut Tx, scope: &OrgScope, ids: &[Uuid]) -> Result<(), CrmError> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO contacts_to_index (org_id, id) SELECT $1, unnest($2::uuid[]) ON CONFLICT DO NOTHING",
    )
    .bind(scope.uuid())
    .bind(ids)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Records {
    /// Makes some contacts searchable that wait behind `after`; gives the last of them, or `None` when none waits there that
    /// nobody else is at.
    ///
    /// # Errors
    /// Of the database; nothing is stored then.
    pub async fn index_waiting(&self, after: Place) -> Result<Option<Place>, CrmError> {
        retry(|| self.index_waiting_once(after)).await
    }

    async fn index_waiting_once(&self, (org, id): Place) -> Result<Option<Place>, CrmError> {
        let mut tx = self.pipeline.begin().await?;
        let mut taken: Vec<Place> = sqlx::query_as(
            "DELETE FROM contacts_to_index t USING (SELECT org_id, id FROM contacts_to_index \
                 WHERE (org_id, id) > ($1, $2) ORDER BY org_id, id LIMIT $3 FOR UPDATE SKIP LOCKED) w \
             WHERE t.org_id = w.org_id AND t.id = w.id RETURNING t.org_id, t.id",
        )
        .bind(org)
        .bind(id)
        .bind(AT_ONCE)
        .fetch_all(&mut *tx)
        .await?;
        taken.sort_unstable();
        let mut of_orgs: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
        for (org, id) in &taken {
            of_orgs.entry(*org).or_default().push(*id);
        }
        for (org, ids) in of_orgs {
            let scope = OrgScope::new(OrgId(org));
            let contacts = contact_rows::lock_many(&mut tx, &scope, &ids).await?;
            let seen = contacts.iter().filter(|contact: &&Contact| contact.recorded);
            let documents: Vec<Document> = seen.map(Document::from).collect();
            search_rows::save_many(&mut tx, &scope, &documents, false).await?;
        }
        tx.commit().await?;
        Ok(taken.last().copied())
    }
}
