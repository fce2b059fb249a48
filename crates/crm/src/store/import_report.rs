//! What became of the rows of an import, row by row, in the order of the file.

use std::collections::HashMap;

use ::store::paging::{Cursor, Fingerprint, Page, PageRequest, invalid_cursor, invalid_parameter};
use ::store::{OrgScope, Tx};
use serde_json::json;
use uuid::Uuid;

use super::import_files::{rows_of, unpacked};
use super::import_undo::read_results;
use super::{Import, Records};
use crate::domain::transfer::result::{Outcome, RowResult, UndoResult};
use crate::error::CrmError;

/// A row with what became of it; both absent before it was its turn.
#[derive(Debug, Clone)]
pub struct Reported {
    /// Its number.
    pub row: i64,
    /// Its cells.
    pub cells: csv::StringRecord,
    /// What became of it.
    pub result: Option<RowResult>,
    /// What its undo left.
    pub undo: Option<UndoResult>,
}

/// Which rows to show.
#[derive(Debug, Clone, Copy, Default)]
pub struct RowFilter {
    /// Those with this outcome.
    pub outcome: Option<Outcome>,
    /// Those that were undone wholly (`true`), or not (`false`).
    pub undone: Option<bool>,
}

impl RowFilter {
    /// Reads the filters of a request.
    ///
    /// # Errors
    /// `invalid_parameter`
    pub fn read(filters: &[(String, String)]) -> Result<Self, CrmError> {
        let mut read = Self::default();
        for (name, value) in filters {
            let pointer = format!("?filter[{}]", name.chars().take(100).collect::<String>());
            let unknown =
                |message: &str| CrmError::Api(invalid_parameter(&pointer, "unknown", message.to_owned()));
            match name.as_str() {
                "outcome" => {
                    let names = "outcome is one of: created, updated, noop, ambiguous, error";
                    read.outcome = Some(Outcome::parse(value).ok_or_else(|| unknown(names))?);
                }
                "undo" => {
                    read.undone = Some(match value.as_str() {
                        "undone" => true,
                        "undo_conflict" => false,
                        _ => return Err(unknown("undo is undone or undo_conflict")),
                    });
                }
                _ => return Err(unknown("filters must be among: outcome, undo")),
            }
        }
        Ok(read)
    }

    fn is_none(&self) -> bool {
        self.outcome.is_none() && self.undone.is_none()
    }

    fn lets(&self, row: &Reported) -> bool {
        let outcome = self
            .outcome
            .is_none_or(|wanted| row.result.as_ref().is_some_and(|result| result.outcome == wanted));
        let undone = self.undone.is_none_or(|whole| {
            row.undo
                .as_ref()
                .is_some_and(|undo| undo.kept.is_empty() == whole)
        });
        outcome && undone
    }
}

impl Records {
    /// A page of rows.
    ///
    /// # Errors
    /// A request that is not valid, or of the database.
    pub async fn import_rows(
        &self,
        scope: &OrgScope,
        import: &Import,
        (limit, cursor): (Option<i32>, Option<&str>),
        filters: &[(String, String)],
    ) -> Result<Page<Reported>, CrmError> {
        let filter = RowFilter::read(filters)?;
        let method = format!("ListImportRows {}", import.id);
        let fingerprint = Fingerprint::new(scope.org(), &method, "row", filters);
        let page = PageRequest::parse(limit, cursor, fingerprint)?;
        let after = match &page.after {
            None => 0,
            Some(Cursor(values)) => values
                .first()
                .and_then(serde_json::Value::as_i64)
                .ok_or_else(invalid_cursor)?,
        };
        let wanted = usize::try_from(page.fetch_limit()).unwrap_or(1);
        let mut rows: Vec<Reported> = Vec::new();
        let mut tx = self.db.begin(scope).await?;
        let mut chunk = chunk_at(&mut tx, scope, import.id, after + 1).await?;
        while let Some(number) = chunk {
            let all = reported(&mut tx, scope, import.id, number).await?;
            let fitting = all.into_iter().filter(|row| row.row > after && filter.lets(row));
            rows.extend(fitting.take(wanted - rows.len()));
            if rows.len() >= wanted {
                break;
            }
            chunk = next_chunk(&mut tx, scope, import.id, number, filter).await?;
        }
        tx.rollback().await;
        Ok(Page::of(rows, &page, fingerprint, |row| {
            Cursor(vec![json!(row.row)])
        }))
    }

    /// All rows of a chunk.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], or of the database.
    pub async fn reported_chunk(
        &self,
        scope: &OrgScope,
        import: Uuid,
        chunk: i32,
    ) -> Result<Vec<Reported>, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let rows = reported(&mut tx, scope, import, chunk).await;
        tx.rollback().await;
        rows
    }
}

async fn chunk_at(tx: &mut Tx, scope: &OrgScope, import: Uuid, row: i64) -> Result<Option<i32>, CrmError> {
    Ok(sqlx::query_scalar(
        "SELECT chunk FROM import_chunks WHERE org_id = $1 AND import_id = $2 AND first_row <= $3 \
         AND first_row + rows > $3 ORDER BY chunk LIMIT 1",
    )
    .bind(scope.uuid())
    .bind(import)
    .bind(row)
    .fetch_optional(&mut **tx)
    .await?)
}

/// The next chunk that has rows which fit.
async fn next_chunk(
    tx: &mut Tx,
    scope: &OrgScope,
    import: Uuid,
    chunk: i32,
    filter: RowFilter,
) -> Result<Option<i32>, CrmError> {
    if filter.is_none() {
        return Ok(sqlx::query_scalar(
            "SELECT min(chunk) FROM import_chunks WHERE org_id = $1 AND import_id = $2 AND chunk > $3",
        )
        .bind(scope.uuid())
        .bind(import)
        .bind(chunk)
        .fetch_one(&mut **tx)
        .await?);
    }
    let place = |place: Option<usize>| place.and_then(|at| i32::try_from(at + 1).ok());
    let outcome = filter
        .outcome
        .and_then(|wanted| Outcome::ALL.iter().position(|one| *one == wanted));
    Ok(sqlx::query_scalar(
        "SELECT min(chunk) FROM import_results WHERE org_id = $1 AND import_id = $2 AND chunk > $3 \
         AND ($4::int IS NULL OR counts[$4] > 0) AND ($5::int IS NULL OR undo_counts[$5] > 0)",
    )
    .bind(scope.uuid())
    .bind(import)
    .bind(chunk)
    .bind(place(outcome))
    .bind(place(filter.undone.map(|whole| usize::from(!whole))))
    .fetch_one(&mut **tx)
    .await?)
}

async fn reported(
    tx: &mut Tx,
    scope: &OrgScope,
    import: Uuid,
    chunk: i32,
) -> Result<Vec<Reported>, CrmError> {
    let kept: Vec<(Vec<u8>, Option<Vec<u8>>)> = sqlx::query_as(
        "SELECT content, undo_content FROM import_results WHERE org_id = $1 AND import_id = $2 AND chunk = $3",
    )
    .bind(scope.uuid())
    .bind(import)
    .bind(chunk)
    .fetch_all(&mut **tx)
    .await?;
    let mut results: HashMap<i64, RowResult> = HashMap::new();
    let mut undone: HashMap<i64, UndoResult> = HashMap::new();
    for (content, undo) in kept {
        results.extend(
            read_results(&content)?
                .into_iter()
                .map(|result| (result.row, result)),
        );
        if let Some(undo) = undo {
            let list: Vec<UndoResult> = serde_json::from_slice(&unpacked(&undo)?)
                .map_err(|error| CrmError::Corrupt(error.to_string()))?;
            undone.extend(list.into_iter().map(|one| (one.row, one)));
        }
    }
    let rows = rows_of(tx, scope, import, chunk).await?;
    let report = |(row, cells)| Reported {
        row,
        cells,
        result: results.remove(&row),
        undo: undone.remove(&row),
    };
    Ok(rows.into_iter().map(report).collect())
}
