//! Saved views of lists.

use std::collections::BTreeMap;

use ::store::list::{Filter, Kind, ListRequest, ListSpec, Match, Sort, SortKind};
use ::store::paging::Page;
use ::store::{Class, OrgScope, ToSqlx as _, Ts, Tx};
use jiff::Timestamp;
use serde_json::{Map, Value};
use sqlx::FromRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::custom_fields::conflict;
use super::{Records, Write, check_version, in_tx};
use crate::domain::extras::Object;
use crate::domain::text;
use crate::error::CrmError;

/// What a view shows.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "named and meant as in the contract")]
pub struct ViewQuery {
    pub filter: BTreeMap<String, String>,
    pub tree: Option<Map<String, Value>>,
    pub sort: Option<String>,
    pub columns: Vec<String>,
}

/// A saved view.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "named and meant as in the contract")]
pub struct View {
    pub id: Uuid,
    pub object: Object,
    pub name: String,
    pub shared: bool,
    pub created_by: String,
    pub query: ViewQuery,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i64,
}

/// What a person changes of a view; `None` stays.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "named and meant as in the contract")]
pub struct ViewEdit {
    pub name: Option<String>,
    pub shared: Option<bool>,
    pub query: Option<ViewQuery>,
}

#[derive(Debug, FromRow)]
struct Row {
    id: Uuid,
    object: String,
    name: String,
    shared: bool,
    created_by: String,
    filter: Json<BTreeMap<String, String>>,
    where_tree: Option<Json<Map<String, Value>>>,
    sort: Option<String>,
    columns: Vec<String>,
    created_at: Ts,
    updated_at: Ts,
    version: i64,
}

impl TryFrom<Row> for View {
    type Error = CrmError;

    fn try_from(row: Row) -> Result<Self, CrmError> {
        let object = Object::parse(&row.object);
        Ok(Self {
            object: object.ok_or_else(|| CrmError::Corrupt(format!("view {}, object", row.id)))?,
            id: row.id,
            name: row.name,
            shared: row.shared,
            created_by: row.created_by,
            query: ViewQuery {
                filter: row.filter.0,
                tree: row.where_tree.map(|tree| tree.0),
                sort: row.sort,
                columns: row.columns,
            },
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            version: row.version,
        })
    }
}

/// `viewer` is a hidden filter: who asks.
const SPEC: ListSpec = ListSpec {
    table: "views",
    columns: "t.id, t.object, t.name, t.shared, t.created_by, t.filter, t.where_tree, t.sort, t.columns, t.created_at, \
              t.updated_at, t.version",
    condition: None,
    filters: &[
        Filter {
            name: "object",
            kind: Kind::OneOf(&["account", "contact", "deal"]),
            matches: Match::Eq("object"),
        },
        Filter {
            name: "shared",
            kind: Kind::Bool,
            matches: Match::Eq("shared"),
        },
        Filter {
            name: "viewer#",
            kind: Kind::Text,
            matches: Match::Sql("(t.shared OR t.created_by = {})"),
        },
    ],
    sorts: &[
        Sort {
            name: "name",
            column: "name_key",
            kind: SortKind::Text,
            nullable: false,
        },
        Sort {
            name: "createdAt",
            column: "created_at",
            kind: SortKind::Time,
            nullable: false,
        },
    ],
    default_sort: "name",
};

async fn find(tx: &mut Tx, scope: &OrgScope, by: &str, id: Uuid) -> Result<View, CrmError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT id, object, name, shared, created_by, filter, where_tree, sort, columns, created_at, updated_at, version \
         FROM views WHERE org_id = $1 AND id = $2 AND (shared OR created_by = $3) FOR UPDATE",
    )
    .bind(scope.uuid())
    .bind(id)
    .bind(by)
    .fetch_optional(&mut **tx)
    .await?;
    row.ok_or(CrmError::NotFound("view"))?.try_into()
}

async fn save(tx: &mut Tx, scope: &OrgScope, view: &View) -> Result<(), CrmError> {
    let done = sqlx::query(
        "INSERT INTO views (org_id, id, object, name, name_key, shared, created_by, filter, where_tree, sort, columns, \
         created_at, updated_at, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
         ON CONFLICT (org_id, id) DO UPDATE SET name = excluded.name, name_key = excluded.name_key, \
         shared = excluded.shared, filter = excluded.filter, where_tree = excluded.where_tree, sort = excluded.sort, \
         columns = excluded.columns, updated_at = excluded.updated_at, version = excluded.version",
    )
    .bind(scope.uuid())
    .bind(view.id)
    .bind(view.object.name())
    .bind(&view.name)
    .bind(text::sort_key(&view.name))
    .bind(view.shared)
    .bind(&view.created_by)
    .bind(Json(&view.query.filter))
    .bind(view.query.tree.as_ref().map(Json))
    .bind(&view.query.sort)
    .bind(&view.query.columns)
    .bind(view.created_at.to_sqlx())
    .bind(view.updated_at.to_sqlx())
    .bind(view.version)
    .execute(&mut **tx)
    .await;
    match done.map_err(::store::StoreError::from) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.class(), Class::Unique { .. }) => {
            Err(conflict("you have a view of this name already"))
        }
        Err(error) => Err(error.into()),
    }
}

impl Records {
    /// A page of the views that `by` sees.
    ///
    /// # Errors
    /// A request that is not valid, or of the database.
    pub async fn list_views(
        &self,
        scope: &OrgScope,
        by: &str,
        request: &ListRequest<'_>,
    ) -> Result<Page<View>, CrmError> {
        let mut request = request.clone();
        request.filters.retain(|(name, _)| !name.contains('#'));
        request.filters.push(("viewer#".to_owned(), by.to_owned()));
        self.page::<Row, View>(&SPEC, scope, "ListViews", &request).await
    }

    /// One view that `by` sees.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], or of the database.
    pub async fn view(&self, scope: &OrgScope, by: &str, id: Uuid) -> Result<View, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let found = find(&mut tx, scope, by, id).await;
        tx.rollback().await;
        found
    }

    /// Checks what a view shows against its list, by asking the list.
    ///
    /// # Errors
    /// What the list refuses.
    pub async fn check_view(
        &self,
        scope: &OrgScope,
        object: Object,
        query: &ViewQuery,
    ) -> Result<(), CrmError> {
        let request = ListRequest {
            limit: Some(1),
            cursor: None,
            sort: query.sort.as_deref(),
            filters: query.filter.clone().into_iter().collect(),
            include: None,
        };
        let tree = query.tree.as_ref();
        match object {
            Object::Account => self.list_accounts(scope, &request, tree).await.map(drop),
            Object::Contact => self.list_contacts(scope, &request, tree).await.map(drop),
            Object::Deal => self.list_deals(scope, &request, tree).await.map(drop),
        }
    }

    /// Saves a new view.
    ///
    /// # Errors
    /// A conflict of names, or of the database.
    pub async fn create_view(
        &self,
        write: &Write,
        object: Object,
        (name, shared): (String, bool),
        query: &ViewQuery,
    ) -> Result<View, CrmError> {
        let now = self.now();
        let view = View {
            id: self.ids.next(),
            object,
            name,
            shared,
            created_by: write.by.clone(),
            query: query.clone(),
            created_at: now,
            updated_at: now,
            version: 1,
        };
        let view = &view;
        self.write(
            write,
            in_tx!(tx => {
                save(tx, &write.scope, view).await?;
                Ok(view.clone())
            }),
        )
        .await
    }

    /// Saves other values of a view. `over` says that the caller may also change what others share.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], a view of somebody else's, a conflict of names, or of the database.
    pub async fn edit_view(
        &self,
        write: &Write,
        id: Uuid,
        (edit, over): (&ViewEdit, bool),
        if_version: Option<i64>,
    ) -> Result<View, CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let before = owned(tx, write, id, over).await?;
                check_version(before.version, if_version)?;
                let mut view = before.clone();
                view.name = edit.name.clone().unwrap_or(view.name);
                view.shared = edit.shared.unwrap_or(view.shared);
                view.query = edit.query.clone().unwrap_or(view.query);
                if view == before {
                    return Ok(view);
                }
                view.version += 1;
                view.updated_at = self.now();
                save(tx, &write.scope, &view).await?;
                Ok(view)
            }),
        )
        .await
    }

    /// Deletes a view.
    ///
    /// # Errors
    /// As [`Records::edit_view`].
    pub async fn delete_view(
        &self,
        write: &Write,
        id: Uuid,
        over: bool,
        if_version: Option<i64>,
    ) -> Result<(), CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let view = owned(tx, write, id, over).await?;
                check_version(view.version, if_version)?;
                sqlx::query("DELETE FROM views WHERE org_id = $1 AND id = $2")
                    .bind(write.scope.uuid())
                    .bind(id)
                    .execute(&mut **tx)
                    .await?;
                Ok(())
            }),
        )
        .await
    }
}

/// The view, if the caller may change it.
async fn owned(tx: &mut Tx, write: &Write, id: Uuid, over: bool) -> Result<View, CrmError> {
    let view = find(tx, &write.scope, &write.by, id).await?;
    if view.created_by == write.by || over {
        return Ok(view);
    }
    let message = "the view was saved by somebody else";
    let error = errors::ApiError::new(errors::ErrorCode::PermissionDenied, message);
    Err(CrmError::Api(error))
}
