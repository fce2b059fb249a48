//! `devsignal.crm.v1.ExportService`.

use std::pin::Pin;

use contracts::crm::v1 as crm;
use contracts::crm::v1::export_service_server::ExportService;
use futures::{Stream, StreamExt as _};
use rpc::Access;
use tonic::{Request, Response, Status};

use super::given::tree;
use super::imports::resource_of;
use super::{answer, enter, filters};
use crate::domain::edit::Problems;
use crate::domain::extras::Object;
use crate::error::CrmError;
use crate::store::Records;
use crate::transfer::{ExportQuery, export};

/// First half of the scopes that these methods need.
const RESOURCE: &str = "exports";

/// Lists as files.
pub struct ExportApi {
    records: Records,
}

type Parts = Pin<Box<dyn Stream<Item = Result<crm::ExportRecordsResponse, Status>> + Send>>;

impl ExportApi {
    /// The service over these records.
    #[must_use]
    pub fn new(records: Records) -> Self {
        Self { records }
    }

    async fn export(&self, request: Request<crm::ExportRecordsRequest>) -> Result<Parts, CrmError> {
        let (caller, scope) = enter(&request, Access::Read, RESOURCE)?;
        let asked = request.into_inner();
        let mut problems = Problems::default();
        let object = Object::parse(&asked.object);
        if object.is_none() {
            problems.add(
                "/object",
                "unknown_value",
                "it is one of: account, contact, deal".to_owned(),
            );
        }
        let format = problems
            .word("/format", Some(&asked.format), &["csv", "ndjson"])
            .flatten();
        if format.is_none() && problems.is_none() {
            problems.add("/format", "required", "it is csv or ndjson".to_owned());
        }
        problems.unless(()).map_err(CrmError::Invalid)?;
        let object = object.unwrap_or(Object::Contact);
        caller.require(Access::Read, resource_of(object))?;
        let query = ExportQuery {
            object,
            ndjson: format == Some("ndjson"),
            filters: filters(asked.filter),
            tree: tree(asked.r#where.as_ref()),
            sort: asked.sort,
        };
        let parts = export(self.records.clone(), scope, query).await?;
        let message = |content| crm::ExportRecordsResponse { content };
        Ok(parts.map(move |part| part.map(message).map_err(answer)).boxed())
    }
}

#[tonic::async_trait]
impl ExportService for ExportApi {
    type ExportRecordsStream = Parts;

    async fn export_records(
        &self,
        request: Request<crm::ExportRecordsRequest>,
    ) -> Result<Response<Self::ExportRecordsStream>, Status> {
        self.export(request).await.map(Response::new).map_err(answer)
    }
}
