//! Lists of contacts.

use ::store::OrgScope;
use ::store::list::{Filter, Kind, ListRequest, ListSpec, Match, Sort, SortKind};
use ::store::paging::Page;

use super::contact_rows::{ContactRow, contact_columns};
use super::{Records, identity_rows};
use crate::domain::contact::Contact;
use crate::error::CrmError;

/// A page of contacts.
pub type ContactList = Page<Contact>;

const CONTACTS: ListSpec = ListSpec {
    table: "contacts",
    columns: contact_columns!(),
    condition: Some("t.recorded"),
    filters: &[
        Filter {
            name: "accountId",
            kind: Kind::Uuid,
            matches: Match::Eq("account_id"),
        },
        // Any identity counts, not only the primary address. Row-level security keeps the inner rows to the tenant.
        Filter {
            name: "email",
            kind: Kind::Text,
            matches: Match::Sql(
                "t.id IN (SELECT i.contact_id FROM contact_identities i WHERE i.type = 'email' AND i.value = lower({}))",
            ),
        },
        Filter {
            name: "github",
            kind: Kind::Text,
            matches: Match::Sql(
                "t.id IN (SELECT i.contact_id FROM contact_identities i WHERE i.type = 'github' AND i.value = lower({}))",
            ),
        },
    ],
    sorts: &[
        Sort {
            name: "createdAt",
            column: "created_at",
            kind: SortKind::Time,
            nullable: false,
        },
        Sort {
            name: "name",
            column: "name_key",
            kind: SortKind::Text,
            nullable: false,
        },
        Sort {
            name: "lastSeenAt",
            column: "last_seen_at",
            kind: SortKind::Time,
            nullable: false,
        },
    ],
    default_sort: "-createdAt",
};

impl Records {
    /// A page of contacts with their identities.
    ///
    /// # Errors
    /// A request that is not valid, or of the database.
    pub async fn list_contacts(
        &self,
        scope: &OrgScope,
        request: &ListRequest<'_>,
    ) -> Result<ContactList, CrmError> {
        let query = CONTACTS.prepare(scope, "ListContacts", request)?;
        let mut tx = self.db.begin(scope).await?;
        let page: Page<ContactRow> = query.fetch(&mut tx).await?;
        let Page {
            items,
            next_cursor,
            has_more,
            total_count,
        } = page;
        let mut items = items
            .into_iter()
            .map(Contact::try_from)
            .collect::<Result<Vec<_>, _>>()?;
        identity_rows::fill(&mut tx, scope, &mut items).await?;
        tx.commit().await?;
        Ok(Page {
            items,
            next_cursor,
            has_more,
            total_count,
        })
    }
}
