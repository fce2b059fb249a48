//! `AuditService`: reading the audit log.

use contracts::access::v1 as wire;
use contracts::access::v1::audit_service_server::AuditService;
use contracts::convert;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use store::list::{Filter, Kind, ListSpec, Match};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::organizations::{BY_AGE, list_of, time};
use super::parts::{Api, enter};

const fn text(name: &'static str, column: &'static str) -> Filter {
    Filter {
        name,
        kind: Kind::Text,
        matches: Match::Eq(column),
    }
}

/// Named by the request, or made by it.
const BY_RECORD: &str = "t.id IN (WITH wanted AS (SELECT {} AS id) \
     SELECT e.id FROM audit_entries e, wanted WHERE e.org_id = t.org_id AND e.record_id = wanted.id \
     UNION ALL SELECT o.id FROM audit_outcomes o, wanted WHERE o.org_id = t.org_id AND o.record_id = wanted.id)";
const BY_OUTCOME: &str =
    "EXISTS (SELECT FROM audit_outcomes o WHERE o.org_id = t.org_id AND o.id = t.id AND o.outcome = {})";

pub(super) const ENTRIES: ListSpec = ListSpec {
    table: "audit_entries",
    columns: "t.*, (SELECT o.outcome FROM audit_outcomes o WHERE o.org_id = t.org_id AND o.id = t.id) AS outcome, \
              (SELECT o.after FROM audit_outcomes o WHERE o.org_id = t.org_id AND o.id = t.id) AS after, \
              (SELECT o.record_id FROM audit_outcomes o WHERE o.org_id = t.org_id AND o.id = t.id) AS answered_id",
    condition: None,
    filters: &[
        text("action", "action"),
        text("resource", "resource"),
        Filter {
            name: "recordId",
            kind: Kind::Text,
            matches: Match::Sql(BY_RECORD),
        },
        Filter {
            name: "outcome",
            kind: Kind::Text,
            matches: Match::Sql(BY_OUTCOME),
        },
        text("actorType", "actor_type"),
        text("actorId", "actor_id"),
        text("requestId", "request_id"),
        Filter {
            name: "from",
            kind: Kind::Time,
            matches: Match::AtLeast("created_at"),
        },
        Filter {
            name: "to",
            kind: Kind::Time,
            matches: Match::Below("created_at"),
        },
    ],
    sorts: BY_AGE,
    default_sort: "-createdAt",
};

pub(super) struct Entry(pub(super) wire::AuditEntry);

fn object(value: Option<Value>) -> Option<prost_types::Struct> {
    match value {
        Some(Value::Object(fields)) => Some(convert::to_struct(fields)),
        _ => None,
    }
}

impl FromRow<'_, PgRow> for Entry {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let answered: Option<String> = row.try_get("answered_id")?;
        let named: Option<String> = row.try_get("record_id")?;
        Ok(Self(wire::AuditEntry {
            id: row.try_get::<Uuid, _>("id")?.to_string(),
            created_at: time(row, "created_at")?,
            actor_type: row.try_get("actor_type")?,
            actor_id: row.try_get("actor_id")?,
            role: row.try_get("role")?,
            action: row.try_get("action")?,
            resource: row.try_get("resource")?,
            record_id: named.or(answered),
            request: object(row.try_get("request")?),
            after: object(row.try_get("after")?),
            before: object(row.try_get("before")?),
            outcome: row.try_get("outcome")?,
            address: row.try_get("address")?,
            request_id: row.try_get("request_id")?,
        }))
    }
}

#[tonic::async_trait]
impl AuditService for Api {
    async fn list_audit_entries(
        &self,
        request: Request<wire::ListAuditEntriesRequest>,
    ) -> Result<Response<wire::ListAuditEntriesResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let asked = request.get_ref();
        let mut list = list_of!(asked);
        for (name, at) in [("from", &asked.from), ("to", &asked.to)] {
            if let Some(at) = at.as_ref().and_then(convert::from_timestamp) {
                list.filters.push((name.to_owned(), at.to_string()));
            }
        }
        let page = self.list::<Entry>(&scope, ENTRIES, &list).await?;
        Ok(Response::new(wire::ListAuditEntriesResponse {
            data: page.items.into_iter().map(|e| e.0).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        }))
    }
}
