//! `GET /api/v1/audit/export`: the audit log as CSV or NDJSON, from the oldest entry to those of now, as a stream.
//!
//! Must not: hold more than a few pages in memory, or write a cell that a spreadsheet takes for a formula.

use std::sync::Arc;

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use contracts::access::{Rule, rule_of};
use errors::{ApiError, FieldError};
use ids::{Clock, OrgId};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::{Value, json};
use store::list::{ListRequest, ListSpec};
use store::{Db, OrgScope, Stores};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::audit_log::{ENTRIES, Entry};
use super::parts::Fault;
use crate::access::Credential;
use crate::contract::Contract;
use crate::error::StartError;
use crate::home::Home;
use crate::http::{AUDIT_EXPORT, ByHand, unknown_parameter};
use crate::openapi::problems_of;
use crate::transcode::{decode_parameter, to_json};

const LIST: &str = "/devsignal.access.v1.AuditService/ListAuditEntries";
const PAGE: i32 = 200;
/// Pages that wait for a slow reader.
const AHEAD: usize = 2;
const COLUMNS: [&str; 14] = [
    "id",
    "createdAt",
    "actorType",
    "actorId",
    "role",
    "action",
    "resource",
    "recordId",
    "outcome",
    "address",
    "requestId",
    "request",
    "before",
    "after",
];
const ALLOWED: &str = "format, from, to and filter[…]";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Ndjson,
}

/// Exports. Cheap to clone.
#[derive(Clone)]
pub struct AuditExport {
    db: Db,
    entry: MessageDescriptor,
    home: Home,
    clock: Arc<dyn Clock>,
    rule: &'static Rule,
}

impl AuditExport {
    /// Exports from this schema.
    ///
    /// # Errors
    /// The contract does not hold together.
    pub(crate) fn new(
        stores: &Stores,
        contract: &Contract,
        home: Home,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let missing = || StartError::Descriptors("the audit log is missing".to_owned());
        Ok(Self {
            db: stores.db.clone(),
            entry: contract
                .pool()
                .get_message_by_name("devsignal.access.v1.AuditEntry")
                .ok_or_else(missing)?,
            home,
            clock,
            rule: rule_of(LIST).ok_or_else(missing)?,
        })
    }

    /// Answers a request.
    ///
    /// # Errors
    /// `permission_denied`, `invalid_parameter`.
    pub fn answer(&self, request: &HttpRequest, caller: &Credential) -> Result<HttpResponse, ApiError> {
        caller.check(self.rule)?;
        let (format, mut filters) = read(request.query_string())?;
        if !filters.iter().any(|(name, _)| name == "to") {
            // Or what is written meanwhile, this request's own answer included, would never end.
            filters.push(("to".to_owned(), self.clock.now().to_string()));
        }
        let scope = OrgScope::new(caller.org);
        // A filter that is wrong is told before the stream begins.
        prepare(&scope, &filters, None)?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        let (this, org) = (self.clone(), caller.org);
        drop(self.home.run("audit-export", async move {
            if let Err(error) = this.write(org, format, &filters, &sender).await {
                tracing::warn!(?error, "an export of the audit log broke off");
                // The client sees a body that does not end as it should.
                drop(sender.send(Err(std::io::Error::other("broken off"))).await);
            }
        }));
        let (kind, name) = match format {
            Format::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"audit.csv\""),
            Format::Ndjson => ("application/x-ndjson", "attachment; filename=\"audit.ndjson\""),
        };
        let mut response = HttpResponse::Ok().streaming(ReceiverStream::new(receiver));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(name));
        Ok(response)
    }

    async fn write(
        &self,
        org: OrgId,
        format: Format,
        filters: &[(String, String)],
        sender: &mpsc::Sender<std::io::Result<Bytes>>,
    ) -> Result<(), Fault> {
        let scope = OrgScope::new(org);
        let mut cursor = None::<String>;
        if format == Format::Csv && sender.send(Ok(line(&COLUMNS.map(str::to_owned)))).await.is_err() {
            return Ok(());
        }
        loop {
            let query = prepare(&scope, filters, cursor.as_deref())?;
            let mut tx = self.db.begin(&scope).await?;
            let page = query.fetch::<Entry>(&mut tx).await?;
            tx.commit().await?;
            let mut bytes = Vec::new();
            for entry in page.items {
                let read = DynamicMessage::decode(self.entry.clone(), entry.0.encode_to_vec().as_slice());
                let entry = read.map_or(Value::Null, |message| to_json(&message));
                match format {
                    Format::Ndjson => {
                        bytes.extend_from_slice(entry.to_string().as_bytes());
                        bytes.push(b'\n');
                    }
                    Format::Csv => bytes.extend_from_slice(&line(&COLUMNS.map(|name| cell(&entry[name])))),
                }
            }
            // Whoever does not read any more needs no more.
            if !bytes.is_empty() && sender.send(Ok(bytes.into())).await.is_err() {
                return Ok(());
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }
}

fn prepare(
    scope: &OrgScope,
    filters: &[(String, String)],
    cursor: Option<&str>,
) -> Result<store::list::ListQuery, ApiError> {
    let asked = ListRequest {
        limit: Some(PAGE),
        cursor,
        sort: Some("createdAt"),
        filters: filters.to_vec(),
        include: None,
    };
    let spec = ListSpec { ..ENTRIES };
    spec.prepare(scope, "audit-export", &asked)
}

fn read(query: &str) -> Result<(Format, Vec<(String, String)>), ApiError> {
    let (mut format, mut filters) = (None, Vec::new());
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = decode_parameter(part)?;
        let key = name
            .strip_prefix("filter[")
            .and_then(|rest| rest.strip_suffix(']'));
        match (name.as_str(), key) {
            ("format", _) if format.is_none() => {
                format = Some(match value.as_str() {
                    "csv" => Format::Csv,
                    "ndjson" => Format::Ndjson,
                    _ => return Err(no_format("`csv` or `ndjson`")),
                });
            }
            ("from" | "to", _) => filters.push((name, value)),
            (_, Some(key)) if !matches!(key, "from" | "to") => filters.push((key.to_owned(), value)),
            _ => return Err(unknown_parameter(&name, ALLOWED)),
        }
    }
    Ok((
        format.ok_or_else(|| no_format("say `format=csv` or `format=ndjson`"))?,
        filters,
    ))
}

fn no_format(message: &str) -> ApiError {
    let mut error = ApiError::new(errors::ErrorCode::InvalidParameter, message.to_owned());
    error.fields = vec![FieldError::new("?format", "invalid_parameter", message)];
    error
}

/// The text of a cell. What a spreadsheet would take for a formula begins with an apostrophe (OWASP, CSV injection).
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\0']) {
        return format!("'{text}");
    }
    text
}

fn line(cells: &[String]) -> Bytes {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    // Into memory: it cannot fail.
    drop(writer.write_record(cells));
    writer.into_inner().unwrap_or_default().into()
}

/// The route of this module.
pub(super) fn described() -> ByHand {
    let parameter = |name: &str, schema: Value, required: bool, told: &str| json!({"name": name, "in": "query", "required": required, "schema": schema, "description": told});
    let time = json!({"type": "string", "format": "date-time"});
    let text = json!({"type": "string"});
    let mut operation = json!({
        "operationId": "exportAudit", "tags": ["Audit"],
        "summary": "The audit log as CSV or NDJSON",
        "description": "All entries up to now, oldest first, as a stream. A cell that a spreadsheet would take for a formula begins with an apostrophe.",
        "parameters": [
            parameter("format", json!({"type": "string", "enum": ["csv", "ndjson"]}), true, "The format."),
            parameter("from", time.clone(), false, "At or after."),
            parameter("to", time, false, "Before."),
            parameter("filter[action]", text.clone(), false, "The method."),
            parameter("filter[resource]", text.clone(), false, "What it was about."),
            parameter("filter[recordId]", text.clone(), false, "The record."),
            parameter("filter[actorId]", text.clone(), false, "Who."),
            parameter("filter[actorType]", text.clone(), false, "`user`, `api_key` or `system`."),
            parameter("filter[outcome]", text.clone(), false, "`ok` or an error's code."),
            parameter("filter[requestId]", text, false, "The request."),
            {"$ref": "#/components/parameters/Version"},
        ],
        "responses": {"200": {
            "description": "The entries.",
            "content": {"text/csv": {"schema": {"type": "string"}}, "application/x-ndjson": {"schema": {"type": "string"}}},
        }},
    });
    for (status, problem) in problems_of(&[400, 401, 403, 429, 500, 503]) {
        operation["responses"][status] = problem;
    }
    ByHand {
        method: "GET",
        path: AUDIT_EXPORT,
        public: false,
        operation: Some(operation),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_cell_begins_a_formula_and_lines_are_read_back(texts in proptest::collection::vec(any::<String>(), 1..5)) {
            let cells: Vec<String> = texts.iter().map(|t| cell(&Value::from(t.as_str()))).collect();
            for cell in &cells {
                prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\0']));
            }
            let written = line(&cells);
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&written[..]);
            let read: Vec<String> = reader.records().next().unwrap().unwrap().iter().map(str::to_owned).collect();
            prop_assert_eq!(read, cells);
        }
    }
}
