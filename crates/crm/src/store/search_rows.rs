//! Rows of `search_documents`.
//!
//! Contract: they say what the records say, because whatever tells of a change writes them in the same transaction, see
//! [`super::telling`].

use ::store::{OrgScope, ToSqlx as _, Tx};
use sqlx::FromRow;
use uuid::Uuid;

use super::arrays;
use super::history::{KEEP, Version};
use crate::domain::search::{Document, Kind, of_document};
use crate::error::CrmError;

/// A row of `search_documents` without its terms.
#[derive(Debug, FromRow)]
pub(super) struct DocumentRow {
    id: Uuid,
    kind: String,
    object: Option<String>,
    title: String,
    names: Vec<String>,
    texts: Vec<String>,
}

/// The columns of [`DocumentRow`].
pub(super) const COLUMNS: &str = "id, kind, object, title, names, texts";

impl TryFrom<DocumentRow> for Document {
    type Error = CrmError;

    fn try_from(row: DocumentRow) -> Result<Self, CrmError> {
        let kind = Kind::parse(&row.kind)
            .ok_or_else(|| CrmError::Corrupt(format!("search document {}, kind", row.id)))?;
        Ok(Self {
            kind,
            id: row.id,
            object: row.object,
            title: row.title,
            fields: row.names.into_iter().zip(row.texts).collect(),
        })
    }
}

/// Writes the document of one record.
pub(super) async fn save(tx: &mut Tx, scope: &OrgScope, document: &Document) -> Result<(), CrmError> {
    save_with(tx, scope, document, None).await
}

/// Writes the document of one record, and in the same statement a version of it, whose id is given.
pub(super) async fn save_with(
    tx: &mut Tx,
    scope: &OrgScope,
    document: &Document,
    version: Option<(Uuid, &Version)>,
) -> Result<(), CrmError> {
    let (names, texts): (Vec<&str>, Vec<&str>) = document
        .fields
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .unzip();
    let statement = match version {
        Some(_) => format!("WITH kept AS ({KEEP}) {SAVE}"),
        None => SAVE.to_owned(),
    };
    let mut query = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(scope.uuid())
        .bind(document.id)
        .bind(document.kind.name())
        .bind(&document.object)
        .bind(&document.title)
        .bind(names)
        .bind(texts)
        .bind(of_document(scope.org(), document));
    if let Some((id, version)) = version {
        let (record, at, account, state) = version.parts();
        query = query
            .bind(record)
            .bind(id)
            .bind(version.kind())
            .bind(at.to_sqlx())
            .bind(account)
            .bind(state);
    }
    query.execute(&mut **tx).await?;
    Ok(())
}

const SAVE: &str = "INSERT INTO search_documents (org_id, id, kind, object, title, names, texts, terms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
     ON CONFLICT (org_id, id) DO UPDATE SET title = excluded.title, names = excluded.names, \
     texts = excluded.texts, terms = excluded.terms \
     WHERE (search_documents.title, search_documents.names, search_documents.texts) \
     IS DISTINCT FROM (excluded.title, excluded.names, excluded.texts)";

/// Writes the documents of many records of one organization with one statement. Those that are there stay if `keep`, else they
/// are replaced.
pub(super) async fn save_many(
    tx: &mut Tx,
    scope: &OrgScope,
    documents: &[Document],
    keep: bool,
) -> Result<(), CrmError> {
    if documents.is_empty() {
        return Ok(());
    }
    let mut columns = Columns::default();
    for document in documents {
        columns.push(scope, document);
    }
    let on_conflict = if keep {
        "DO NOTHING"
    } else {
        "DO UPDATE SET title = excluded.title, names = excluded.names, texts = excluded.texts, terms = excluded.terms"
    };
    // Arrays of arrays cannot be taken apart by unnest: the inner ones travel as text.
    let statement = format!(
        "INSERT INTO search_documents (org_id, id, kind, object, title, names, texts, terms) \
         SELECT $1, d.id, d.kind, d.object, d.title, d.names::text[], d.texts::text[], d.terms::int[] \
         FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) \
         d (id, kind, object, title, names, texts, terms) ON CONFLICT (org_id, id) {on_conflict}"
    );
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(scope.uuid())
        .bind(columns.ids)
        .bind(columns.kinds)
        .bind(columns.objects)
        .bind(columns.titles)
        .bind(columns.names)
        .bind(columns.texts)
        .bind(columns.terms)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

#[derive(Debug, Default)]
struct Columns {
    ids: Vec<Uuid>,
    kinds: Vec<&'static str>,
    objects: Vec<Option<String>>,
    titles: Vec<String>,
    names: Vec<String>,
    texts: Vec<String>,
    terms: Vec<String>,
}

impl Columns {
    fn push(&mut self, scope: &OrgScope, document: &Document) {
        self.ids.push(document.id);
        self.kinds.push(document.kind.name());
        self.objects.push(document.object.clone());
        self.titles.push(document.title.clone());
        let fields = || document.fields.iter();
        self.names
            .push(arrays::of_texts(fields().map(|(name, _)| name.as_str())));
        self.texts
            .push(arrays::of_texts(fields().map(|(_, text)| text.as_str())));
        self.terms
            .push(arrays::of_numbers(&of_document(scope.org(), document)));
    }
}

/// Removes the documents of records that are no more.
pub(super) async fn remove(tx: &mut Tx, scope: &OrgScope, ids: &[Uuid]) -> Result<(), CrmError> {
    sqlx::query("DELETE FROM search_documents WHERE org_id = $1 AND id = ANY($2)")
        .bind(scope.uuid())
        .bind(ids)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
