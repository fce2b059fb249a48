//! Lists of accounts.

use ::store::OrgScope;
use ::store::list::{Field, Filter, Kind, ListRequest, ListSpec, Match, Sort, SortKind};
use ::store::paging::Page;

use super::account_rows::{AccountRow, account_columns};
use super::custom_lists::{self, sorted_table};
use super::{Records, Tree, converted};
use crate::domain::account::Account;
use crate::domain::extras::Object;
use crate::error::CrmError;

/// A page of accounts.
pub type AccountList = Page<Account>;

const FILTERS: &[Filter] = &[
    Filter {
        name: "tier",
        kind: Kind::OneOf(&["INACTIVE", "COLD", "WARM", "HOT"]),
        matches: Match::Sql(
            "t.tier = CASE {} WHEN 'INACTIVE' THEN 1 WHEN 'COLD' THEN 2 WHEN 'WARM' THEN 3 ELSE 4 END::smallint",
        ),
    },
    Filter {
        name: "trend",
        kind: Kind::OneOf(&["FALLING", "STABLE", "RISING"]),
        matches: Match::Sql(
            "t.trend = CASE {} WHEN 'FALLING' THEN 1 WHEN 'STABLE' THEN 2 ELSE 3 END::smallint",
        ),
    },
    Filter {
        name: "domain",
        kind: Kind::Text,
        matches: Match::Sql("t.domain = lower({})"),
    },
    Filter {
        name: "country",
        kind: Kind::Text,
        matches: Match::Sql("t.country = upper({})"),
    },
    Filter {
        name: "industry",
        kind: Kind::Text,
        matches: Match::Eq("industry"),
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
             WHERE r.object = 'account' AND g.name_key = lower({}))",
        ),
    },
    custom_lists::CUSTOM_1,
    custom_lists::CUSTOM_2,
    custom_lists::CUSTOM_3,
    custom_lists::CUSTOM_4,
    custom_lists::SORT_FIELD,
];

const NAME: Sort = Sort {
    name: "name",
    column: "name_key",
    kind: SortKind::Text,
    nullable: false,
};
const CREATED: Sort = Sort {
    name: "createdAt",
    column: "created_at",
    kind: SortKind::Time,
    nullable: false,
};

const ACCOUNTS: ListSpec = ListSpec {
    table: "accounts",
    columns: account_columns!(),
    condition: Some("t.recorded"),
    filters: FILTERS,
    sorts: &[
        Sort {
            name: "score",
            column: "score_down",
            kind: SortKind::Int,
            nullable: false,
        },
        NAME,
        CREATED,
    ],
    default_sort: "-score",
};

/// The same with another column behind the rising sort by score: accounts without a score come last there too.
const LOWEST_FIRST: ListSpec = ListSpec {
    sorts: &[
        Sort {
            name: "score",
            column: "score_up",
            kind: SortKind::Int,
            nullable: false,
        },
        NAME,
        CREATED,
    ],
    ..ACCOUNTS
};

/// Sorted by an own field.
const BY_CUSTOM: ListSpec = ListSpec {
    table: sorted_table!("accounts"),
    sorts: &[custom_lists::SORT],
    ..ACCOUNTS
};

/// Only scored accounts have a tier or a trend: with such a filter one column serves both directions, and its indexes.
fn spec(request: &ListRequest<'_>) -> &'static ListSpec {
    let scored_only = request
        .filters
        .iter()
        .any(|(name, _)| name == "tier" || name == "trend");
    if request.sort == Some("score") && !scored_only {
        &LOWEST_FIRST
    } else {
        &ACCOUNTS
    }
}

/// What full filters may name.
const FIELDS: &[Field] = &[
    Field {
        name: "name",
        column: "t.name",
        kind: Kind::Text,
    },
    Field {
        name: "domain",
        column: "t.domain",
        kind: Kind::Text,
    },
    Field {
        name: "githubOrg",
        column: "t.github_org",
        kind: Kind::Text,
    },
    Field {
        name: "employees",
        column: "t.employees",
        kind: Kind::Int,
    },
    Field {
        name: "industry",
        column: "t.industry",
        kind: Kind::Text,
    },
    Field {
        name: "country",
        column: "t.country",
        kind: Kind::Text,
    },
    Field {
        name: "fundingStage",
        column: "t.funding_stage",
        kind: Kind::Text,
    },
    Field {
        name: "score",
        column: "t.score",
        kind: Kind::Int,
    },
    Field {
        name: "contactCount",
        column: "t.contact_count",
        kind: Kind::Int,
    },
    Field {
        name: "ownerId",
        column: "t.owner_id",
        kind: Kind::Uuid,
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
    /// A page of accounts.
    ///
    /// # Errors
    /// A request that is not valid, or of the database.
    pub async fn list_accounts(
        &self,
        scope: &OrgScope,
        request: &ListRequest<'_>,
        tree: Tree<'_>,
    ) -> Result<AccountList, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let rewritten = custom_lists::rewrite(&mut tx, scope, Object::Account, request, tree).await?;
        let request = rewritten.request();
        let spec = if rewritten.by_custom {
            &BY_CUSTOM
        } else {
            spec(&request)
        };
        let query = spec.prepare_values(scope, "ListAccounts", &request, FIELDS, &rewritten.values, tree)?;
        let page: Page<AccountRow> = query.fetch(&mut tx).await?;
        tx.commit().await?;
        converted(page)
    }
}
