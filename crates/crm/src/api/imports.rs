//! `devsignal.crm.v1.ImportService`.

use std::pin::Pin;

use ::store::OrgScope;
use contracts::crm::v1 as crm;
use contracts::crm::v1::import_service_server::ImportService;
use errors::{ApiError, ErrorCode};
use futures::{Stream, StreamExt as _};
use rpc::Access;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::given::{list_of, plain_id, writing};
use super::{answer, enter};
use crate::config::ImportSettings;
use crate::domain::extras::Object;
use crate::domain::transfer::mapping::DateOrder;
use crate::error::CrmError;
use crate::store::{Import, ImportEdit, Records, Reported, Write};
use crate::transfer::{ImportWorker, Upload, UploadHead, judge, report};
use crate::wire_imports;

/// First half of the scopes that these methods need.
const RESOURCE: &str = "imports";

/// Imports of files.
pub struct ImportApi {
    records: Records,
    settings: ImportSettings,
    worker: ImportWorker,
}

/// First half of the scopes of a kind of records.
pub(super) fn resource_of(object: Object) -> &'static str {
    match object {
        Object::Account => "accounts",
        Object::Contact => "contacts",
        Object::Deal => "deals",
    }
}

impl ImportApi {
    /// The service over these records; `worker` is told when there is something to do.
    #[must_use]
    pub fn new(records: Records, settings: ImportSettings, worker: ImportWorker) -> Self {
        Self {
            records,
            settings,
            worker,
        }
    }

    async fn upload(
        &self,
        request: Request<Streaming<crm::UploadImportRequest>>,
    ) -> Result<crm::UploadImportResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let mut parts = request.into_inner();
        let broken = |status: Status| CrmError::Api(ApiError::from_status(&status));
        let Some(first) = parts.message().await.map_err(broken)? else {
            let error = ApiError::invalid("/object", "required", "the first part tells what the file is");
            return Err(CrmError::Api(error));
        };
        let head = UploadHead::read(
            &first.object,
            first.file_name,
            first.encoding.as_deref(),
            first.separator.as_deref(),
        )?;
        let mut upload = Upload::begin(&self.records, &self.settings, &write, head).await?;
        let id = upload.id();
        let taken = async {
            let mut content = first.content;
            loop {
                upload.take(&content).await?;
                match parts.message().await.map_err(broken)? {
                    Some(part) => content = part.content,
                    None => return upload.end().await,
                }
            }
        };
        match taken.await {
            Ok(import) => Ok(crm::UploadImportResponse {
                import: Some(wire_imports::import(&import)),
            }),
            Err(error) => {
                Upload::give_up(&self.records, &write.scope, id).await;
                Err(error)
            }
        }
    }

    async fn list(
        &self,
        request: Request<crm::ListImportsRequest>,
    ) -> Result<crm::ListImportsResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let mut asked = request.into_inner();
        let page = self.records.list_imports(&scope, &list_of!(asked)).await?;
        Ok(crm::ListImportsResponse {
            data: page.items.iter().map(wire_imports::import).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        })
    }

    async fn get(&self, request: Request<crm::GetImportRequest>) -> Result<crm::GetImportResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let id = plain_id("importId", &request.get_ref().import_id)?;
        let import = self.records.import(&scope, id).await?;
        Ok(crm::GetImportResponse {
            import: Some(wire_imports::import(&import)),
        })
    }

    async fn update(
        &self,
        request: Request<crm::UpdateImportRequest>,
    ) -> Result<crm::UpdateImportResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let id = plain_id("importId", &asked.import_id)?;
        let held = self.records.import(&write.scope, id).await?;
        let mut options = held.options;
        if let Some(order) = &asked.date_order {
            let message = "it is mdy or dmy";
            options.date_order = DateOrder::parse(order)
                .ok_or_else(|| CrmError::Api(ApiError::invalid("/dateOrder", "unknown_value", message)))?;
        }
        options.create_accounts = asked.create_accounts.unwrap_or(options.create_accounts);
        options.tell_events = asked.tell_events.unwrap_or(options.tell_events);
        let columns = asked.columns.into_iter().map(|column| {
            let place = usize::try_from(column.index).unwrap_or(usize::MAX);
            (place, column.field.filter(|field| !field.is_empty()))
        });
        let edit = ImportEdit {
            columns: columns.collect(),
            options: Some(options),
        };
        // The options were completed by what stands there: nobody else may have changed them since.
        let version = asked.if_version.unwrap_or(held.version);
        let import = self.records.edit_import(&write, id, &edit, Some(version)).await?;
        Ok(crm::UpdateImportResponse {
            import: Some(wire_imports::import(&import)),
        })
    }

    async fn rows(
        &self,
        request: Request<crm::ListImportRowsRequest>,
    ) -> Result<crm::ListImportRowsResponse, CrmError> {
        let (caller, scope) = enter(&request, Access::Read, RESOURCE)?;
        let asked = request.into_inner();
        let id = plain_id("importId", &asked.import_id)?;
        let import = self.records.import(&scope, id).await?;
        caller.require(Access::Read, resource_of(import.object))?;
        let filters = super::filters(asked.filter);
        let preview = import.state == "uploaded";
        if preview && !filters.is_empty() {
            let message = "rows can be filtered when the commit has begun";
            return Err(CrmError::Api(ApiError::new(ErrorCode::InvalidParameter, message)));
        }
        let place = (asked.limit, asked.cursor.as_deref());
        let mut page = self.records.import_rows(&scope, &import, place, &filters).await?;
        if preview {
            self.preview(&scope, &import, &mut page.items).await?;
        }
        Ok(crm::ListImportRowsResponse {
            data: page
                .items
                .iter()
                .map(|row| wire_imports::import_row(&import, row, preview))
                .collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
        })
    }

    async fn preview(
        &self,
        scope: &OrgScope,
        import: &Import,
        rows: &mut [Reported],
    ) -> Result<(), CrmError> {
        let cells: Vec<_> = rows.iter().map(|row| (row.row, row.cells.clone())).collect();
        let judged = judge(&self.records, scope, import, &cells).await?;
        for (row, result) in rows.iter_mut().zip(judged) {
            row.result = Some(result);
        }
        Ok(())
    }

    async fn turn(
        &self,
        write: &Write,
        id: Uuid,
        states: (&[&str], &str),
        if_version: Option<i64>,
    ) -> Result<crm::Import, CrmError> {
        let import = self.records.turn_import(write, id, states, if_version).await?;
        self.worker.poke();
        Ok(wire_imports::import(&import))
    }

    /// Checks that the caller may write what the import writes.
    async fn may_write<T>(&self, request: &Request<T>, id: &str) -> Result<(Write, Uuid), CrmError> {
        let write = writing(request, RESOURCE)?;
        let id = plain_id("importId", id)?;
        let import = self.records.import(&write.scope, id).await?;
        let (caller, _) = enter(request, Access::Write, resource_of(import.object))?;
        if import.options.create_accounts {
            caller.require(Access::Write, "accounts")?;
        }
        Ok((write, id))
    }

    async fn commit(
        &self,
        request: Request<crm::CommitImportRequest>,
    ) -> Result<crm::CommitImportResponse, CrmError> {
        let (write, id) = self.may_write(&request, &request.get_ref().import_id).await?;
        let states = (&["uploaded"][..], "committing");
        let import = self
            .turn(&write, id, states, request.get_ref().if_version)
            .await?;
        Ok(crm::CommitImportResponse { import: Some(import) })
    }

    async fn cancel(
        &self,
        request: Request<crm::CancelImportRequest>,
    ) -> Result<crm::CancelImportResponse, CrmError> {
        let (write, id) = self.may_write(&request, &request.get_ref().import_id).await?;
        let states = (&["committing"][..], "cancelled");
        let import = self.turn(&write, id, states, None).await?;
        Ok(crm::CancelImportResponse { import: Some(import) })
    }

    async fn undo(
        &self,
        request: Request<crm::UndoImportRequest>,
    ) -> Result<crm::UndoImportResponse, CrmError> {
        let (write, id) = self.may_write(&request, &request.get_ref().import_id).await?;
        let states = (&["committed", "cancelled", "failed"][..], "undoing");
        let import = self.turn(&write, id, states, None).await?;
        Ok(crm::UndoImportResponse { import: Some(import) })
    }

    async fn delete(
        &self,
        request: Request<crm::DeleteImportRequest>,
    ) -> Result<crm::DeleteImportResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let id = plain_id("importId", &request.get_ref().import_id)?;
        self.records.delete_import(&write, id).await?;
        Ok(crm::DeleteImportResponse {})
    }

    async fn report(
        &self,
        request: Request<crm::ExportImportReportRequest>,
    ) -> Result<ReportStream, CrmError> {
        let (caller, scope) = enter(&request, Access::Read, RESOURCE)?;
        let id = plain_id("importId", &request.get_ref().import_id)?;
        let import = self.records.import(&scope, id).await?;
        caller.require(Access::Read, resource_of(import.object))?;
        let parts = report(self.records.clone(), scope, import);
        Ok(parts
            .map(|part| {
                part.map(|content| crm::ExportImportReportResponse { content })
                    .map_err(answer)
            })
            .boxed())
    }
}

type ReportStream = Pin<Box<dyn Stream<Item = Result<crm::ExportImportReportResponse, Status>> + Send>>;

#[tonic::async_trait]
impl ImportService for ImportApi {
    type ExportImportReportStream = ReportStream;

    async fn upload_import(
        &self,
        request: Request<Streaming<crm::UploadImportRequest>>,
    ) -> Result<Response<crm::UploadImportResponse>, Status> {
        Box::pin(self.upload(request))
            .await
            .map(Response::new)
            .map_err(answer)
    }

    async fn list_imports(
        &self,
        request: Request<crm::ListImportsRequest>,
    ) -> Result<Response<crm::ListImportsResponse>, Status> {
        self.list(request).await.map(Response::new).map_err(answer)
    }

    async fn get_import(
        &self,
        request: Request<crm::GetImportRequest>,
    ) -> Result<Response<crm::GetImportResponse>, Status> {
        self.get(request).await.map(Response::new).map_err(answer)
    }

    async fn update_import(
        &self,
        request: Request<crm::UpdateImportRequest>,
    ) -> Result<Response<crm::UpdateImportResponse>, Status> {
        self.update(request).await.map(Response::new).map_err(answer)
    }

    async fn list_import_rows(
        &self,
        request: Request<crm::ListImportRowsRequest>,
    ) -> Result<Response<crm::ListImportRowsResponse>, Status> {
        self.rows(request).await.map(Response::new).map_err(answer)
    }

    async fn commit_import(
        &self,
        request: Request<crm::CommitImportRequest>,
    ) -> Result<Response<crm::CommitImportResponse>, Status> {
        self.commit(request).await.map(Response::new).map_err(answer)
    }

    async fn cancel_import(
        &self,
        request: Request<crm::CancelImportRequest>,
    ) -> Result<Response<crm::CancelImportResponse>, Status> {
        self.cancel(request).await.map(Response::new).map_err(answer)
    }

    async fn undo_import(
        &self,
        request: Request<crm::UndoImportRequest>,
    ) -> Result<Response<crm::UndoImportResponse>, Status> {
        self.undo(request).await.map(Response::new).map_err(answer)
    }

    async fn delete_import(
        &self,
        request: Request<crm::DeleteImportRequest>,
    ) -> Result<Response<crm::DeleteImportResponse>, Status> {
        self.delete(request).await.map(Response::new).map_err(answer)
    }

    async fn export_import_report(
        &self,
        request: Request<crm::ExportImportReportRequest>,
    ) -> Result<Response<Self::ExportImportReportStream>, Status> {
        self.report(request).await.map(Response::new).map_err(answer)
    }
}
