//! The gRPC services: check, call, convert.
//!
//! Owns the reading of requests and the permission that each method needs. Must not: hold a rule of the domain, or a
//! statement.

mod accounts;
mod activities;
mod batch;
mod bulk;
mod contacts;
mod custom_fields;
mod deals;
mod exports;
mod field_checks;
mod given;
mod imports;
mod notes;
mod object_records;
mod objects;
mod objects_document;
mod pipelines;
mod search;
mod tags;
mod tasks;
mod timeline;
mod views;

use std::collections::HashMap;
use std::str::FromStr;

use ::store::OrgScope;
use errors::{ApiError, ErrorCode, ErrorDomain as _, FieldError};
use rpc::{Access, Caller};
use tonic::{Request, Status};

use crate::error::CrmError;

pub use accounts::AccountApi;
pub use activities::ActivityApi;
pub use batch::BatchApi;
pub use bulk::BulkApi;
pub use contacts::ContactApi;
pub use custom_fields::CustomFieldApi;
pub use deals::DealApi;
pub use exports::ExportApi;
pub use imports::ImportApi;
pub use notes::NoteApi;
pub use object_records::RecordApi;
pub use objects::ObjectApi;
pub use pipelines::PipelineApi;
pub use search::SearchApi;
pub use tags::TagApi;
pub use tasks::TaskApi;
pub use views::ViewApi;

/// The methods of a gRPC service, each by a method of the API type that answers or fails with [`CrmError`].
macro_rules! serve {
    ($api:ident, $service:ident { $($rpc:ident => $call:ident($ask:ident) -> $answer:ident;)* }) => {
        #[tonic::async_trait]
        impl $service for $api {
            $(async fn $rpc(&self, request: Request<crm::$ask>) -> Result<Response<crm::$answer>, Status> {
                self.$call(request).await.map(Response::new).map_err(answer)
            })*
        }
    };
}
use serve;

/// Checks who calls; returns the caller and the organization that the call is for.
fn enter<T>(request: &Request<T>, access: Access, resource: &str) -> Result<(Caller, OrgScope), CrmError> {
    let caller = rpc::caller(request).map_err(|status| ApiError::from_status(&status))?;
    caller.require(access, resource)?;
    let scope = OrgScope::new(caller.org()?);
    Ok((caller, scope))
}

/// An id of the path. `pointer` is its name in the path.
fn id<T: FromStr>(name: &str, text: &str) -> Result<T, CrmError> {
    text.parse().map_err(|_| {
        let message = "an id is a UUID in canonical form, for example 0197e1c8-1f2a-7b3c-8d4e-5f6071829304";
        let mut error = ApiError::new(ErrorCode::InvalidId, message);
        error.fields = vec![FieldError::new(format!("/{name}"), "invalid_id", message)];
        CrmError::Api(error)
    })
}

/// Filters in an order of their own, so that the first problem told is always the same.
fn filters(map: HashMap<String, String>) -> Vec<(String, String)> {
    let mut filters: Vec<_> = map.into_iter().collect();
    filters.sort();
    filters
}

/// The error as the caller sees it; what is our fault is logged here, once, with its causes.
fn answer(error: CrmError) -> Status {
    let told = error.to_api();
    let ours = matches!(
        told.code,
        ErrorCode::Internal | ErrorCode::DeadlineExceeded | ErrorCode::Unavailable
    );
    if ours && !matches!(error, CrmError::Api(_)) {
        tracing::error!(error = %format!("{:#}", anyhow::Error::new(error)), "a call failed");
    }
    told.to_status()
}
