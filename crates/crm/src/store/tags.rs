//! Tags, and the records that bear them.

use ::store::list::{ListRequest, ListSpec, Sort, SortKind};
use ::store::paging::Page;
use ::store::{Class, OrgScope, ToSqlx as _, Ts, Tx};
use jiff::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

use super::custom_fields::conflict;
use super::{Did, Records, Write, check_version, in_tx};
use crate::domain::extras::{MAX_TAGS, Object, tag_key};
use crate::error::CrmError;

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Its id.
    pub id: Uuid,
    /// The word.
    pub name: String,
    /// `#rrggbb`.
    pub color: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts up with every change.
    pub version: i64,
}

#[derive(Debug, FromRow)]
struct Row {
    id: Uuid,
    name: String,
    color: Option<String>,
    created_at: Ts,
    updated_at: Ts,
    version: i64,
}

impl TryFrom<Row> for Tag {
    type Error = CrmError;

    fn try_from(row: Row) -> Result<Self, CrmError> {
        Ok(Self {
            id: row.id,
            name: row.name,
            color: row.color,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            version: row.version,
        })
    }
}

const SPEC: ListSpec = ListSpec {
    table: "tags",
    columns: "t.id, t.name, t.color, t.created_at, t.updated_at, t.version",
    condition: None,
    filters: &[],
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

/// What a person changes of a tag; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct TagEdit {
    /// The word.
    pub name: Option<String>,
    /// The colour; `Some(None)` removes.
    pub color: Option<Option<String>>,
}

async fn find(tx: &mut Tx, scope: &OrgScope, id: Uuid) -> Result<Tag, CrmError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT id, name, color, created_at, updated_at, version FROM tags WHERE org_id = $1 AND id = $2 FOR UPDATE",
    )
    .bind(scope.uuid())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await?;
    row.ok_or(CrmError::NotFound("tag"))?.try_into()
}

async fn save(tx: &mut Tx, scope: &OrgScope, tag: &Tag) -> Result<(), CrmError> {
    let done = sqlx::query(
        "INSERT INTO tags (org_id, id, name, name_key, color, created_at, updated_at, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (org_id, id) DO UPDATE SET name = excluded.name, \
         name_key = excluded.name_key, color = excluded.color, updated_at = excluded.updated_at, \
         version = excluded.version",
    )
    .bind(scope.uuid())
    .bind(tag.id)
    .bind(&tag.name)
    .bind(tag_key(&tag.name))
    .bind(&tag.color)
    .bind(tag.created_at.to_sqlx())
    .bind(tag.updated_at.to_sqlx())
    .bind(tag.version)
    .execute(&mut **tx)
    .await;
    match done.map_err(::store::StoreError::from) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.class(), Class::Unique { .. }) => {
            Err(conflict("a tag of this name exists already"))
        }
        Err(error) => Err(error.into()),
    }
}

/// The table of a kind of records.
fn table(object: Object) -> &'static str {
    match object {
        Object::Account => "accounts",
        Object::Contact => "contacts",
        Object::Deal => "deals",
    }
}

impl Records {
    /// A page of tags.
    ///
    /// # Errors
    /// A request that is not valid, or of the database.
    pub async fn list_tags(
        &self,
        scope: &OrgScope,
        request: &ListRequest<'_>,
    ) -> Result<Page<Tag>, CrmError> {
        self.page::<Row, Tag>(&SPEC, scope, "ListTags", request).await
    }

    /// One tag.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], or of the database.
    pub async fn tag(&self, scope: &OrgScope, id: Uuid) -> Result<Tag, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let found = find(&mut tx, scope, id).await;
        tx.rollback().await;
        found
    }

    /// Makes a tag.
    ///
    /// # Errors
    /// A conflict of names, or of the database.
    pub async fn create_tag(&self, write: &Write, name: &str, color: Option<&str>) -> Result<Tag, CrmError> {
        let now = self.now();
        let tag = Tag {
            id: self.ids.next(),
            name: name.to_owned(),
            color: color.map(str::to_owned),
            created_at: now,
            updated_at: now,
            version: 1,
        };
        let tag = &tag;
        self.write(
            write,
            in_tx!(tx => {
                save(tx, &write.scope, tag).await?;
                Ok(tag.clone())
            }),
        )
        .await
    }

    /// Changes a tag, in every record that bears it.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], a conflict of names, or of the database.
    pub async fn edit_tag(
        &self,
        write: &Write,
        id: Uuid,
        edit: &TagEdit,
        if_version: Option<i64>,
    ) -> Result<Tag, CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let before = find(tx, &write.scope, id).await?;
                check_version(before.version, if_version)?;
                let mut tag = before.clone();
                if let Some(name) = &edit.name {
                    tag.name.clone_from(name);
                }
                if let Some(color) = &edit.color {
                    tag.color.clone_from(color);
                }
                if tag == before {
                    return Ok(tag);
                }
                tag.updated_at = self.now();
                tag.version += 1;
                save(tx, &write.scope, &tag).await?;
                if tag.name != before.name {
                    self.rename_everywhere(tx, &write.scope, id, &before.name, Some(&tag.name))
                        .await?;
                }
                Ok(tag)
            }),
        )
        .await
    }

    /// Deletes a tag, and takes it off every record.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], or of the database.
    pub async fn delete_tag(&self, write: &Write, id: Uuid, if_version: Option<i64>) -> Result<(), CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let tag = find(tx, &write.scope, id).await?;
                check_version(tag.version, if_version)?;
                self.rename_everywhere(tx, &write.scope, id, &tag.name, None)
                    .await?;
                sqlx::query("DELETE FROM tags WHERE org_id = $1 AND id = $2")
                    .bind(write.scope.uuid())
                    .bind(id)
                    .execute(&mut **tx)
                    .await?;
                Ok(())
            }),
        )
        .await
    }

    /// One statement per kind of records. Tells of nothing: the tag changed, not what the records are.
    async fn rename_everywhere(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        tag: Uuid,
        before: &str,
        after: Option<&str>,
    ) -> Result<(), CrmError> {
        for object in Object::ALL {
            let change = if after.is_some() {
                "array_replace(t.tags, $4, $5)"
            } else {
                "array_remove(t.tags, coalesce($4, $5))"
            };
            let sql = format!(
                "UPDATE {} t SET tags = {change}, version = t.version + 1, updated_at = $6 FROM record_tags r \
                 WHERE r.org_id = $1 AND r.tag_id = $2 AND r.object = $3 AND t.org_id = $1 AND t.id = r.record_id",
                table(object)
            );
            sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(scope.uuid())
                .bind(tag)
                .bind(object.name())
                .bind(before)
                .bind(after)
                .bind(self.now().to_sqlx())
                .execute(&mut **tx)
                .await?;
        }
        Ok(())
    }

    /// Marks records with a tag, or takes it off. One verdict per id, in order: what it did, or why not.
    ///
    /// # Errors
    /// [`CrmError::NotFound`] for the tag, or of the database; nothing is changed then.
    pub async fn mark(
        &self,
        write: &Write,
        tag: Uuid,
        object: Object,
        ids: &[Uuid],
        on: bool,
    ) -> Result<Vec<Result<Did, CrmError>>, CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let tag = find(tx, &write.scope, tag).await?;
                let mut verdicts = Vec::with_capacity(ids.len());
                // In one order, so that two who mark the same records wait for each other without a circle.
                let mut order: Vec<usize> = (0..ids.len()).collect();
                order.sort_by_key(|place| ids[*place]);
                for place in order {
                    let verdict = self
                        .mark_one(tx, &write.scope, &tag, object, ids[place], on)
                        .await;
                    match verdict {
                        Err(error @ CrmError::Store(_)) => return Err(error),
                        verdict => verdicts.push((place, verdict)),
                    }
                }
                verdicts.sort_by_key(|(place, _)| *place);
                Ok(verdicts.into_iter().map(|(_, verdict)| verdict).collect())
            }),
        )
        .await
    }

    async fn mark_one(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        tag: &Tag,
        object: Object,
        id: Uuid,
        on: bool,
    ) -> Result<Did, CrmError> {
        let recorded = if object == Object::Deal {
            "true"
        } else {
            "t.recorded"
        };
        let sql = format!(
            "SELECT t.tags FROM {} t WHERE t.org_id = $1 AND t.id = $2 AND {recorded} FOR UPDATE",
            table(object)
        );
        let tags: Option<Vec<String>> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(scope.uuid())
            .bind(id)
            .fetch_optional(&mut **tx)
            .await?;
        let mut tags = tags.ok_or(CrmError::NotFound(object.name()))?;
        if tags.contains(&tag.name) == on {
            return Ok(Did::Noop);
        }
        if on && tags.len() >= MAX_TAGS {
            return Err(conflict("the record has 50 tags already"));
        }
        let statement = if on {
            tags.push(tag.name.clone());
            "INSERT INTO record_tags (org_id, tag_id, object, record_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
        } else {
            tags.retain(|name| *name != tag.name);
            "DELETE FROM record_tags WHERE org_id = $1 AND tag_id = $2 AND object = $3 AND record_id = $4"
        };
        sqlx::query(statement)
            .bind(scope.uuid())
            .bind(tag.id)
            .bind(object.name())
            .bind(id)
            .execute(&mut **tx)
            .await?;
        let sql = format!(
            "UPDATE {} SET tags = $3, version = version + 1, updated_at = $4 WHERE org_id = $1 AND id = $2",
            table(object)
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(scope.uuid())
            .bind(id)
            .bind(tags)
            .bind(self.now().to_sqlx())
            .execute(&mut **tx)
            .await?;
        self.tell_marked(tx, scope, object, id).await?;
        Ok(Did::Updated)
    }
}
