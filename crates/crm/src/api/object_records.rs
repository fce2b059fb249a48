//! `devsignal.crm.v1.RecordService`.

use contracts::convert;
use contracts::crm::v1 as crm;
use contracts::crm::v1::record_service_server::RecordService;
use rpc::Access;
use serde_json::{Map, Value};
use tonic::{Request, Response, Status};

use super::given::{list_of, plain_id, tree, writing};
use super::objects::RESOURCE;
use super::{answer, enter, serve};
use crate::error::CrmError;
use crate::store::Records;
use crate::wire;

/// Records of custom objects.
pub struct RecordApi {
    records: Records,
}

impl RecordApi {
    /// The service over these records.
    #[must_use]
    pub fn new(records: Records) -> Self {
        Self { records }
    }

    async fn list(
        &self,
        request: Request<crm::ListRecordsRequest>,
    ) -> Result<crm::ListRecordsResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let mut asked = request.into_inner();
        let tree = tree(asked.r#where.as_ref());
        let wanted = list_of!(asked);
        let page = self
            .records
            .list_records(&scope, &asked.object, &wanted, tree.as_ref())
            .await?;
        let data = page
            .items
            .iter()
            .map(|record| wire::record(&asked.object, record));
        Ok(crm::ListRecordsResponse {
            data: data.collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        })
    }

    async fn get(&self, request: Request<crm::GetRecordRequest>) -> Result<crm::GetRecordResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let asked = request.into_inner();
        let id = plain_id("recordId", &asked.record_id)?;
        let record = self.records.record(&scope, &asked.object, id).await?;
        Ok(crm::GetRecordResponse {
            record: Some(wire::record(&asked.object, &record)),
        })
    }

    async fn create(
        &self,
        request: Request<crm::CreateRecordRequest>,
    ) -> Result<crm::CreateRecordResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let values = values(asked.values.as_ref());
        let (record, _) = self
            .records
            .put_record(&write, &asked.object, &values, None)
            .await?;
        Ok(crm::CreateRecordResponse {
            record: Some(wire::record(&asked.object, &record)),
        })
    }

    async fn upsert(
        &self,
        request: Request<crm::UpsertRecordRequest>,
    ) -> Result<crm::UpsertRecordResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let values = values(asked.values.as_ref());
        let (record, did) = self
            .records
            .put_record(&write, &asked.object, &values, Some(&asked.r#match))
            .await?;
        Ok(crm::UpsertRecordResponse {
            record: Some(wire::record(&asked.object, &record)),
            outcome: did.name().to_owned(),
        })
    }

    async fn update(
        &self,
        request: Request<crm::UpdateRecordRequest>,
    ) -> Result<crm::UpdateRecordResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let id = plain_id("recordId", &asked.record_id)?;
        let values = values(asked.values.as_ref());
        let record = self
            .records
            .edit_record(&write, &asked.object, id, &values, asked.if_version)
            .await?;
        Ok(crm::UpdateRecordResponse {
            record: Some(wire::record(&asked.object, &record)),
        })
    }

    async fn delete(
        &self,
        request: Request<crm::DeleteRecordRequest>,
    ) -> Result<crm::DeleteRecordResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let id = plain_id("recordId", &asked.record_id)?;
        self.records
            .delete_record(&write.tried(asked.dry_run), &asked.object, id, asked.if_version)
            .await?;
        Ok(crm::DeleteRecordResponse {})
    }
}

fn values(given: Option<&prost_types::Struct>) -> Map<String, Value> {
    given.map(convert::from_struct).unwrap_or_default()
}

serve!(RecordApi, RecordService {
    list_records => list(ListRecordsRequest) -> ListRecordsResponse;
    get_record => get(GetRecordRequest) -> GetRecordResponse;
    create_record => create(CreateRecordRequest) -> CreateRecordResponse;
    upsert_record => upsert(UpsertRecordRequest) -> UpsertRecordResponse;
    update_record => update(UpdateRecordRequest) -> UpdateRecordResponse;
    delete_record => delete(DeleteRecordRequest) -> DeleteRecordResponse;
});
