//! All records of an organization in one comparable value.

use std::collections::{BTreeMap, BTreeSet};

use ids::OrgId;
use sqlx::Row as _;
use uuid::Uuid;

use crate::harness::World;

/// Everything that readers see of an organization, times of recording and versions aside.
#[derive(Debug, Default, PartialEq)]
pub struct State {
    pub accounts: BTreeMap<Uuid, String>,
    pub contacts: BTreeMap<Uuid, String>,
    pub identities: BTreeSet<String>,
    pub merges: BTreeMap<Uuid, Uuid>,
    pub timeline: BTreeSet<String>,
}

pub async fn dump(world: &World, org: OrgId) -> State {
    let mut admin = world.admin().await;
    let mut rows = async |sql: &'static str| {
        sqlx::query(sql)
            .bind(org.uuid())
            .fetch_all(&mut admin)
            .await
            .unwrap()
    };
    let texts =
        |rows: Vec<sqlx::postgres::PgRow>| rows.into_iter().map(|row| (row.get(0), row.get(1))).collect();
    State {
        accounts: texts(
            rows("SELECT id, concat_ws('|', recorded, name, domain, github_org, employees, industry, country,
                  funding_stage, edited_fields, learnt_revision, score_revision, score, tier, trend, scored_at,
                  contact_count) FROM accounts WHERE org_id = $1
                  -- A row of which nothing is known is none; which of them are left depends on the order.
                  AND (recorded OR score IS NOT NULL OR contact_count > 0)")
            .await,
        ),
        contacts: texts(
            rows("SELECT id, concat_ws('|', recorded, name, told_name, email, title, company, avatar_url, account_id,
                  account_told_at, edited_fields, revision, first_seen_at, last_seen_at)
                  FROM contacts WHERE org_id = $1")
            .await,
        ),
        identities: rows(
            "SELECT concat_ws('|', contact_id, told_by, position, type, value, verified, confidence)
             FROM contact_identities WHERE org_id = $1",
        )
        .await
        .into_iter()
        .map(|row| row.get(0))
        .collect(),
        merges: rows("SELECT from_id, into_id FROM contact_merges WHERE org_id = $1")
            .await
            .into_iter()
            .map(|row| (row.get(0), row.get(1)))
            .collect(),
        timeline: rows("SELECT concat_ws('|', account_id, at, score, previous_score) FROM score_changes WHERE org_id = $1")
            .await
            .into_iter()
            .map(|row| row.get(0))
            .collect(),
    }
}
