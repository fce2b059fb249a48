//! signal-ingest as a timeline sees it: a real gRPC server over a list in memory. Strict about what the contract says:
//! limits, sort, and cursors that belong to one organization and account.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use contracts::convert;
use contracts::signals::v1 as signals;
use contracts::signals::v1::signal_service_server::{SignalService, SignalServiceServer};
use errors::{ApiError, ErrorCode};
use ids::OrgId;
use jiff::Timestamp;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::harness::{World, serve};

type Key = (OrgId, Uuid);

#[derive(Clone, Default)]
pub struct FakeSignals {
    lists: Arc<Mutex<HashMap<Key, Vec<signals::Signal>>>>,
    pub calls: Arc<Mutex<Vec<(String, i32)>>>,
}

impl FakeSignals {
    /// Serves it; returns the address.
    pub async fn serve(&self, world: &World) -> String {
        let fake = self.clone();
        serve(world, |server| server.add(SignalServiceServer::new(fake))).await
    }

    pub fn add(&self, org: OrgId, account: Uuid, signal: signals::Signal) {
        let mut lists = self.lists.lock().unwrap();
        let list = lists.entry((org, account)).or_default();
        list.push(signal);
        list.sort_by_key(|signal| std::cmp::Reverse(place(signal)));
    }
}

pub fn signal(id: Uuid, at: Timestamp, email: Option<&str>) -> signals::Signal {
    signals::Signal {
        id: id.to_string(),
        r#type: "package_install".to_owned(),
        timestamp: Some(convert::timestamp(at)),
        actor: email.map(|email| signals::Actor {
            email: Some(email.to_owned()),
            ..signals::Actor::default()
        }),
        ..signals::Signal::default()
    }
}

fn place(signal: &signals::Signal) -> (i64, String) {
    let at = convert::from_timestamp(signal.timestamp.as_ref().unwrap()).unwrap();
    (at.as_microsecond(), signal.id.clone())
}

#[tonic::async_trait]
impl SignalService for FakeSignals {
    async fn list_signals(
        &self,
        request: Request<signals::ListSignalsRequest>,
    ) -> Result<Response<signals::ListSignalsResponse>, Status> {
        let caller = rpc::caller(&request)?;
        caller
            .require(rpc::Access::Read, "signals")
            .map_err(|error| error.to_status())?;
        let org = caller.org().map_err(|error| error.to_status())?;
        let asked = request.into_inner();
        let limit = asked.limit.unwrap_or(50);
        if !(1..=200).contains(&limit) || asked.sort.as_deref() != Some("-timestamp") {
            return Err(ApiError::invalid("?limit", "out_of_range", "1 to 200").to_status());
        }
        // A contact's signals stand under the contact's id.
        let about = asked
            .account_id
            .as_deref()
            .or(asked.filter.get("contactId").map(String::as_str));
        let account: Uuid = about.unwrap_or_default().parse().unwrap();
        let bound_by = |at: &Option<prost_types::Timestamp>| at.as_ref().and_then(convert::from_timestamp);
        let (from, to) = (bound_by(&asked.from), bound_by(&asked.to));
        self.calls.lock().unwrap().push((account.to_string(), limit));
        let bound = format!("{org}/{account}/");
        let after = match asked.cursor.as_deref() {
            None => None,
            Some(cursor) => {
                let place = cursor
                    .strip_prefix(&bound)
                    .and_then(|place| place.split_once('/'));
                let refused = || ApiError::new(ErrorCode::InvalidCursor, "not of this list").to_status();
                let (at, id) = place.ok_or_else(refused)?;
                Some((at.parse::<i64>().map_err(|_| refused())?, id.to_owned()))
            }
        };
        let lists = self.lists.lock().unwrap();
        let all = lists.get(&(org, account)).cloned().unwrap_or_default();
        let mut data: Vec<_> = all
            .into_iter()
            .filter(|signal| after.as_ref().is_none_or(|after| place(signal) < *after))
            .filter(|signal| {
                let at = place(signal).0;
                from.is_none_or(|from| at >= from.as_microsecond())
                    && to.is_none_or(|to| at < to.as_microsecond())
            })
            .collect();
        let limit = usize::try_from(limit).unwrap();
        let has_more = data.len() > limit;
        data.truncate(limit);
        let next_cursor = data.last().filter(|_| has_more).map(|last| {
            let (at, id) = place(last);
            format!("{bound}{at}/{id}")
        });
        Ok(Response::new(signals::ListSignalsResponse {
            data,
            next_cursor,
            has_more,
            total_count: None,
        }))
    }

    async fn ingest_signals(
        &self,
        _request: Request<signals::IngestSignalsRequest>,
    ) -> Result<Response<signals::IngestSignalsResponse>, Status> {
        Err(Status::unimplemented("a timeline does not ask for this"))
    }

    async fn stream_signals(
        &self,
        _request: Request<Streaming<signals::StreamSignalsRequest>>,
    ) -> Result<Response<signals::StreamSignalsResponse>, Status> {
        Err(Status::unimplemented("a timeline does not ask for this"))
    }

    async fn get_signal(
        &self,
        _request: Request<signals::GetSignalRequest>,
    ) -> Result<Response<signals::GetSignalResponse>, Status> {
        Err(Status::unimplemented("a timeline does not ask for this"))
    }
}
