//! Files of imports: as they come, and as chunks of rows.

use std::collections::BTreeMap;

use ::store::{OrgScope, ToSqlx as _, Tx};
use sqlx::types::Json;
use uuid::Uuid;

use super::imports::{Import, find};
use super::{Records, Write, custom_fields};
use crate::domain::custom::Definition;
use crate::domain::extras::Object;
use crate::domain::transfer::mapping::Column;
use crate::domain::transfer::shred::{self, Chunk};
use crate::error::CrmError;

/// Chunks written by one statement.
const AT_ONCE: usize = 8;

/// What a file turned out to be.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "named and meant as in the contract")]
pub struct Found {
    pub layout: &'static str,
    pub encoding: &'static str,
    pub separator: char,
    pub bytes: i64,
    pub rows: i64,
    pub chunks: i32,
    pub columns: Vec<Column>,
}

fn packed(bytes: &[u8]) -> Result<Vec<u8>, CrmError> {
    contracts::codec::compress(bytes).map_err(|error| CrmError::Corrupt(error.to_string()))
}

pub(super) fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, CrmError> {
    contracts::codec::decompress(bytes).map_err(|error| CrmError::Corrupt(error.to_string()))
}

impl Records {
    /// Begins an upload; readers do not see it yet.
    ///
    /// # Errors
    /// Of the database.
    pub async fn begin_upload(
        &self,
        write: &Write,
        object: Object,
        file_name: Option<&str>,
    ) -> Result<Uuid, CrmError> {
        let id = self.ids.next();
        let mut tx = self.db.begin(&write.scope).await?;
        sqlx::query(
            "INSERT INTO imports (org_id, id, object, state, file_name, created_by, created_at, updated_at, version) \
             VALUES ($1, $2, $3, 'uploading', $4, $5, $6, $6, 0)",
        )
        .bind(write.scope.uuid())
        .bind(id)
        .bind(object.name())
        .bind(file_name)
        .bind(&write.by)
        .bind(self.now().to_sqlx())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Keeps a part of the file as it came.
    ///
    /// # Errors
    /// Of the database.
    pub async fn keep_part(
        &self,
        scope: &OrgScope,
        import: Uuid,
        part: i32,
        bytes: &[u8],
    ) -> Result<(), CrmError> {
        let content = packed(bytes)?;
        let mut tx = self.db.begin(scope).await?;
        sqlx::query("INSERT INTO import_parts (org_id, import_id, part, content) VALUES ($1, $2, $3, $4)")
            .bind(scope.uuid())
            .bind(import)
            .bind(part)
            .bind(content)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// A part of the file; it is gone afterwards.
    ///
    /// # Errors
    /// Of the database.
    pub async fn take_part(&self, scope: &OrgScope, import: Uuid, part: i32) -> Result<Vec<u8>, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let content: Vec<u8> = sqlx::query_scalar(
            "DELETE FROM import_parts WHERE org_id = $1 AND import_id = $2 AND part = $3 RETURNING content",
        )
        .bind(scope.uuid())
        .bind(import)
        .bind(part)
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        unpacked(&content)
    }

    /// Keeps chunks of rows; the first has this number.
    ///
    /// # Errors
    /// Of the database.
    pub async fn keep_chunks(
        &self,
        scope: &OrgScope,
        import: Uuid,
        first: i32,
        chunks: &[Chunk],
    ) -> Result<(), CrmError> {
        let mut number = first;
        for some in chunks.chunks(AT_ONCE) {
            let mut contents = Vec::with_capacity(some.len());
            for chunk in some {
                contents.push(packed(&chunk.csv)?);
            }
            let rows = |chunk: &Chunk| i32::try_from(chunk.rows).unwrap_or(i32::MAX);
            let mut tx = self.db.begin(scope).await?;
            sqlx::query(
                "INSERT INTO import_chunks (org_id, import_id, chunk, first_row, rows, content) \
                 SELECT $1, $2, $3 + c.place::int - 1, c.first_row, c.rows, c.content \
                 FROM unnest($4::bigint[], $5::int[], $6::bytea[]) WITH ORDINALITY c (first_row, rows, content, place)",
            )
            .bind(scope.uuid())
            .bind(import)
            .bind(number)
            .bind(some.iter().map(|chunk| chunk.first_row).collect::<Vec<_>>())
            .bind(some.iter().map(rows).collect::<Vec<_>>())
            .bind(contents)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            number += i32::try_from(some.len()).unwrap_or(0);
        }
        Ok(())
    }

    /// Ends an upload: from now on there is an import.
    ///
    /// # Errors
    /// Of the database.
    pub async fn end_upload(&self, scope: &OrgScope, id: Uuid, found: &Found) -> Result<Import, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        sqlx::query(
            "UPDATE imports SET state = 'uploaded', layout = $3, encoding = $4, separator = $5, bytes = $6, rows = $7, \
             chunks = $8, columns = $9, options = $10, updated_at = $11, version = 1 WHERE org_id = $1 AND id = $2",
        )
        .bind(scope.uuid())
        .bind(id)
        .bind(found.layout)
        .bind(found.encoding)
        .bind(found.separator.to_string())
        .bind(found.bytes)
        .bind(found.rows)
        .bind(found.chunks)
        .bind(Json(&found.columns))
        .bind(Json(crate::domain::transfer::mapping::Options::default()))
        .bind(self.now().to_sqlx())
        .execute(&mut *tx)
        .await?;
        let import = find(&mut tx, scope, id, false).await?;
        tx.commit().await?;
        Ok(import)
    }

    /// Forgets an upload that failed.
    ///
    /// # Errors
    /// Of the database.
    pub async fn give_upload_up(&self, scope: &OrgScope, id: Uuid) -> Result<(), CrmError> {
        let mut tx = self.db.begin(scope).await?;
        sqlx::query("DELETE FROM imports WHERE org_id = $1 AND id = $2 AND state = 'uploading'")
            .bind(scope.uuid())
            .bind(id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets uploads that nobody ended.
    ///
    /// # Errors
    /// Of the database.
    pub async fn forget_uploads(&self, before: jiff::Timestamp) -> Result<u64, CrmError> {
        let mut tx = self.pipeline.begin().await?;
        let done = sqlx::query("DELETE FROM imports WHERE state = 'uploading' AND created_at < $1")
            .bind(before.to_sqlx())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// The domains of accounts.
    ///
    /// # Errors
    /// Of the database.
    pub async fn domains_of(
        &self,
        scope: &OrgScope,
        accounts: &[ids::AccountId],
    ) -> Result<BTreeMap<Uuid, String>, CrmError> {
        let ids: Vec<Uuid> = accounts.iter().map(|id| id.uuid()).collect();
        let mut tx = self.db.begin(scope).await?;
        let rows: Vec<(Uuid, String)> = sqlx::query_as(
            "SELECT id, domain FROM accounts WHERE org_id = $1 AND id = ANY($2) AND recorded AND domain IS NOT NULL",
        )
        .bind(scope.uuid())
        .bind(ids)
        .fetch_all(&mut *tx)
        .await?;
        tx.rollback().await;
        Ok(rows.into_iter().collect())
    }

    /// The definitions of own fields of a kind of records.
    ///
    /// # Errors
    /// Of the database.
    pub async fn own_fields(
        &self,
        scope: &OrgScope,
        object: Object,
    ) -> Result<BTreeMap<String, Definition>, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let own = custom_fields::definitions(&mut tx, scope, object).await?;
        tx.rollback().await;
        Ok(own)
    }

    /// The rows of a chunk with their numbers.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], or of the database.
    pub async fn chunk_rows(
        &self,
        scope: &OrgScope,
        import: Uuid,
        chunk: i32,
    ) -> Result<Vec<(i64, csv::StringRecord)>, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let rows = rows_of(&mut tx, scope, import, chunk).await?;
        tx.rollback().await;
        Ok(rows)
    }
}

/// See [`Records::chunk_rows`].
pub(super) async fn rows_of(
    tx: &mut Tx,
    scope: &OrgScope,
    import: Uuid,
    chunk: i32,
) -> Result<Vec<(i64, csv::StringRecord)>, CrmError> {
    let found: Option<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT first_row, content FROM import_chunks WHERE org_id = $1 AND import_id = $2 AND chunk = $3",
    )
    .bind(scope.uuid())
    .bind(import)
    .bind(chunk)
    .fetch_optional(&mut **tx)
    .await?;
    let (first, content) = found.ok_or(CrmError::NotFound("chunk of the import"))?;
    let corrupt = |error: csv::Error| CrmError::Corrupt(format!("import {import}, chunk {chunk}: {error}"));
    let rows = shred::rows(&unpacked(&content)?).map_err(corrupt)?;
    Ok((first..).zip(rows).collect())
}
