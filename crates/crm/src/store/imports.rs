//! Imports: what is known of each, and what people do with them.

use ::store::list::{Filter, Kind, ListRequest, ListSpec, Match, Sort, SortKind};
use ::store::paging::Page;
use ::store::{OrgScope, ToSqlx as _, Ts, Tx};
use errors::{ApiError, ErrorCode};
use jiff::Timestamp;
use sqlx::FromRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Records, Write, check_version, custom_fields, in_tx};
use crate::domain::extras::Object;
use crate::domain::transfer::mapping::{self, Column, Options};
use crate::error::CrmError;

/// An import as it is stored.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "named and meant as in the contract")]
pub struct Import {
    pub id: Uuid,
    pub object: Object,
    pub state: String,
    pub layout: String,
    pub encoding: String,
    pub separator: String,
    pub file_name: Option<String>,
    pub bytes: i64,
    pub rows: i64,
    /// How many chunks of rows there are.
    pub chunks: i32,
    pub columns: Vec<Column>,
    pub options: Options,
    /// Chunks that are done, or left when undoing.
    pub chunks_done: i32,
    pub rows_done: i64,
    pub failure: Option<String>,
    pub created_by: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i64,
    /// Rows by outcome, then undone and not undone.
    pub counts: [i64; 7],
}

macro_rules! import_columns {
    () => {
        "t.id, t.object, t.state, t.layout, t.encoding, t.separator, t.file_name, t.bytes, t.rows, t.chunks, t.columns, \
         t.options, t.chunks_done, t.rows_done, t.failure, t.created_by, t.created_at, t.updated_at, t.version, \
         (SELECT ARRAY[coalesce(sum(r.counts[1]), 0), coalesce(sum(r.counts[2]), 0), coalesce(sum(r.counts[3]), 0), \
          coalesce(sum(r.counts[4]), 0), coalesce(sum(r.counts[5]), 0), coalesce(sum(r.undo_counts[1]), 0), \
          coalesce(sum(r.undo_counts[2]), 0)]::bigint[] FROM import_results r \
          WHERE r.org_id = t.org_id AND r.import_id = t.id) AS counts"
    };
}

#[derive(Debug, FromRow)]
struct Row {
    id: Uuid,
    object: String,
    state: String,
    layout: String,
    encoding: String,
    separator: String,
    file_name: Option<String>,
    bytes: i64,
    rows: i64,
    chunks: i32,
    columns: Json<Vec<Column>>,
    options: Json<Options>,
    chunks_done: i32,
    rows_done: i64,
    failure: Option<String>,
    created_by: String,
    created_at: Ts,
    updated_at: Ts,
    version: i64,
    counts: Vec<i64>,
}

impl TryFrom<Row> for Import {
    type Error = CrmError;

    fn try_from(row: Row) -> Result<Self, CrmError> {
        let corrupt = |what: &str| CrmError::Corrupt(format!("import {}, {what}", row.id));
        Ok(Self {
            id: row.id,
            object: Object::parse(&row.object).ok_or_else(|| corrupt("object"))?,
            counts: row.counts.as_slice().try_into().map_err(|_| corrupt("counts"))?,
            state: row.state,
            layout: row.layout,
            encoding: row.encoding,
            separator: row.separator,
            file_name: row.file_name,
            bytes: row.bytes,
            rows: row.rows,
            chunks: row.chunks,
            columns: row.columns.0,
            options: row.options.0,
            chunks_done: row.chunks_done,
            rows_done: row.rows_done,
            failure: row.failure,
            created_by: row.created_by,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            version: row.version,
        })
    }
}

const SPEC: ListSpec = ListSpec {
    table: "imports",
    columns: import_columns!(),
    condition: Some("t.state <> 'uploading'"),
    filters: &[
        Filter {
            name: "object",
            kind: Kind::OneOf(&["account", "contact", "deal"]),
            matches: Match::Eq("object"),
        },
        Filter {
            name: "state",
            kind: Kind::OneOf(&[
                "uploaded",
                "committing",
                "committed",
                "cancelled",
                "undoing",
                "undone",
                "failed",
            ]),
            matches: Match::Eq("state"),
        },
    ],
    sorts: &[Sort {
        name: "createdAt",
        column: "created_at",
        kind: SortKind::Time,
        nullable: false,
    }],
    default_sort: "-createdAt",
};

/// What a person changes of an import; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct ImportEdit {
    /// Columns by place, with their fields.
    pub columns: Vec<(usize, Option<String>)>,
    /// Options.
    pub options: Option<Options>,
}

pub(super) async fn find(tx: &mut Tx, scope: &OrgScope, id: Uuid, lock: bool) -> Result<Import, CrmError> {
    if lock {
        sqlx::query("SELECT 1 FROM imports WHERE org_id = $1 AND id = $2 FOR UPDATE")
            .bind(scope.uuid())
            .bind(id)
            .execute(&mut **tx)
            .await?;
    }
    let row: Option<Row> = sqlx::query_as(concat!(
        "SELECT ",
        import_columns!(),
        " FROM imports t WHERE t.org_id = $1 AND t.id = $2 AND t.state <> 'uploading'"
    ))
    .bind(scope.uuid())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await?;
    row.ok_or(CrmError::NotFound("import"))?.try_into()
}

fn conflict(detail: String) -> CrmError {
    CrmError::Api(ApiError::new(ErrorCode::Conflict, detail))
}

impl Records {
    /// One import.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], or of the database.
    pub async fn import(&self, scope: &OrgScope, id: Uuid) -> Result<Import, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let found = find(&mut tx, scope, id, false).await;
        tx.rollback().await;
        found
    }

    /// A page of imports.
    ///
    /// # Errors
    /// A request that is not valid, or of the database.
    pub async fn list_imports(
        &self,
        scope: &OrgScope,
        request: &ListRequest<'_>,
    ) -> Result<Page<Import>, CrmError> {
        self.page::<Row, Import>(&SPEC, scope, "ListImports", request)
            .await
    }

    /// Changes mapping and options before the commit.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], [`CrmError::Invalid`], a conflict with the state, or of the database.
    pub async fn edit_import(
        &self,
        write: &Write,
        id: Uuid,
        edit: &ImportEdit,
        if_version: Option<i64>,
    ) -> Result<Import, CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let scope = &write.scope;
                let mut import = find(tx, scope, id, true).await?;
                check_version(import.version, if_version)?;
                if import.state != "uploaded" {
                    return Err(conflict(format!("the import is {}; its mapping is fixed", import.state)));
                }
                for (index, field) in &edit.columns {
                    let Some(column) = import.columns.get_mut(*index) else {
                        let error = ApiError::invalid("/columns", "out_of_range", format!("there is no column {index}"));
                        return Err(CrmError::Api(error));
                    };
                    column.field.clone_from(field);
                }
                import.options = edit.options.unwrap_or(import.options);
                let own = custom_fields::definitions(tx, scope, import.object).await?;
                mapping::check(import.object, &import.columns, &own).map_err(CrmError::Invalid)?;
                sqlx::query(
                    "UPDATE imports SET columns = $3, options = $4, updated_at = $5, version = version + 1 \
                     WHERE org_id = $1 AND id = $2",
                )
                .bind(scope.uuid())
                .bind(id)
                .bind(Json(&import.columns))
                .bind(Json(&import.options))
                .bind(self.now().to_sqlx())
                .execute(&mut **tx)
                .await?;
                find(tx, scope, id, false).await
            }),
        )
        .await
    }

    /// Moves an import to another state, if it is in one of `from`; it is there for a worker then.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], a conflict with the state, or of the database.
    pub async fn turn_import(
        &self,
        write: &Write,
        id: Uuid,
        (from, to): (&[&str], &str),
        if_version: Option<i64>,
    ) -> Result<Import, CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let scope = &write.scope;
                let import = find(tx, scope, id, true).await?;
                check_version(import.version, if_version)?;
                if !from.contains(&import.state.as_str()) {
                    return Err(conflict(format!("the import is {}", import.state)));
                }
                // An undo goes backwards from the last chunk that was begun.
                sqlx::query(
                    "UPDATE imports SET state = $3, leased_until = NULL, epoch = epoch + 1, failure = NULL, updated_at = $4, \
                     rows_done = CASE WHEN $3 = 'cancelled' THEN rows_done ELSE 0 END, \
                     chunks_done = CASE WHEN $3 = 'undoing' THEN chunks ELSE chunks_done END, version = version + 1 \
                     WHERE org_id = $1 AND id = $2",
                )
                .bind(scope.uuid())
                .bind(id)
                .bind(to)
                .bind(self.now().to_sqlx())
                .execute(&mut **tx)
                .await?;
                find(tx, scope, id, false).await
            }),
        )
        .await
    }

    /// Deletes an import that is not running.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], a conflict when it is running, or of the database.
    pub async fn delete_import(&self, write: &Write, id: Uuid) -> Result<(), CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let import = find(tx, &write.scope, id, true).await?;
                if matches!(import.state.as_str(), "committing" | "undoing") {
                    return Err(conflict(format!("the import is {}; cancel it first", import.state)));
                }
                sqlx::query("DELETE FROM imports WHERE org_id = $1 AND id = $2")
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
