//! Deals: recording, changing, moving and deleting them by hand, and reading them.

use std::collections::BTreeSet;

use ::store::{OrgScope, Tx};
use errors::FieldError;
use ids::{AccountId, ContactId};
use serde_json::{Map, json};
use uuid::Uuid;

use super::{Records, Write, check_version, deal_rows, entries, extras, in_tx, milestones, pipeline_rows};
use crate::domain::deal::{Deal, DealEdit, Move, Pipeline, Stage, Status};
use crate::domain::extras::{Extras, Object};
use crate::domain::work::{Line, Links};
use crate::error::CrmError;

/// Most contacts of a deal.
pub const MAX_CONTACTS: usize = 100;

fn invalid(pointer: &str, code: &str, message: &str) -> CrmError {
    CrmError::Invalid(vec![FieldError::new(pointer, code, message)])
}

impl Records {
    /// One deal.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], or of the database.
    pub async fn deal(&self, scope: &OrgScope, id: Uuid) -> Result<Deal, CrmError> {
        let mut tx = self.db.begin(scope).await?;
        let found = deal_rows::find(&mut tx, scope, id, false).await;
        tx.rollback().await;
        found
    }

    /// Records a deal.
    ///
    /// # Errors
    /// [`CrmError::Invalid`], or of the database; nothing is stored then.
    pub async fn create_deal(&self, write: &Write, edit: &DealEdit) -> Result<Deal, CrmError> {
        self.write(
            write,
            in_tx!(tx => { self.create_deal_in(tx, write, edit).await }),
        )
        .await
    }

    pub(super) async fn create_deal_in(
        &self,
        tx: &mut Tx,
        write: &Write,
        edit: &DealEdit,
    ) -> Result<Deal, CrmError> {
        let (scope, now) = (&write.scope, self.now());
        let account = edit.account.flatten();
        check_links(tx, scope, account, edit.contacts.as_deref()).await?;
        let pipeline = self.pipeline_of(tx, scope, edit.pipeline).await?;
        let (stage, reason) = match &edit.stage {
            Some(stage) => (stage_of(&pipeline, stage)?.clone(), edit.move_reason.clone()),
            None => milestones::begin(tx, scope, &pipeline, account).await?,
        };
        let resolved = self
            .resolve_extras(tx, scope, Object::Deal, None, &edit.extras)
            .await?;
        let mut deal = Deal {
            id: self.ids.next(),
            name: edit.name.clone().unwrap_or_default(),
            account,
            pipeline: pipeline.id,
            stage: stage.id,
            stage_key: stage.key.clone(),
            status: stage.kind,
            amount: None,
            expected_close_on: None,
            close_reason: None,
            closed_at: (stage.kind != Status::Open).then_some(now),
            stage_since: now,
            contacts: Vec::new(),
            extras: Extras::default(),
            created_at: now,
            updated_at: now,
            version: 1,
        };
        apply(&mut deal, edit, resolved.extras.clone());
        check_close(&deal)?;
        deal_rows::save(tx, scope, &deal).await?;
        deal_rows::save_contacts(tx, scope, &deal).await?;
        extras::index(tx, scope, Object::Deal, deal.id, None, &resolved).await?;
        self.tell_deal_created(tx, scope, &deal).await?;
        let made = self.new_move(&deal, String::new(), &write.by, reason.unwrap_or_default());
        self.note_move(tx, scope, &deal, &made).await?;
        Ok(deal)
    }

    /// Changes a deal, and moves it if another stage is given.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], [`CrmError::Invalid`], or of the database.
    pub async fn edit_deal(
        &self,
        write: &Write,
        id: Uuid,
        edit: &DealEdit,
        if_version: Option<i64>,
    ) -> Result<Deal, CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let before = deal_rows::find(tx, &write.scope, id, true).await?;
                check_version(before.version, if_version)?;
                self.edit_deal_in(tx, write, &before, edit).await
            }),
        )
        .await
    }

    pub(super) async fn edit_deal_in(
        &self,
        tx: &mut Tx,
        write: &Write,
        before: &Deal,
        edit: &DealEdit,
    ) -> Result<Deal, CrmError> {
        let (scope, now) = (&write.scope, self.now());
        check_links(tx, scope, edit.account.flatten(), edit.contacts.as_deref()).await?;
        let mut deal = before.clone();
        let mut from = None;
        if edit.stage.is_some() || edit.pipeline.is_some_and(|id| id != before.pipeline) {
            let pipeline = self
                .pipeline_of(tx, scope, Some(edit.pipeline.unwrap_or(before.pipeline)))
                .await?;
            let stage = match &edit.stage {
                Some(stage) => stage_of(&pipeline, stage)?,
                None => pipeline
                    .first(&[])
                    .ok_or_else(|| CrmError::Corrupt(format!("pipeline {}, stages", pipeline.id)))?,
            };
            from = deal.enter(stage, now);
            deal.pipeline = pipeline.id;
        }
        let resolved = self
            .resolve_extras(tx, scope, Object::Deal, Some(&before.extras), &edit.extras)
            .await?;
        apply(&mut deal, edit, resolved.extras.clone());
        check_close(&deal)?;
        let fields = before.differences(&deal);
        if fields.is_empty() {
            return Ok(deal);
        }
        deal.version += 1;
        deal.updated_at = deal.updated_at.max(now);
        deal_rows::save(tx, scope, &deal).await?;
        if before.contacts != deal.contacts {
            deal_rows::save_contacts(tx, scope, &deal).await?;
        }
        extras::index(tx, scope, Object::Deal, deal.id, Some(&before.extras), &resolved).await?;
        self.tell_deal_updated(tx, scope, &deal, fields).await?;
        if let Some(from) = from {
            let reason = edit.move_reason.clone().unwrap_or_default();
            let made = self.new_move(&deal, from, &write.by, reason);
            self.note_move(tx, scope, &deal, &made).await?;
            self.tell_deal_moved(tx, scope, &deal, &made).await?;
        }
        Ok(deal)
    }

    /// Deletes a deal with its history, and what is about it alone.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], or of the database.
    pub async fn delete_deal(
        &self,
        write: &Write,
        id: Uuid,
        if_version: Option<i64>,
    ) -> Result<(), CrmError> {
        self.write(write, in_tx!(tx => {
            let scope = &write.scope;
            let deal = deal_rows::find(tx, scope, id, true).await?;
            check_version(deal.version, if_version)?;
            sqlx::query(
                "DELETE FROM search_documents WHERE org_id = $1 AND id IN (SELECT n.id FROM notes n \
                 WHERE n.org_id = $1 AND n.deal_id = $2 AND n.account_id IS NULL AND n.contact_id IS NULL)",
            )
            .bind(scope.uuid())
            .bind(id)
            .execute(&mut **tx)
            .await?;
            for table in ["tasks", "activities", "notes"] {
                for statement in [
                    format!(
                        "DELETE FROM {table} WHERE org_id = $1 AND deal_id = $2 AND account_id IS NULL \
                         AND contact_id IS NULL"
                    ),
                    format!(
                        "UPDATE {table} SET deal_id = NULL, version = version + 1 WHERE org_id = $1 AND deal_id = $2"
                    ),
                ] {
                    sqlx::query(sqlx::AssertSqlSafe(statement))
                        .bind(scope.uuid())
                        .bind(id)
                        .execute(&mut **tx)
                        .await?;
                }
            }
            sqlx::query("DELETE FROM timeline_entries WHERE org_id = $1 AND (about = $2 OR record_id = $2)")
                .bind(scope.uuid())
                .bind(id)
                .execute(&mut **tx)
                .await?;
            extras::unindex(tx, scope, id).await?;
            sqlx::query("DELETE FROM deals WHERE org_id = $1 AND id = $2")
                .bind(scope.uuid())
                .bind(id)
                .execute(&mut **tx)
                .await?;
            self.tell_deal_deleted(tx, scope, id).await
        }))
        .await
    }

    /// The pipeline, or the default one; nobody changes its stages until the end of the transaction.
    async fn pipeline_of(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        id: Option<Uuid>,
    ) -> Result<Pipeline, CrmError> {
        let default = self.ensure_default_pipeline(tx, scope).await?;
        pipeline_rows::find(tx, scope, id.unwrap_or(default), Some("FOR SHARE"))
            .await?
            .ok_or_else(|| invalid("/pipelineId", "not_found", "there is no such pipeline"))
    }

    pub(super) fn new_move(&self, deal: &Deal, from: String, by: &str, reason: String) -> Move {
        Move {
            id: self.ids.next(),
            deal: deal.id,
            from,
            to: deal.stage_key.clone(),
            at: deal.stage_since,
            by: by.to_owned(),
            reason,
            account: deal.account,
        }
    }

    /// Keeps the move in the history and in the timelines of deal and account.
    pub(super) async fn note_move(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        deal: &Deal,
        made: &Move,
    ) -> Result<(), CrmError> {
        deal_rows::save_move(tx, scope, made).await?;
        let mut data = Map::new();
        data.insert("dealId".into(), json!(deal.id));
        data.insert("dealName".into(), json!(deal.name));
        data.insert("toStage".into(), json!(made.to));
        data.insert("movedBy".into(), json!(made.by));
        let is_first = made.from.is_empty();
        if !is_first {
            data.insert("fromStage".into(), json!(made.from));
        }
        if !made.reason.is_empty() {
            data.insert("reason".into(), json!(made.reason));
        }
        let line = Line {
            id: made.id,
            at: made.at,
            kind: if is_first { "deal_created" } else { "deal_moved" },
            title: if is_first {
                format!("{} begins in {}", deal.name, made.to)
            } else {
                format!("{}: {} → {}", deal.name, made.from, made.to)
            },
            data,
        };
        let links = Links {
            account: deal.account,
            contact: None,
            deal: Some(deal.id),
        };
        entries::add(tx, scope, deal.id, &links, &[line]).await
    }
}

/// Sets everything but the stage.
fn apply(deal: &mut Deal, edit: &DealEdit, extras: Extras) {
    if let Some(name) = &edit.name {
        deal.name.clone_from(name);
    }
    if let Some(account) = edit.account {
        deal.account = account;
    }
    if let Some(amount) = &edit.amount {
        deal.amount.clone_from(amount);
    }
    if let Some(day) = &edit.expected_close_on {
        deal.expected_close_on.clone_from(day);
    }
    if let Some(reason) = &edit.close_reason {
        deal.close_reason.clone_from(reason);
    }
    if let Some(contacts) = &edit.contacts {
        deal.contacts.clone_from(contacts);
    }
    deal.extras = extras;
}

fn check_close(deal: &Deal) -> Result<(), CrmError> {
    match (deal.status, &deal.close_reason) {
        (Status::Open, Some(_)) => Err(invalid(
            "/closeReason",
            "not_allowed",
            "only a deal that is won or lost has a reason for it",
        )),
        (Status::Lost, None) => Err(invalid(
            "/closeReason",
            "required",
            "a deal that is lost needs a reason",
        )),
        _ => Ok(()),
    }
}

fn stage_of<'a>(pipeline: &'a Pipeline, id_or_key: &str) -> Result<&'a Stage, CrmError> {
    pipeline
        .stage(id_or_key)
        .ok_or_else(|| invalid("/stage", "not_found", "there is no such stage in this pipeline"))
}

async fn check_links(
    tx: &mut Tx,
    scope: &OrgScope,
    account: Option<AccountId>,
    contacts: Option<&[ContactId]>,
) -> Result<(), CrmError> {
    if let Some(account) = account
        && !extras::exists(tx, scope, Object::Account, account.uuid()).await?
    {
        return Err(invalid("/accountId", "not_found", "there is no such account"));
    }
    let contacts = contacts.unwrap_or_default();
    if contacts.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = contacts.iter().map(|id| id.uuid()).collect();
    let known: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM contacts WHERE org_id = $1 AND id = ANY($2) AND recorded")
            .bind(scope.uuid())
            .bind(&ids)
            .fetch_all(&mut **tx)
            .await?;
    let known: BTreeSet<Uuid> = known.into_iter().collect();
    let problems: Vec<FieldError> = ids
        .iter()
        .enumerate()
        .filter(|(_, id)| !known.contains(id))
        .map(|(index, _)| {
            FieldError::new(
                format!("/contactIds/{index}"),
                "not_found",
                "there is no such contact",
            )
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(CrmError::Invalid(problems))
    }
}
