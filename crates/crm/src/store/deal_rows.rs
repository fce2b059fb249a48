//! Rows of `deals`, `deal_contacts` and `deal_moves`.

use std::collections::HashMap;

use ::store::{OrgScope, ToSqlx as _, Ts, Tx};
use ids::{AccountId, ContactId};
use serde_json::{Map, Value};
use sqlx::FromRow;
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::deal::{Deal, Money, Move, Status};
use crate::domain::extras::Extras;
use crate::domain::text;
use crate::error::CrmError;

/// The columns of [`DealRow`], over a table under the alias `t`.
macro_rules! deal_columns {
    () => {
        "t.id, t.name, t.account_id, t.pipeline_id, t.stage_id, \
         (SELECT s.key FROM stages s WHERE s.org_id = t.org_id AND s.id = t.stage_id) AS stage_key, t.status, \
         t.amount_currency::text AS amount_currency, t.amount_units, t.amount_nanos, t.owner_id, t.expected_close_on, t.close_reason, t.closed_at, \
         t.stage_since, t.tags, t.custom, t.created_at, t.updated_at, t.version"
    };
}
pub(super) use deal_columns;

/// A row of `deals`; the contacts stand in a table of their own.
#[derive(Debug, FromRow)]
pub(super) struct DealRow {
    id: Uuid,
    name: String,
    account_id: Option<Uuid>,
    pipeline_id: Uuid,
    stage_id: Uuid,
    stage_key: String,
    status: i16,
    amount_currency: Option<String>,
    amount_units: Option<i64>,
    amount_nanos: Option<i32>,
    owner_id: Option<Uuid>,
    expected_close_on: Option<String>,
    close_reason: Option<String>,
    closed_at: Option<Ts>,
    stage_since: Ts,
    tags: Vec<String>,
    custom: Json<Map<String, Value>>,
    created_at: Ts,
    updated_at: Ts,
    version: i64,
}

impl TryFrom<DealRow> for Deal {
    type Error = CrmError;

    /// The deal without its contacts.
    fn try_from(row: DealRow) -> Result<Self, CrmError> {
        let amount = match (row.amount_currency, row.amount_units, row.amount_nanos) {
            (Some(currency), Some(units), Some(nanos)) => Some(Money {
                currency,
                units,
                nanos,
            }),
            _ => None,
        };
        Ok(Self {
            id: row.id,
            name: row.name,
            account: row.account_id.map(AccountId),
            pipeline: row.pipeline_id,
            stage: row.stage_id,
            stage_key: row.stage_key,
            status: Status::from_number(row.status)
                .ok_or_else(|| CrmError::Corrupt(format!("deal {}, status", row.id)))?,
            amount,
            expected_close_on: row.expected_close_on,
            close_reason: row.close_reason,
            closed_at: row.closed_at.map(Ts::to_jiff),
            stage_since: row.stage_since.to_jiff(),
            contacts: Vec::new(),
            extras: Extras {
                owner: row.owner_id,
                tags: row.tags,
                custom: row.custom.0,
            },
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            version: row.version,
        })
    }
}

/// Reads the contacts of all `deals` with one statement.
pub(super) async fn fill(tx: &mut Tx, scope: &OrgScope, deals: &mut [Deal]) -> Result<(), CrmError> {
    let ids: Vec<Uuid> = deals.iter().map(|deal| deal.id).collect();
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "SELECT deal_id, contact_id FROM deal_contacts WHERE org_id = $1 AND deal_id = ANY($2) \
         ORDER BY deal_id, position, contact_id",
    )
    .bind(scope.uuid())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    let mut by_deal: HashMap<Uuid, Vec<ContactId>> = HashMap::new();
    for (deal, contact) in rows {
        by_deal.entry(deal).or_default().push(ContactId(contact));
    }
    for deal in deals {
        deal.contacts = by_deal.remove(&deal.id).unwrap_or_default();
    }
    Ok(())
}

const READ: &str = concat!(
    "SELECT ",
    deal_columns!(),
    " FROM deals t WHERE t.org_id = $1 AND t.id = $2"
);
const LOCK: &str = concat!(
    "SELECT ",
    deal_columns!(),
    " FROM deals t WHERE t.org_id = $1 AND t.id = $2 FOR UPDATE OF t"
);

/// The deal with its contacts; locked until the end of the transaction if asked.
pub(super) async fn find(tx: &mut Tx, scope: &OrgScope, id: Uuid, lock: bool) -> Result<Deal, CrmError> {
    let row: Option<DealRow> = sqlx::query_as(if lock { LOCK } else { READ })
        .bind(scope.uuid())
        .bind(id)
        .fetch_optional(&mut **tx)
        .await?;
    let mut found = [Deal::try_from(row.ok_or(CrmError::NotFound("deal"))?)?];
    fill(tx, scope, &mut found).await?;
    let [deal] = found;
    Ok(deal)
}

/// Writes the deal without its contacts.
pub(super) async fn save(tx: &mut Tx, scope: &OrgScope, deal: &Deal) -> Result<(), CrmError> {
    let amount = deal.amount.as_ref();
    sqlx::query(
        "INSERT INTO deals (org_id, id, name, name_key, account_id, pipeline_id, stage_id, status, amount_currency, \
         amount_units, amount_nanos, owner_id, expected_close_on, close_reason, closed_at, stage_since, tags, custom, \
         created_at, updated_at, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21) \
         ON CONFLICT (org_id, id) DO UPDATE SET name = excluded.name, name_key = excluded.name_key, \
         account_id = excluded.account_id, pipeline_id = excluded.pipeline_id, stage_id = excluded.stage_id, \
         status = excluded.status, amount_currency = excluded.amount_currency, amount_units = excluded.amount_units, \
         amount_nanos = excluded.amount_nanos, owner_id = excluded.owner_id, \
         expected_close_on = excluded.expected_close_on, close_reason = excluded.close_reason, \
         closed_at = excluded.closed_at, stage_since = excluded.stage_since, tags = excluded.tags, \
         custom = excluded.custom, updated_at = excluded.updated_at, version = excluded.version",
    )
    .bind(scope.uuid())
    .bind(deal.id)
    .bind(&deal.name)
    .bind(text::sort_key(&deal.name))
    .bind(deal.account.map(AccountId::uuid))
    .bind(deal.pipeline)
    .bind(deal.stage)
    .bind(deal.status as i16)
    .bind(amount.map(|money| &money.currency))
    .bind(amount.map(|money| money.units))
    .bind(amount.map(|money| money.nanos))
    .bind(deal.extras.owner)
    .bind(&deal.expected_close_on)
    .bind(&deal.close_reason)
    .bind(deal.closed_at.map(|at| at.to_sqlx()))
    .bind(deal.stage_since.to_sqlx())
    .bind(&deal.extras.tags)
    .bind(Json(&deal.extras.custom))
    .bind(deal.created_at.to_sqlx())
    .bind(deal.updated_at.to_sqlx())
    .bind(deal.version)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes who takes part, in place of who did before.
pub(super) async fn save_contacts(tx: &mut Tx, scope: &OrgScope, deal: &Deal) -> Result<(), CrmError> {
    sqlx::query("DELETE FROM deal_contacts WHERE org_id = $1 AND deal_id = $2")
        .bind(scope.uuid())
        .bind(deal.id)
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "INSERT INTO deal_contacts (org_id, deal_id, contact_id, position) \
         SELECT $1, $2, c.id, c.place FROM unnest($3::uuid[]) WITH ORDINALITY c (id, place)",
    )
    .bind(scope.uuid())
    .bind(deal.id)
    .bind(deal.contacts.iter().map(|id| id.uuid()).collect::<Vec<Uuid>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

#[derive(Debug, FromRow)]
pub(super) struct MoveRow {
    id: Uuid,
    deal_id: Uuid,
    from_stage: String,
    to_stage: String,
    moved_at: Ts,
    moved_by: String,
    reason: String,
    account_id: Option<Uuid>,
}

impl From<MoveRow> for Move {
    fn from(row: MoveRow) -> Self {
        Self {
            id: row.id,
            deal: row.deal_id,
            from: row.from_stage,
            to: row.to_stage,
            at: row.moved_at.to_jiff(),
            by: row.moved_by,
            reason: row.reason,
            account: row.account_id.map(AccountId),
        }
    }
}

/// Notes a move.
pub(super) async fn save_move(tx: &mut Tx, scope: &OrgScope, made: &Move) -> Result<(), CrmError> {
    sqlx::query(
        "INSERT INTO deal_moves (org_id, deal_id, moved_at, id, from_stage, to_stage, moved_by, reason, account_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(scope.uuid())
    .bind(made.deal)
    .bind(made.at.to_sqlx())
    .bind(made.id)
    .bind(&made.from)
    .bind(&made.to)
    .bind(&made.by)
    .bind(&made.reason)
    .bind(made.account.map(AccountId::uuid))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
