//! `SignalService`: signals in by gRPC, and questions about recorded ones.

use std::sync::Arc;

use ::store::paging::{Fingerprint, PageRequest, invalid_parameter};
use ::store::{Db, OrgScope};
use contracts::convert;
use contracts::signals::v1::signal_service_server::SignalService;
use contracts::signals::v1::{
    GetSignalRequest, GetSignalResponse, IngestResult, IngestSignalsRequest, IngestSignalsResponse,
    ListSignalsRequest, ListSignalsResponse, SignalInput, StreamSignalsRequest, StreamSignalsResponse,
};
use errors::{ApiError, FieldError};
use ids::{Clock, OrgId, SignalId};
use prost::Message as _;
use rpc::Access;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::{path_id, status, verdicts};
use crate::domain::json::{oversized_item, too_many_items};
use crate::domain::limits::Limits;
use crate::domain::validate::{NewSignal, validate};
use crate::intake::{Draft, Intake, Verdicts};
use crate::store::query::{self, SignalQuery};

/// Most verdicts other than `accepted` in the answer to a stream.
const MAX_STREAM_RESULTS: usize = 1_000;

/// The service.
pub struct SignalApi {
    /// Where signals are read.
    pub db: Db,
    /// Where signals go.
    pub intake: Intake,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is accepted.
    pub limits: Limits,
}

#[tonic::async_trait]
impl SignalService for SignalApi {
    async fn ingest_signals(
        &self,
        request: Request<IngestSignalsRequest>,
    ) -> Result<Response<IngestSignalsResponse>, Status> {
        let caller = rpc::caller(&request)?;
        caller.require(Access::Write, "signals")?;
        let verdicts = self.ingest(caller.org()?, request.into_inner().signals).await?;
        Ok(Response::new(verdicts::response(verdicts)))
    }

    async fn stream_signals(
        &self,
        request: Request<Streaming<StreamSignalsRequest>>,
    ) -> Result<Response<StreamSignalsResponse>, Status> {
        let caller = rpc::caller(&request)?;
        caller.require(Access::Write, "signals")?;
        let org = caller.org()?;
        let mut parts = request.into_inner();
        let mut sums = StreamSignalsResponse::default();
        let mut offset = 0_i32;
        while let Some(part) = parts.message().await? {
            let answer = verdicts::response(self.ingest(org, part.signals).await?);
            sums.accepted += i64::from(answer.accepted);
            sums.duplicates += i64::from(answer.duplicates);
            sums.rejected += i64::from(answer.rejected);
            let count = i32::try_from(answer.results.len()).unwrap_or(i32::MAX);
            let space = MAX_STREAM_RESULTS - sums.results.len();
            let told = answer
                .results
                .into_iter()
                .filter(|result| result.status != "accepted")
                .take(space);
            sums.results.extend(told.map(|r| IngestResult {
                index: r.index.saturating_add(offset),
                ..r
            }));
            offset = offset.saturating_add(count);
        }
        Ok(Response::new(sums))
    }

    async fn list_signals(
        &self,
        request: Request<ListSignalsRequest>,
    ) -> Result<Response<ListSignalsResponse>, Status> {
        let caller = rpc::caller(&request)?;
        caller.require(Access::Read, "signals")?;
        let scope = OrgScope::new(caller.org()?);
        let request = request.into_inner();
        let sort = request
            .sort
            .as_deref()
            .filter(|sort| !sort.is_empty())
            .unwrap_or("-timestamp");
        let fingerprint = Fingerprint::new(scope.org(), "ListSignals", sort, &fingerprinted(&request));
        let page = PageRequest::parse(request.limit, request.cursor.as_deref(), fingerprint)?;
        let query = self.query(&request, sort)?;
        let page = query::list(&self.db, &scope, &query, &page, fingerprint)
            .await
            .map_err(|e| status(&e))?;
        Ok(Response::new(ListSignalsResponse {
            data: page.items,
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        }))
    }

    async fn get_signal(
        &self,
        request: Request<GetSignalRequest>,
    ) -> Result<Response<GetSignalResponse>, Status> {
        let caller = rpc::caller(&request)?;
        caller.require(Access::Read, "signals")?;
        let scope = OrgScope::new(caller.org()?);
        let id: SignalId = path_id(&request.get_ref().signal_id, "signal")?;
        let found = query::get(&self.db, &scope, id)
            .await
            .map_err(|error| status(&error))?;
        let signal = found.ok_or_else(|| ApiError::not_found("signal"))?;
        Ok(Response::new(GetSignalResponse { signal: Some(signal) }))
    }
}

impl SignalApi {
    async fn ingest(&self, org: OrgId, signals: Vec<SignalInput>) -> Result<Verdicts, ApiError> {
        if signals.is_empty() {
            let message = format!("a batch has from 1 to {} signals", self.limits.max_items);
            return Err(ApiError::invalid("/signals", "required", message));
        }
        if signals.len() > self.limits.max_items {
            return Err(too_many_items(&self.limits));
        }
        let now = self.clock.now();
        let check = |input: SignalInput| -> Result<NewSignal, Vec<FieldError>> {
            if input.encoded_len() > self.limits.max_signal_bytes {
                return Err(vec![oversized_item(&self.limits)]);
            }
            validate(input, &self.limits, now)
        };
        let draft = Draft {
            org,
            items: signals.into_iter().map(check).collect(),
            key: None,
        };
        self.intake
            .accept(vec![draft])
            .await
            .pop()
            .unwrap_or_else(|| Err(ApiError::internal()))
    }

    fn query(&self, request: &ListSignalsRequest, sort: &str) -> Result<SignalQuery, ApiError> {
        let mut query = SignalQuery {
            ascending: match sort {
                "-timestamp" => false,
                "timestamp" => true,
                _ => {
                    let message = "sort must be timestamp or -timestamp".to_owned();
                    return Err(invalid_parameter("?sort", "unknown", message));
                }
            },
            count: match request.include.as_deref() {
                None | Some("") => false,
                Some("totalCount") => true,
                Some(_) => {
                    let message = "include can only be totalCount".to_owned();
                    return Err(invalid_parameter("?include", "unknown", message));
                }
            },
            from: time("?from", request.from.as_ref())?,
            to: time("?to", request.to.as_ref())?,
            max_ahead_secs: self.limits.max_ahead_secs,
            ..SignalQuery::default()
        };
        if query.from.zip(query.to).is_some_and(|(from, to)| from > to) {
            let message = "to must not be before from".to_owned();
            return Err(invalid_parameter("?to", "before_from", message));
        }
        for (name, value) in &request.filter {
            match name.as_str() {
                "type" => query.kind = Some(filter_text(name, value)?),
                "anonymousId" => query.visitor = Some(filter_text(name, value)?),
                "sourceId" => query.source = Some(filter_id(name, value)?),
                "accountId" => query.account = Some(filter_id(name, value)?),
                "contactId" => query.contact = Some(filter_id(name, value)?),
                "actorId" => query.actor = Some(filter_id(name, value)?),
                _ => {
                    let allowed = "filters are type, sourceId, accountId, contactId, actorId and anonymousId";
                    return Err(invalid_parameter(&pointer(name), "unknown", allowed.to_owned()));
                }
            }
        }
        if let Some(account) = request.account_id.as_deref().filter(|id| !id.is_empty()) {
            let account: Uuid = path_id::<ids::AccountId>(account, "account")?.uuid();
            if query.account.is_some_and(|other| other != account) {
                let message = "filter[accountId] names another account than the path".to_owned();
                return Err(invalid_parameter("?filter[accountId]", "invalid", message));
            }
            query.account = Some(account);
        }
        Ok(query)
    }
}

/// Everything that selects, for the cursor to be bound to.
fn fingerprinted(request: &ListSignalsRequest) -> Vec<(String, String)> {
    let mut parts: Vec<_> = request
        .filter
        .iter()
        .map(|(name, value)| (format!("filter.{name}"), value.clone()))
        .collect();
    let mut add = |name: &str, value: Option<String>| {
        parts.extend(value.map(|value| (name.to_owned(), value)));
    };
    let seconds = |at: &prost_types::Timestamp| format!("{}.{}", at.seconds, at.nanos);
    add("account", request.account_id.clone());
    add("from", request.from.as_ref().map(seconds));
    add("to", request.to.as_ref().map(seconds));
    parts
}

fn pointer(name: &str) -> String {
    format!("?filter[{}]", name.chars().take(100).collect::<String>())
}

fn time(name: &str, at: Option<&prost_types::Timestamp>) -> Result<Option<jiff::Timestamp>, ApiError> {
    let refuse = || invalid_parameter(name, "invalid", "must be an RFC 3339 time".to_owned());
    at.map(|at| convert::from_timestamp(at).ok_or_else(refuse))
        .transpose()
}

fn filter_id(name: &str, value: &str) -> Result<Uuid, ApiError> {
    let refuse = |_| invalid_parameter(&pointer(name), "invalid", format!("{name} must be a UUID"));
    value.parse::<SignalId>().map(SignalId::uuid).map_err(refuse)
}

fn filter_text(name: &str, value: &str) -> Result<String, ApiError> {
    if value.is_empty() || value.chars().count() > 255 || value.contains('\0') {
        let message = format!("{name} must be a text of 1 to 255 characters");
        return Err(invalid_parameter(&pointer(name), "invalid", message));
    }
    Ok(value.to_owned())
}
