//! One row of deals becomes a deal.

use ::store::Tx;
use ids::{AccountId, ContactId};
use uuid::Uuid;

use super::import_lane::Lane;
use super::import_records::{Refusal, added, one_of};
use super::{Records, Write, deal_rows, pipeline_rows};
use crate::domain::deal::{DealEdit, Pipeline, Stage, Status};
use crate::domain::extras::Object;
use crate::domain::text;
use crate::domain::transfer::layout::plain;
use crate::domain::transfer::result::{Outcome, Problem, RowResult};
use crate::domain::transfer::rows::DealRow;
use crate::domain::transfer::snapshot;
use crate::error::CrmError;

impl Records {
    pub(super) async fn one_deal(
        &self,
        tx: &mut Tx,
        lane: &Lane<'_>,
        write: &Write,
        number: i64,
        row: &DealRow,
    ) -> Result<RowResult, Refusal> {
        let scope = &write.scope;
        let account = lane.account(row.account.as_ref()).map_err(Refusal::Problem)?;
        let target = deal_of(tx, write, row, account).await?;
        let before = match target {
            Some(id) => Some(deal_rows::find(tx, scope, id, true).await?),
            None => None,
        };
        let mut edit = DealEdit {
            name: row.name.clone(),
            account: account.map(|id| Some(AccountId(id))),
            amount: row.amount.clone().map(Some),
            expected_close_on: row.expected_close_on.clone().map(Some),
            close_reason: row.close_reason.clone().map(Some),
            move_reason: Some("import".to_owned()),
            extras: row.common.extras.clone(),
            ..DealEdit::default()
        };
        let held = before.as_ref().map(|deal| deal.pipeline);
        self.place(tx, write, row, held, &mut edit).await?;
        if let Some(addresses) = &row.contacts {
            let mut contacts = before
                .as_ref()
                .map(|deal| deal.contacts.clone())
                .unwrap_or_default();
            for contact in contacts_of(tx, write, addresses).await? {
                if !contacts.contains(&contact) {
                    contacts.push(contact);
                }
            }
            edit.contacts = Some(contacts);
        }
        let Some(before) = before else {
            let deal = self.create_deal_in(tx, write, &edit).await?;
            let mut result = RowResult::done(number, Outcome::Created, deal.id);
            result.mark = Some(snapshot::mark(&snapshot::of_deal(&deal)));
            return Ok(result);
        };
        edit.extras = added(edit.extras, &before.extras.tags);
        let deal = self.edit_deal_in(tx, write, &before, &edit).await?;
        let outcome = if deal.version == before.version {
            Outcome::Noop
        } else {
            Outcome::Updated
        };
        let mut result = RowResult::done(number, outcome, deal.id);
        result.changes = snapshot::differences(&snapshot::of_deal(&before), &snapshot::of_deal(&deal));
        Ok(result)
    }

    /// Pipeline and stage by key or name.
    async fn place(
        &self,
        tx: &mut Tx,
        write: &Write,
        row: &DealRow,
        held: Option<Uuid>,
        edit: &mut DealEdit,
    ) -> Result<(), Refusal> {
        let scope = &write.scope;
        if let Some(name) = &row.pipeline {
            let found: Option<Uuid> = sqlx::query_scalar(
                "SELECT id FROM pipelines WHERE org_id = $1 AND (name_key = $2 OR id::text = $3) LIMIT 1",
            )
            .bind(scope.uuid())
            .bind(text::sort_key(name))
            .bind(name)
            .fetch_optional(&mut **tx)
            .await?;
            let problem = || Problem::new("pipeline", "not_found", "there is no such pipeline");
            edit.pipeline = Some(found.ok_or_else(|| Refusal::Problem(problem()))?);
        }
        let Some(wanted) = &row.stage else { return Ok(()) };
        let default = self.ensure_default_pipeline(tx, scope).await?;
        let id = edit.pipeline.or(held).unwrap_or(default);
        let pipeline = pipeline_rows::find(tx, scope, id, None)
            .await?
            .ok_or(CrmError::NotFound("pipeline"))?;
        let stage = stage_named(&pipeline, wanted).map_err(Refusal::Problem)?;
        edit.stage = Some(stage.key.clone());
        if stage.kind == Status::Lost && edit.close_reason.is_none() {
            edit.close_reason = Some(Some("not stated in the imported file".to_owned()));
        }
        Ok(())
    }
}

/// The deal of a row: by id, else by name and account.
async fn deal_of(
    tx: &mut Tx,
    write: &Write,
    row: &DealRow,
    account: Option<Uuid>,
) -> Result<Option<Uuid>, Refusal> {
    if let Some(id) = row.common.id {
        let known = super::import_lane::existing(tx, &write.scope, Object::Deal, &[id]).await?;
        if let [id] = known[..] {
            return Ok(Some(id));
        }
    }
    let Some(name) = &row.name else { return Ok(None) };
    let found: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM deals WHERE org_id = $1 AND name_key = $2 AND name = $3 \
         AND account_id IS NOT DISTINCT FROM $4 LIMIT 10",
    )
    .bind(write.scope.uuid())
    .bind(text::sort_key(name))
    .bind(name)
    .bind(account)
    .fetch_all(&mut **tx)
    .await?;
    one_of(&found, "name")
}

async fn contacts_of(tx: &mut Tx, write: &Write, addresses: &[String]) -> Result<Vec<ContactId>, Refusal> {
    let rows: Vec<(String, Uuid)> = sqlx::query_as(
        "SELECT DISTINCT ON (i.value) i.value, c.id FROM contact_identities i \
         JOIN contacts c ON c.org_id = i.org_id AND c.id = i.contact_id AND c.recorded \
         WHERE i.org_id = $1 AND i.type = 'email' AND i.value = ANY($2) ORDER BY i.value, c.id",
    )
    .bind(write.scope.uuid())
    .bind(addresses)
    .fetch_all(&mut **tx)
    .await?;
    if let Some(missing) = addresses.iter().find(|one| rows.iter().all(|row| row.0 != **one)) {
        let message = format!("no contact has the address {missing}");
        return Err(Refusal::Problem(Problem::new(
            "contactEmails",
            "not_found",
            message,
        )));
    }
    let of = |address: &String| rows.iter().find(|row| row.0 == *address);
    Ok(addresses
        .iter()
        .filter_map(of)
        .map(|row| ContactId(row.1))
        .collect())
}

fn stage_named<'a>(pipeline: &'a Pipeline, wanted: &str) -> Result<&'a Stage, Problem> {
    let alike = |stage: &&Stage| plain(&stage.key) == plain(wanted) || plain(&stage.name) == plain(wanted);
    let found = pipeline
        .stage(wanted)
        .or_else(|| pipeline.stages.iter().find(alike));
    found.ok_or_else(|| {
        let known: Vec<&str> = pipeline.stages.iter().map(|stage| stage.key.as_str()).collect();
        Problem::new(
            "stage",
            "not_found",
            format!("it is one of: {}", known.join(", ")),
        )
    })
}
