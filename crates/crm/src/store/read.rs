//! Reading one record.

use ::store::OrgScope;
use ids::{AccountId, ContactId};

use super::{Records, account_rows, contact_rows};
use crate::domain::account::Account;
use crate::domain::contact::Contact;
use crate::error::CrmError;

impl Records {
    /// The account.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], or of the database.
    pub async fn account(&self, scope: &OrgScope, id: AccountId) -> Result<Account, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let found = account_rows::read(&mut tx, scope, id).await?;
        tx.commit().await?;
        found
            .filter(|account| account.recorded)
            .ok_or(CrmError::NotFound("account"))
    }

    /// The contact.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], or of the database.
    pub async fn contact(&self, scope: &OrgScope, id: ContactId) -> Result<Contact, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let found = contact_rows::read(&mut tx, scope, id).await?;
        tx.commit().await?;
        found
            .filter(|contact| contact.recorded)
            .ok_or(CrmError::NotFound("contact"))
    }
}
