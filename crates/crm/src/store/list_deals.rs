//! Lists of deals, and of their moves.

use ::store::OrgScope;
use ::store::list::{Field, Filter, Kind, ListRequest, ListSpec, Match, Sort, SortKind};
use ::store::paging::{Cursor, Fingerprint, Page, PageRequest, invalid_cursor};
use ::store::{ToSqlx as _, Ts};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::custom_lists::{self, sorted_table};
use super::deal_rows::{self, DealRow, MoveRow, deal_columns};
use super::{Records, Tree, converted};
use crate::domain::deal::{Deal, Move};
use crate::domain::extras::Object;
use crate::error::CrmError;

const DEALS: ListSpec = ListSpec {
    table: "deals",
    columns: deal_columns!(),
    condition: None,
    filters: &[
        Filter {
            name: "accountId",
            kind: Kind::Uuid,
            matches: Match::Eq("account_id"),
        },
        Filter {
            name: "contactId",
            kind: Kind::Uuid,
            matches: Match::Sql("t.id IN (SELECT c.deal_id FROM deal_contacts c WHERE c.contact_id = {})"),
        },
        Filter {
            name: "pipelineId",
            kind: Kind::Uuid,
            matches: Match::Eq("pipeline_id"),
        },
        Filter {
            name: "stage",
            kind: Kind::Text,
            matches: Match::Sql("t.stage_id IN (SELECT s.id FROM stages s WHERE s.key = {})"),
        },
        Filter {
            name: "status",
            kind: Kind::OneOf(&["open", "won", "lost"]),
            matches: Match::Sql(
                "t.status = CASE {} WHEN 'open' THEN 1 WHEN 'won' THEN 2 ELSE 3 END::smallint",
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
                 WHERE r.object = 'deal' AND g.name_key = lower({}))",
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
            name: "updatedAt",
            column: "updated_at",
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
            name: "amount",
            column: "amount_units",
            kind: SortKind::Int,
            nullable: true,
        },
        Sort {
            name: "expectedCloseOn",
            column: "expected_close_on",
            kind: SortKind::Text,
            nullable: true,
        },
    ],
    default_sort: "-createdAt",
};

const BY_CUSTOM: ListSpec = ListSpec {
    table: sorted_table!("deals"),
    sorts: &[custom_lists::SORT],
    ..DEALS
};

/// What full filters may name.
const FIELDS: &[Field] = &[
    Field {
        name: "name",
        column: "t.name",
        kind: Kind::Text,
    },
    Field {
        name: "accountId",
        column: "t.account_id",
        kind: Kind::Uuid,
    },
    Field {
        name: "pipelineId",
        column: "t.pipeline_id",
        kind: Kind::Uuid,
    },
    Field {
        name: "stageId",
        column: "t.stage_id",
        kind: Kind::Uuid,
    },
    Field {
        name: "ownerId",
        column: "t.owner_id",
        kind: Kind::Uuid,
    },
    Field {
        name: "expectedCloseOn",
        column: "t.expected_close_on",
        kind: Kind::Text,
    },
    Field {
        name: "amount",
        column: "t.amount_units",
        kind: Kind::Int,
    },
    Field {
        name: "closeReason",
        column: "t.close_reason",
        kind: Kind::Text,
    },
    Field {
        name: "closedAt",
        column: "t.closed_at",
        kind: Kind::Time,
    },
    Field {
        name: "stageSince",
        column: "t.stage_since",
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
    /// A page of deals with their contacts.
    ///
    /// # Errors
    /// A request that is not valid, or of the database.
    pub async fn list_deals(
        &self,
        scope: &OrgScope,
        request: &ListRequest<'_>,
        tree: Tree<'_>,
    ) -> Result<Page<Deal>, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let rewritten = custom_lists::rewrite(&mut tx, scope, Object::Deal, request, tree).await?;
        let spec = if rewritten.by_custom { &BY_CUSTOM } else { &DEALS };
        let query = spec.prepare_values(
            scope,
            "ListDeals",
            &rewritten.request(),
            FIELDS,
            &rewritten.values,
            tree,
        )?;
        let page: Page<DealRow> = query.fetch(&mut tx).await?;
        let mut page = converted::<DealRow, Deal>(page)?;
        deal_rows::fill(&mut tx, scope, &mut page.items).await?;
        tx.commit().await?;
        Ok(page)
    }

    /// A page of a deal's moves, newest first.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], a request that is not valid, or of the database.
    pub async fn list_moves(
        &self,
        scope: &OrgScope,
        deal: Uuid,
        limit: Option<i32>,
        cursor: Option<&str>,
    ) -> Result<Page<Move>, CrmError> {
        let filters = [("dealId".to_owned(), deal.to_string())];
        let fingerprint = Fingerprint::new(scope.org(), "ListDealMoves", "-movedAt", &filters);
        let request = PageRequest::parse(limit, cursor, fingerprint)?;
        let after = request
            .after
            .as_ref()
            .map(|cursor| place(cursor).ok_or_else(|| CrmError::Api(invalid_cursor())))
            .transpose()?;
        let mut tx = self.db.begin(scope).await?;
        let moves = match deal_rows::find(&mut tx, scope, deal, false).await {
            Ok(_) => sqlx::query_as::<_, MoveRow>(
                "SELECT id, deal_id, from_stage, to_stage, moved_at, moved_by, reason, account_id FROM deal_moves \
                 WHERE org_id = $1 AND deal_id = $2 \
                 AND (moved_at, id) < (coalesce($3, 'infinity'), coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff')) \
                 ORDER BY moved_at DESC, id DESC LIMIT $5",
            )
            .bind(scope.uuid())
            .bind(deal)
            .bind(after.map(|(at, _)| at.to_sqlx()))
            .bind(after.map(|(_, id)| id))
            .bind(request.fetch_limit())
            .fetch_all(&mut *tx)
            .await
            .map_err(CrmError::from),
            Err(error) => Err(error),
        };
        tx.rollback().await;
        let moves: Vec<Move> = moves?.into_iter().map(Move::from).collect();
        Ok(Page::of(moves, &request, fingerprint, |last| {
            Cursor(vec![json!(last.at.as_microsecond()), json!(last.id)])
        }))
    }

    /// The windows before the moves of a deal whose signals influenced it: account, begin and end, newest first,
    /// windows that touch in one.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], or of the database.
    pub async fn influence(
        &self,
        scope: &OrgScope,
        deal: Uuid,
    ) -> Result<Vec<(Uuid, Timestamp, Timestamp)>, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let rows = match deal_rows::find(&mut tx, scope, deal, false).await {
            // The newest 200 moves: what lies before them is history of another kind.
            Ok(_) => sqlx::query_as::<_, (Uuid, Ts)>(
                "SELECT account_id, moved_at FROM deal_moves WHERE org_id = $1 AND deal_id = $2 \
                 AND account_id IS NOT NULL ORDER BY moved_at DESC LIMIT 200",
            )
            .bind(scope.uuid())
            .bind(deal)
            .fetch_all(&mut *tx)
            .await
            .map_err(CrmError::from),
            Err(error) => Err(error),
        };
        tx.rollback().await;
        let moves = rows?.into_iter().map(|(account, at)| (account, at.to_jiff()));
        Ok(crate::domain::deal::windows(moves))
    }
}

fn place(cursor: &Cursor) -> Option<(Timestamp, Uuid)> {
    let [at, id] = cursor.0.as_slice() else {
        return None;
    };
    let at = Timestamp::from_microsecond(at.as_i64()?).ok()?;
    Some((at, id.as_str()?.parse().ok()?))
}
