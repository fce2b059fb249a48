//! Reading many records with one statement.

use ::store::OrgScope;
use ids::{AccountId, ContactId};
use uuid::Uuid;

use super::account_rows::{AccountRow, account_columns};
use super::contact_rows::{ContactRow, contact_columns};
use super::{Records, identity_rows};
use crate::domain::account::Account;
use crate::domain::contact::Contact;
use crate::error::CrmError;

const ACCOUNTS: &str = concat!(
    "SELECT ",
    account_columns!(),
    " FROM accounts t WHERE t.org_id = $1 AND t.id = ANY($2) AND t.recorded"
);
const CONTACTS: &str = concat!(
    "SELECT ",
    contact_columns!(),
    " FROM contacts t WHERE t.org_id = $1 AND t.id = ANY($2) AND t.recorded"
);
/// Of each account its newest, from `contacts_by_account_created`.
const OF_ACCOUNTS: &str = concat!(
    "SELECT ",
    contact_columns!(),
    " FROM unnest($2::uuid[]) AS k (id) CROSS JOIN LATERAL (SELECT c.* FROM contacts c \
      WHERE c.org_id = $1 AND c.account_id = k.id AND c.recorded \
      ORDER BY c.created_at DESC, c.id DESC LIMIT $3) t \
      ORDER BY t.account_id, t.created_at DESC, t.id DESC"
);

impl Records {
    /// The accounts of these ids, in no order; without what does not exist.
    ///
    /// # Errors
    /// Of the database.
    pub async fn accounts_of_ids(
        &self,
        scope: &OrgScope,
        ids: &[AccountId],
    ) -> Result<Vec<Account>, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let rows: Vec<AccountRow> = sqlx::query_as(ACCOUNTS)
            .bind(scope.uuid())
            .bind(ids.iter().map(|id| id.uuid()).collect::<Vec<Uuid>>())
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.into_iter().map(Account::try_from).collect()
    }

    /// The contacts of these ids, in no order; without what does not exist.
    ///
    /// # Errors
    /// Of the database.
    pub async fn contacts_of_ids(
        &self,
        scope: &OrgScope,
        ids: &[ContactId],
    ) -> Result<Vec<Contact>, CrmError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        self.contacts_by(scope, CONTACTS, ids, None).await
    }

    /// The newest contacts of each of these accounts, account by account.
    ///
    /// # Errors
    /// Of the database.
    pub async fn contacts_of_accounts(
        &self,
        scope: &OrgScope,
        accounts: &[AccountId],
        of_each: i32,
    ) -> Result<Vec<Contact>, CrmError> {
        let mut ids: Vec<Uuid> = accounts.iter().map(|id| id.uuid()).collect();
        ids.sort_unstable();
        ids.dedup();
        self.contacts_by(scope, OF_ACCOUNTS, ids, Some(of_each)).await
    }

    async fn contacts_by(
        &self,
        scope: &OrgScope,
        statement: &'static str,
        ids: Vec<Uuid>,
        of_each: Option<i32>,
    ) -> Result<Vec<Contact>, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let mut query = sqlx::query_as::<_, ContactRow>(statement)
            .bind(scope.uuid())
            .bind(ids);
        if let Some(of_each) = of_each {
            query = query.bind(i64::from(of_each));
        }
        let rows = query.fetch_all(&mut *tx).await?;
        let mut contacts = rows
            .into_iter()
            .map(Contact::try_from)
            .collect::<Result<Vec<_>, _>>()?;
        identity_rows::fill(&mut tx, scope, &mut contacts).await?;
        tx.commit().await?;
        Ok(contacts)
    }
}
