//! Tasks, activities and notes: the operations that all three have.

use std::future::Future;

use ::store::list::{Field, Filter, Kind, ListRequest, ListSpec, Match};
use ::store::paging::Page;
use ::store::{OrgScope, Tx};
use errors::FieldError;
use ids::{AccountId, ContactId};
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::{Records, Tree, Write, check_version, entries, extras, in_tx};
use crate::domain::extras::Object;
use crate::domain::work::{Links, Stamp, Work};
use crate::error::CrmError;

/// Filters by what a record is about.
pub(super) const BY_ACCOUNT: Filter = Filter {
    name: "accountId",
    kind: Kind::Uuid,
    matches: Match::Eq("account_id"),
};
pub(super) const BY_CONTACT: Filter = Filter {
    name: "contactId",
    kind: Kind::Uuid,
    matches: Match::Eq("contact_id"),
};
pub(super) const BY_DEAL: Filter = Filter {
    name: "dealId",
    kind: Kind::Uuid,
    matches: Match::Eq("deal_id"),
};

/// How a kind of work is stored and told.
pub trait Stored: Work {
    /// A row of its table.
    type Row: for<'r> FromRow<'r, PgRow> + Into<Self> + Send + Unpin;
    /// Its table.
    const TABLE: &'static str;
    /// Its list.
    const SPEC: ListSpec;
    /// What full filters may name.
    const FIELDS: &'static [Field];
    /// The list's name in cursors.
    const LIST: &'static str;

    /// Writes it.
    fn save(&self, tx: &mut Tx, scope: &OrgScope) -> impl Future<Output = Result<(), CrmError>> + Send;
    /// Tells that it was recorded (`before` absent) or changed.
    fn tell(
        &self,
        records: &Records,
        tx: &mut Tx,
        scope: &OrgScope,
        before: Option<&Self>,
    ) -> impl Future<Output = Result<(), CrmError>> + Send;
    /// Tells that it was deleted.
    fn tell_deleted(
        &self,
        records: &Records,
        tx: &mut Tx,
        scope: &OrgScope,
    ) -> impl Future<Output = Result<(), CrmError>> + Send;
}

async fn find<W: Stored>(tx: &mut Tx, scope: &OrgScope, id: Uuid, lock: bool) -> Result<W, CrmError> {
    let sql = format!(
        "SELECT {} FROM {} t WHERE t.org_id = $1 AND t.id = $2 {}",
        W::SPEC.columns,
        W::TABLE,
        if lock { "FOR UPDATE" } else { "" }
    );
    let row: Option<W::Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(scope.uuid())
        .bind(id)
        .fetch_optional(&mut **tx)
        .await?;
    row.map(Into::into).ok_or(CrmError::NotFound(W::NAME))
}

impl Records {
    /// A page of records.
    ///
    /// # Errors
    /// A request that is not valid, or of the database.
    pub async fn list_work<W: Stored>(
        &self,
        scope: &OrgScope,
        request: &ListRequest<'_>,
        tree: Tree<'_>,
    ) -> Result<Page<W>, CrmError> {
        let query = W::SPEC.prepare_where(scope, W::LIST, request, W::FIELDS, tree)?;
        let mut tx = self.db.begin(scope).await?;
        let page: Page<W::Row> = query.fetch(&mut tx).await?;
        tx.commit().await?;
        Ok(page.map(Into::into))
    }

    /// One record.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], or of the database.
    pub async fn work<W: Stored>(&self, scope: &OrgScope, id: Uuid) -> Result<W, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let found = find(&mut tx, scope, id, false).await;
        tx.rollback().await;
        found
    }

    /// Makes a record.
    ///
    /// # Errors
    /// [`CrmError::Invalid`] when it is about something that is not there, or of the database.
    pub async fn create_work<W: Stored>(&self, write: &Write, edit: &W::Edit) -> Result<W, CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let now = self.now();
                let stamp = Stamp {
                    by: write.by.clone(),
                    created_at: now,
                    updated_at: now,
                    version: 1,
                };
                let mut record = W::blank(self.ids.next(), stamp);
                record.edit(edit.clone(), now);
                check(tx, &write.scope, &record, None).await?;
                record.save(tx, &write.scope).await?;
                entries::replace(tx, &write.scope, record.id(), record.links(), &record.lines()).await?;
                record.tell(self, tx, &write.scope, None).await?;
                Ok(record)
            }),
        )
        .await
    }

    /// Changes a record.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], [`CrmError::Invalid`], or of the database.
    pub async fn edit_work<W: Stored>(
        &self,
        write: &Write,
        id: Uuid,
        edit: &W::Edit,
        if_version: Option<i64>,
    ) -> Result<W, CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let before: W = find(tx, &write.scope, id, true).await?;
                check_version(before.stamp().version, if_version)?;
                let now = self.now();
                let mut record = before.clone();
                record.edit(edit.clone(), now);
                check(tx, &write.scope, &record, Some(before.links())).await?;
                if record == before {
                    return Ok(record);
                }
                record.stamp_mut().version += 1;
                record.stamp_mut().updated_at = now;
                record.save(tx, &write.scope).await?;
                entries::replace(tx, &write.scope, id, record.links(), &record.lines()).await?;
                record.tell(self, tx, &write.scope, Some(&before)).await?;
                Ok(record)
            }),
        )
        .await
    }

    /// Deletes a record.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], or of the database.
    pub async fn delete_work<W: Stored>(
        &self,
        write: &Write,
        id: Uuid,
        if_version: Option<i64>,
    ) -> Result<(), CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let record: W = find(tx, &write.scope, id, true).await?;
                check_version(record.stamp().version, if_version)?;
                entries::remove(tx, &write.scope, id).await?;
                let sql = format!("DELETE FROM {} WHERE org_id = $1 AND id = $2", W::TABLE);
                sqlx::query(sqlx::AssertSqlSafe(sql))
                    .bind(write.scope.uuid())
                    .bind(id)
                    .execute(&mut **tx)
                    .await?;
                record.tell_deleted(self, tx, &write.scope).await
            }),
        )
        .await
    }
}

/// What the record is about must be there, as far as that was changed.
async fn check<W: Stored>(
    tx: &mut Tx,
    scope: &OrgScope,
    record: &W,
    before: Option<&Links>,
) -> Result<(), CrmError> {
    let links = record.links();
    if W::NEEDS_LINK && links.is_none() {
        let message = format!("{} is about an account, a contact or a deal", W::NAME);
        return Err(CrmError::Invalid(vec![FieldError::new("", "required", message)]));
    }
    let none = Links::default();
    let before = before.unwrap_or(&none);
    let wanted = [
        (
            "/accountId",
            Object::Account,
            links
                .account
                .filter(|_| links.account != before.account)
                .map(AccountId::uuid),
        ),
        (
            "/contactId",
            Object::Contact,
            links
                .contact
                .filter(|_| links.contact != before.contact)
                .map(ContactId::uuid),
        ),
        (
            "/dealId",
            Object::Deal,
            links.deal.filter(|_| links.deal != before.deal),
        ),
    ];
    let mut problems = Vec::new();
    for (pointer, object, id) in wanted {
        let Some(id) = id else { continue };
        if !extras::exists(tx, scope, object, id).await? {
            let message = format!("there is no such {}", object.name());
            problems.push(FieldError::new(pointer, "not_found", message));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(CrmError::Invalid(problems))
    }
}
