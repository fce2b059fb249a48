//! Lists of contacts.

use ::store::OrgScope;
use ::store::list::{Field, Filter, Kind, ListRequest, ListSpec, Match, Sort, SortKind};
use ::store::paging::Page;

use super::contact_rows::{ContactRow, contact_columns};
use super::custom_lists::{self, sorted_table};
use super::{Records, Tree, converted, identity_rows};
use crate::domain::contact::Contact;
use crate::domain::extras::Object;
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
        Filter {
            name: "ownerId",
            kind: Kind::Uuid,
            matches: Match::Eq("owner_id"),
        },
        Filter {
            name: "tag",
            kind: Kind::Text,
            matches: Match::Sql(
                "t.id IN (SELECT r.record_id FROM record_tags r JOIN tags g ON g.org_id = r.org_id AND g.id = r.tag_id \
                 WHERE r.object = 'contact' AND g.name_key = lower({}))",
            ),
        },
        custom_lists::CUSTOM_1,
        custom_lists::CUSTOM_2,
        custom_lists::CUSTOM_3,
        custom_lists::CUSTOM_4,
        custom_lists::SORT_FIELD,
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

/// Sorted by an own field.
const BY_CUSTOM: ListSpec = ListSpec {
    table: sorted_table!("contacts"),
    sorts: &[custom_lists::SORT],
    ..CONTACTS
};

/// What full filters may name.
const FIELDS: &[Field] = &[
    Field {
        name: "name",
        column: "t.name",
        kind: Kind::Text,
    },
    Field {
        name: "email",
        column: "t.email",
        kind: Kind::Text,
    },
    Field {
        name: "title",
        column: "t.title",
        kind: Kind::Text,
    },
    Field {
        name: "company",
        column: "t.company",
        kind: Kind::Text,
    },
    Field {
        name: "accountId",
        column: "t.account_id",
        kind: Kind::Uuid,
    },
    Field {
        name: "ownerId",
        column: "t.owner_id",
        kind: Kind::Uuid,
    },
    Field {
        name: "firstSeenAt",
        column: "t.first_seen_at",
        kind: Kind::Time,
    },
    Field {
        name: "lastSeenAt",
        column: "t.last_seen_at",
        kind: Kind::Time,
    },
    Field {
        name: "createdAt",
        column: "t.created_at",
        kind: Kind::Time,
    },
    Field {
        name: "updatedAt",
        column: "t.updated_at",
        kind: Kind::Time,
    },
];

impl Records {
    /// A page of contacts with their identities.
    ///
    /// # Errors
    /// A request that is not valid, or of the database.
    pub async fn list_contacts(
        &self,
        scope: &OrgScope,
        request: &ListRequest<'_>,
        tree: Tree<'_>,
    ) -> Result<ContactList, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let rewritten = custom_lists::rewrite(&mut tx, scope, Object::Contact, request, tree).await?;
        let spec = if rewritten.by_custom {
            &BY_CUSTOM
        } else {
            &CONTACTS
        };
        let query = spec.prepare_values(
            scope,
            "ListContacts",
            &rewritten.request(),
            FIELDS,
            &rewritten.values,
            tree,
        )?;
        let page: Page<ContactRow> = query.fetch(&mut tx).await?;
        let mut page = converted::<ContactRow, Contact>(page)?;
        identity_rows::fill(&mut tx, scope, &mut page.items).await?;
        tx.commit().await?;
        Ok(page)
    }
}
