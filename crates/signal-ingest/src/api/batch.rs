//! `devsignal.signals.v1.BatchService`.

use ::store::{Db, OrgScope};
use contracts::signals::v1::batch_service_server::BatchService;
use contracts::signals::v1::{
    BatchGetSourcesRequest, BatchGetSourcesResponse, BatchListAccountSignalsRequest,
    BatchListAccountSignalsResponse, BatchListContactSignalsRequest, BatchListContactSignalsResponse,
    SignalGroup,
};
use errors::ApiError;
use rpc::Access;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::status;
use crate::store::batch::{self, Owner};
use crate::store::sources::SourceRow;

/// Most ids of one call that names single records.
const MAX_IDS: usize = 1_000;
/// Most ids of one call that lists records of each.
const MAX_OWNERS: usize = 200;
/// Most records of each.
const MAX_OF_EACH: i32 = 200;

/// Reads many records at once.
pub struct BatchApi {
    /// Where they are.
    pub db: Db,
}

#[tonic::async_trait]
impl BatchService for BatchApi {
    async fn batch_list_account_signals(
        &self,
        request: Request<BatchListAccountSignalsRequest>,
    ) -> Result<Response<BatchListAccountSignalsResponse>, Status> {
        let scope = reader(&request, "signals")?;
        let asked = request.into_inner();
        let groups = self
            .signals(&scope, Owner::Account, &asked.ids, asked.limit)
            .await?;
        Ok(Response::new(BatchListAccountSignalsResponse { groups }))
    }

    async fn batch_list_contact_signals(
        &self,
        request: Request<BatchListContactSignalsRequest>,
    ) -> Result<Response<BatchListContactSignalsResponse>, Status> {
        let scope = reader(&request, "signals")?;
        let asked = request.into_inner();
        let groups = self
            .signals(&scope, Owner::Contact, &asked.ids, asked.limit)
            .await?;
        Ok(Response::new(BatchListContactSignalsResponse { groups }))
    }

    async fn batch_get_sources(
        &self,
        request: Request<BatchGetSourcesRequest>,
    ) -> Result<Response<BatchGetSourcesResponse>, Status> {
        let scope = reader(&request, "sources")?;
        let ids = parsed(&request.get_ref().ids, MAX_IDS)?;
        let found = batch::sources(&self.db, &scope, ids)
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(BatchGetSourcesResponse {
            data: found.into_iter().map(SourceRow::into_message).collect(),
        }))
    }
}

impl BatchApi {
    async fn signals(
        &self,
        scope: &OrgScope,
        owner: Owner,
        ids: &[String],
        limit: i32,
    ) -> Result<Vec<SignalGroup>, Status> {
        let ids = parsed(ids, MAX_OWNERS)?;
        if !(1..=MAX_OF_EACH).contains(&limit) {
            let message = format!("a limit is from 1 to {MAX_OF_EACH}");
            return Err(ApiError::invalid("/limit", "out_of_range", message).into());
        }
        let found = batch::signals(&self.db, scope, owner, ids, limit)
            .await
            .map_err(|error| status(&error))?;
        let mut groups: Vec<SignalGroup> = Vec::new();
        for (owner, signal) in found {
            let id = owner.to_string();
            match groups.last_mut().filter(|group| group.id == id) {
                Some(group) => group.data.push(signal),
                None => groups.push(SignalGroup {
                    id,
                    data: vec![signal],
                }),
            }
        }
        Ok(groups)
    }
}

fn reader<T>(request: &Request<T>, resource: &str) -> Result<OrgScope, Status> {
    let caller = rpc::caller(request)?;
    caller.require(Access::Read, resource)?;
    Ok(OrgScope::new(caller.org()?))
}

fn parsed(ids: &[String], most: usize) -> Result<Vec<Uuid>, ApiError> {
    if ids.len() > most {
        let message = format!("one call may have at most {most} ids");
        return Err(ApiError::invalid("/ids", "too_many", message));
    }
    let mut parsed = ids
        .iter()
        .map(|id| id.parse::<ids::SignalId>().map(|id| id.uuid()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| ApiError::invalid("/ids", "invalid_id", "an id is a UUID in canonical form"))?;
    parsed.sort_unstable();
    parsed.dedup();
    Ok(parsed)
}
