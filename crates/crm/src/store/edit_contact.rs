//! Changing a contact by hand.

use ::store::{OrgScope, retry};
use ids::ContactId;

use super::{Records, contact_rows};
use crate::domain::contact::Contact;
use crate::domain::edit::ContactEdit;
use crate::error::CrmError;

impl Records {
    /// Sets fields of a contact, if it still has version `if_version` (when given), and tells of it.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], or of the database; nothing is changed then.
    pub async fn edit_contact(
        &self,
        scope: &OrgScope,
        id: ContactId,
        edit: &ContactEdit,
        if_version: Option<i64>,
    ) -> Result<Contact, CrmError> {
        retry(|| self.edit_contact_once(scope, id, edit, if_version)).await
    }

    async fn edit_contact_once(
        &self,
        scope: &OrgScope,
        id: ContactId,
        edit: &ContactEdit,
        if_version: Option<i64>,
    ) -> Result<Contact, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let found = contact_rows::lock(&mut tx, scope, id)
            .await?
            .filter(|contact| contact.recorded);
        let checked = found.ok_or(CrmError::NotFound("contact")).and_then(|before| {
            super::check_version(before.version, if_version)?;
            Ok(before)
        });
        let before = match checked {
            Ok(before) => before,
            Err(error) => {
                tx.rollback().await;
                return Err(error);
            }
        };
        let mut contact = before.clone();
        let change = contact.edit(edit.clone(), self.now());
        if contact != before {
            contact_rows::save(&mut tx, scope, &contact).await?;
        }
        self.tell_contact(&mut tx, scope, &contact, &change).await?;
        tx.commit().await?;
        Ok(contact)
    }
}
