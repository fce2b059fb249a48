//! Files in and out: uploads of imports, reports, exports. Bytes pass through; nothing is held but what is on its way.
//!
//! Owns: the HTTP side. Must not: read a file, or know what is in it.

mod body;
mod described;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use contracts::access::rule_of;
use contracts::crm::v1 as crm;
use contracts::crm::v1::export_service_client::ExportServiceClient;
use contracts::crm::v1::import_service_client::ImportServiceClient;
use errors::{ApiError, ErrorCode};
use futures::{Stream, StreamExt as _};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

pub use described::described;

use self::body::{Whole, check_upload, feed};
use crate::access::Credential;
use crate::audit::Asked;
use crate::backends::{ADDRESS_KEY, Backends, api_error};
use crate::config::HttpSettings;
use crate::contract::Contract;
use crate::error::StartError;
use crate::home::Home;
use crate::http::{Context, json, unknown_parameter};
use crate::transcode::{decode_parameter, to_json};

const UPLOAD: &str = "/devsignal.crm.v1.ImportService/UploadImport";
const REPORT: &str = "/devsignal.crm.v1.ImportService/ExportImportReport";
const EXPORT: &str = "/devsignal.crm.v1.ExportService/ExportRecords";
/// Parts on their way.
const PARTS: usize = 4;

/// Files in and out. Cheap to clone.
#[derive(Clone)]
pub struct Transfer {
    channel: Channel,
    backends: Backends,
    home: Home,
    import: MessageDescriptor,
}

/// What a path of this module is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way<'p> {
    /// A file comes in.
    Upload,
    /// The report of an import.
    Report(&'p str),
    /// A list of these records.
    Export(&'static str),
}

impl<'p> Way<'p> {
    /// What a request is, if it is one of these.
    #[must_use]
    pub fn of(method: &Method, path: &'p str) -> Option<Self> {
        let rest = path.strip_prefix("/api/v1/")?;
        let is_read = method == Method::GET || method == Method::HEAD;
        match rest {
            "imports" if method == Method::POST => return Some(Self::Upload),
            "contacts/export" if is_read => return Some(Self::Export("contact")),
            "accounts/export" if is_read => return Some(Self::Export("account")),
            "deals/export" if is_read => return Some(Self::Export("deal")),
            _ => {}
        }
        let id = rest.strip_prefix("imports/")?.strip_suffix("/report")?;
        (is_read && !id.is_empty() && !id.contains('/')).then_some(Self::Report(id))
    }
}

impl Transfer {
    /// Files to and from crm.
    ///
    /// # Errors
    /// The contract has no imports.
    pub fn new(contract: &Contract, backends: &Backends, home: Home) -> Result<Self, StartError> {
        let name = "devsignal.crm.v1.Import";
        let import = contract.pool().get_message_by_name(name);
        Ok(Self {
            channel: backends.crm_streams(),
            backends: backends.clone(),
            home,
            import: import.ok_or_else(|| StartError::Descriptors(format!("there is no {name}")))?,
        })
    }

    /// Answers a request of this module.
    ///
    /// # Errors
    /// `permission_denied`, `invalid_parameter`, what crm answers, `unavailable`.
    pub async fn answer(
        &self,
        way: Way<'_>,
        request: &HttpRequest,
        payload: &mut Payload,
        (caller, context): (Arc<Credential>, &Context),
        settings: &HttpSettings,
    ) -> Result<HttpResponse, ApiError> {
        match way {
            Way::Upload => self.upload(request, payload, &caller, context, settings).await,
            Way::Report(id) => {
                parameters(request, &[])?;
                let message = crm::ExportImportReportRequest {
                    import_id: id.to_owned(),
                };
                let mut call = self.call(REPORT, message, &caller, context).await?;
                let mut client = ImportServiceClient::new(self.channel.clone());
                let call = async move {
                    call.set_timeout(Duration::from_secs(3_600));
                    client.export_import_report(call).await
                };
                let parts = self.ask(call).await?;
                let name = format!(
                    "import-{}.csv",
                    id.chars()
                        .filter(char::is_ascii_graphic)
                        .take(40)
                        .collect::<String>()
                );
                Ok(file(
                    parts.map(|part| part.map(|part| part.content)),
                    "text/csv; charset=utf-8",
                    &name,
                ))
            }
            Way::Export(object) => self.export(object, request, &caller, context).await,
        }
    }

    async fn upload(
        &self,
        request: &HttpRequest,
        payload: &mut Payload,
        caller: &Credential,
        context: &Context,
        settings: &HttpSettings,
    ) -> Result<HttpResponse, ApiError> {
        check_upload(request, settings.max_import_bytes)?;
        let given = parameters(request, &["object", "fileName", "encoding", "separator"])?;
        let head = crm::UploadImportRequest {
            object: given.get("object").cloned().unwrap_or_default(),
            file_name: given.get("fileName").cloned(),
            encoding: given.get("encoding").cloned(),
            separator: given.get("separator").cloned(),
            content: Vec::new(),
        };
        let audited = self.open(UPLOAD, &head, caller, context).await?;
        let (parts, taken) = mpsc::channel(PARTS);
        let mut call = tonic::Request::new(ReceiverStream::new(taken));
        self.sign(call.metadata_mut(), caller, context)?;
        let whole = Whole::default();
        let mut client = ImportServiceClient::new(whole.guard(self.channel.clone()));
        let answered = self
            .home
            .run("import-upload", async move { client.upload_import(call).await });
        let fed = feed(payload, head, &parts, settings.max_import_bytes).await;
        if fed.is_ok() {
            whole.set();
        }
        drop(parts);
        let answer = match (fed, answered.await) {
            (Err(error), _) => Err(error),
            (Ok(()), Err(_)) => Err(ApiError::internal()),
            (Ok(()), Ok(answer)) => answer.map_err(|status| api_error(&status)),
        };
        if let Some(open) = audited {
            let told = answer
                .as_ref()
                .map(|answer| Bytes::from(answer.get_ref().encode_to_vec()));
            open.close(told.as_ref().map_err(|error| error.code)).await;
        }
        let import = answer?.into_inner().import.ok_or_else(ApiError::internal)?;
        let location = format!("/api/v1/imports/{}", import.id);
        let dynamic = DynamicMessage::decode(self.import.clone(), import.encode_to_vec().as_slice());
        let dynamic = dynamic.map_err(|_| ApiError::internal())?;
        let mut response = json(StatusCode::CREATED, to_json(&dynamic).to_string());
        if let Ok(location) = location.parse() {
            response
                .headers_mut()
                .insert(actix_web::http::header::LOCATION, location);
        }
        Ok(response)
    }

    async fn export(
        &self,
        object: &'static str,
        request: &HttpRequest,
        caller: &Credential,
        context: &Context,
    ) -> Result<HttpResponse, ApiError> {
        let mut given = parameters(request, &["format", "sort", "filter"])?;
        let format = given.remove("format").unwrap_or_else(|| "csv".to_owned());
        let sort = given.remove("sort");
        let filter = given.into_iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("filter[")?.strip_suffix(']')?;
            Some((name.to_owned(), value))
        });
        let message = crm::ExportRecordsRequest {
            object: object.to_owned(),
            format: format.clone(),
            filter: filter.collect(),
            r#where: None,
            sort,
        };
        let mut call = self.call(EXPORT, message, caller, context).await?;
        let mut client = ExportServiceClient::new(self.channel.clone()).max_decoding_message_size(64 << 20);
        let call = async move {
            call.set_timeout(Duration::from_secs(3_600));
            client.export_records(call).await
        };
        let parts = self.ask(call).await?;
        let kind = if format == "csv" {
            "text/csv; charset=utf-8"
        } else {
            "application/x-ndjson"
        };
        Ok(file(
            parts.map(|part| part.map(|part| part.content)),
            kind,
            &format!("{object}s.{format}"),
        ))
    }

    /// A call to crm on behalf of the caller, in the audit log.
    async fn call<M: prost::Message>(
        &self,
        method: &'static str,
        message: M,
        caller: &Credential,
        context: &Context,
    ) -> Result<tonic::Request<M>, ApiError> {
        let audited = self.open(method, &message, caller, context).await?;
        let mut call = tonic::Request::new(message);
        self.sign(call.metadata_mut(), caller, context)?;
        if let Some(open) = audited {
            // What is kept is that it was asked for; the answer is a file.
            open.close(Ok(&Bytes::new())).await;
        }
        Ok(call)
    }

    async fn open<M: prost::Message>(
        &self,
        method: &'static str,
        message: &M,
        caller: &Credential,
        context: &Context,
    ) -> Result<Option<crate::audit::Open>, ApiError> {
        let rule = rule_of(method).ok_or_else(ApiError::internal)?;
        caller.check(rule)?;
        let asked = Asked {
            method,
            principal: &caller.principal,
            request_id: context.id(),
            address: &context.address,
            message: &Bytes::from(message.encode_to_vec()),
        };
        Box::pin(self.backends.admit(asked)).await
    }

    fn sign(
        &self,
        metadata: &mut tonic::metadata::MetadataMap,
        caller: &Credential,
        context: &Context,
    ) -> Result<(), ApiError> {
        self.backends.sign(metadata, &caller.principal, context.id())?;
        if let Ok(address) = context.address.parse() {
            metadata.insert(ADDRESS_KEY, address);
        }
        Ok(())
    }

    async fn ask<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<tonic::Response<Streaming<T>>, tonic::Status>> + Send + 'static,
    ) -> Result<Streaming<T>, ApiError> {
        let answered = self
            .home
            .run("download", call)
            .await
            .map_err(|_| ApiError::internal())?;
        answered
            .map(tonic::Response::into_inner)
            .map_err(|status| api_error(&status))
    }
}

/// The parameters of the query string; `filter` allows `filter[name]`.
fn parameters(request: &HttpRequest, allowed: &[&str]) -> Result<HashMap<String, String>, ApiError> {
    let mut given = HashMap::new();
    for part in request.query_string().split('&').filter(|part| !part.is_empty()) {
        let (name, value) = decode_parameter(part)?;
        let stem = name.split('[').next().unwrap_or_default();
        let is_filter = stem == "filter" && name.ends_with(']');
        let known = allowed.contains(&stem) && (is_filter || (stem == name && stem != "filter"));
        if !known {
            let name: String = name.chars().take(100).collect();
            return Err(unknown_parameter(&name, &allowed.join(", ")));
        }
        if given.insert(name.clone(), value).is_some() {
            return Err(ApiError::new(
                ErrorCode::InvalidParameter,
                format!("`{name}` is given twice"),
            ));
        }
    }
    Ok(given)
}

/// A download. A failure in the middle cuts it off, so that nobody takes it for whole.
fn file(
    parts: impl Stream<Item = Result<Vec<u8>, tonic::Status>> + 'static,
    kind: &'static str,
    name: &str,
) -> HttpResponse {
    let parts = parts.map(|part| {
        part.map(Bytes::from).map_err(|status| {
            tracing::warn!(code = ?status.code(), message = status.message(), "a download broke off");
            std::io::Error::other("the download broke off")
        })
    });
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, kind))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .insert_header(("x-content-type-options", "nosniff"))
        .streaming(parts)
}
