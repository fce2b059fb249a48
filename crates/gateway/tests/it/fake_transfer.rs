//! Imports and exports as the gateway sees them.

use std::pin::Pin;

use contracts::crm::v1::export_service_server::ExportService;
use contracts::crm::v1::import_service_server::ImportService;
use contracts::crm::v1::{self as crm, Import};
use errors::{ApiError, ErrorCode};
use futures::Stream;
use rpc::Access;
use tonic::{Request, Response, Status, Streaming};

use crate::fakes::{Fake, KNOWN};

type Parts<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// How many parts an export has, of this size; the last one of `ndjson` fails.
pub const PARTS: usize = 40;
pub const PART: usize = 100_000;

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(ApiError::not_found("import").to_status())
}

#[tonic::async_trait]
impl ImportService for Fake {
    type ExportImportReportStream = Parts<crm::ExportImportReportResponse>;

    async fn upload_import(
        &self,
        request: Request<Streaming<crm::UploadImportRequest>>,
    ) -> Result<Response<crm::UploadImportResponse>, Status> {
        rpc::caller(&request)?.require(Access::Write, "imports")?;
        let mut parts = request.into_inner();
        let first = parts
            .message()
            .await?
            .ok_or_else(|| Status::internal("nothing"))?;
        if first.object != "contact" {
            return Err(ApiError::invalid("/object", "unknown_value", "no").to_status());
        }
        let mut bytes = i64::try_from(first.content.len()).unwrap();
        while let Some(part) = parts.message().await? {
            assert!(part.content.len() < 2 << 20, "a part is small");
            bytes += i64::try_from(part.content.len()).unwrap();
        }
        self.0.uploaded.lock().push(bytes);
        Ok(Response::new(crm::UploadImportResponse {
            import: Some(Import {
                id: KNOWN.to_owned(),
                object: first.object,
                file_name: first.file_name,
                bytes,
                ..Import::default()
            }),
        }))
    }

    async fn list_imports(
        &self,
        _: Request<crm::ListImportsRequest>,
    ) -> Result<Response<crm::ListImportsResponse>, Status> {
        Ok(Response::new(crm::ListImportsResponse::default()))
    }

    async fn get_import(
        &self,
        _: Request<crm::GetImportRequest>,
    ) -> Result<Response<crm::GetImportResponse>, Status> {
        not_here()
    }

    async fn update_import(
        &self,
        _: Request<crm::UpdateImportRequest>,
    ) -> Result<Response<crm::UpdateImportResponse>, Status> {
        not_here()
    }

    async fn list_import_rows(
        &self,
        _: Request<crm::ListImportRowsRequest>,
    ) -> Result<Response<crm::ListImportRowsResponse>, Status> {
        not_here()
    }

    async fn commit_import(
        &self,
        _: Request<crm::CommitImportRequest>,
    ) -> Result<Response<crm::CommitImportResponse>, Status> {
        not_here()
    }

    async fn cancel_import(
        &self,
        _: Request<crm::CancelImportRequest>,
    ) -> Result<Response<crm::CancelImportResponse>, Status> {
        not_here()
    }

    async fn undo_import(
        &self,
        _: Request<crm::UndoImportRequest>,
    ) -> Result<Response<crm::UndoImportResponse>, Status> {
        not_here()
    }

    async fn delete_import(
        &self,
        _: Request<crm::DeleteImportRequest>,
    ) -> Result<Response<crm::DeleteImportResponse>, Status> {
        not_here()
    }

    async fn export_import_report(
        &self,
        request: Request<crm::ExportImportReportRequest>,
    ) -> Result<Response<Self::ExportImportReportStream>, Status> {
        if request.get_ref().import_id != KNOWN {
            return not_here();
        }
        let content = b"row,outcome\r\n1,created\r\n".to_vec();
        let parts = futures::stream::iter([Ok(crm::ExportImportReportResponse { content })]);
        Ok(Response::new(Box::pin(parts)))
    }
}

#[tonic::async_trait]
impl ExportService for Fake {
    type ExportRecordsStream = Parts<crm::ExportRecordsResponse>;

    async fn export_records(
        &self,
        request: Request<crm::ExportRecordsRequest>,
    ) -> Result<Response<Self::ExportRecordsStream>, Status> {
        let asked = request.into_inner();
        if asked.filter.contains_key("nothing") {
            return Err(ApiError::new(ErrorCode::InvalidParameter, "no such filter").to_status());
        }
        let breaks = asked.format == "ndjson";
        let part = move |n: usize| {
            if breaks && n + 1 == PARTS {
                return Err(Status::unavailable("gone"));
            }
            let content = vec![b'x'; PART];
            Ok(crm::ExportRecordsResponse { content })
        };
        Ok(Response::new(Box::pin(futures::stream::iter(
            (0..PARTS).map(part),
        ))))
    }
}
