//! What accounts have reached, and the moves of deals that follow from it.
//!
//! Contract: a milestone is reached once, whatever is delivered again; it moves the open deals of the account that lie
//! before its stage, and only those. Deals are locked after accounts, in the order of their ids.

use ::store::{OrgScope, ToSqlx as _, Tx};
use ids::AccountId;
use uuid::Uuid;

use super::{Records, deal_rows, pipeline_rows};
use crate::domain::deal::{Deal, Milestone, Pipeline, Stage};
use crate::error::CrmError;

/// Who moved what a rule moved.
const RULE: &str = "rule";

impl Records {
    /// Notes that the account reached a milestone; the first time, its deals move. Returns whether it was the first.
    pub(super) async fn reach(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        account: AccountId,
        milestone: Milestone,
        reason: &str,
    ) -> Result<bool, CrmError> {
        let noted = sqlx::query(
            "INSERT INTO account_milestones (org_id, account_id, milestone, reached_at, reason) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        )
        .bind(scope.uuid())
        .bind(account.uuid())
        .bind(milestone as i16)
        .bind(self.now().to_sqlx())
        .bind(reason)
        .execute(&mut **tx)
        .await?;
        if noted.rows_affected() == 0 {
            return Ok(false);
        }
        // An import brings history: no deal moves by it.
        if self.importing {
            return Ok(true);
        }
        let deals: Vec<Uuid> = sqlx::query_scalar(
            "SELECT id FROM deals WHERE org_id = $1 AND account_id = $2 AND status = 1 ORDER BY id FOR UPDATE",
        )
        .bind(scope.uuid())
        .bind(account.uuid())
        .fetch_all(&mut **tx)
        .await?;
        for id in deals {
            let deal = deal_rows::find(tx, scope, id, false).await?;
            self.move_by_rule(tx, scope, deal, milestone, reason).await?;
        }
        Ok(true)
    }

    async fn move_by_rule(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        mut deal: Deal,
        milestone: Milestone,
        reason: &str,
    ) -> Result<(), CrmError> {
        let Some(pipeline) = pipeline_rows::find(tx, scope, deal.pipeline, None).await? else {
            return Ok(());
        };
        let Some(stage) = pipeline.moves_to(deal.stage, &[milestone]) else {
            return Ok(());
        };
        let now = self.now();
        let Some(from) = deal.enter(stage, now) else {
            return Ok(());
        };
        deal.version += 1;
        deal.updated_at = deal.updated_at.max(now);
        deal_rows::save(tx, scope, &deal).await?;
        let made = self.new_move(&deal, from, RULE, reason.to_owned());
        self.note_move(tx, scope, &deal, &made).await?;
        self.tell_deal_updated(tx, scope, &deal, vec!["stage".to_owned()])
            .await?;
        self.tell_deal_moved(tx, scope, &deal, &made).await
    }
}

/// Where a new deal with the account begins, and why.
pub(super) async fn begin(
    tx: &mut Tx,
    scope: &OrgScope,
    pipeline: &Pipeline,
    account: Option<AccountId>,
) -> Result<(Stage, Option<String>), CrmError> {
    let reached: Vec<(i16, String)> = sqlx::query_as(
        "SELECT milestone, reason FROM account_milestones WHERE org_id = $1 AND account_id = $2 ORDER BY milestone",
    )
    .bind(scope.uuid())
    .bind(account.map(AccountId::uuid))
    .fetch_all(&mut **tx)
    .await?;
    let known: Vec<Milestone> = reached
        .iter()
        .filter_map(|(number, _)| Milestone::from_number(*number))
        .collect();
    let stage = pipeline
        .first(&known)
        .ok_or_else(|| CrmError::Corrupt(format!("pipeline {}, stages", pipeline.id)))?
        .clone();
    let reason = stage.milestone.and_then(|milestone| {
        reached
            .into_iter()
            .find(|(number, _)| *number == milestone as i16)
            .map(|(_, reason)| reason)
    });
    Ok((stage, reason))
}
