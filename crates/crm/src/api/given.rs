//! What several requests have in common: who writes, owners, tags, own fields, links, and verdicts of batches.

use ::store::list::ListRequest;
use contracts::convert;
use contracts::crm::v1 as crm;
use errors::{ApiError, ErrorCode, ErrorDomain as _};
use jiff::Timestamp;
use prost_types::{ListValue, Struct};
use rpc::{Access, Actor, Caller};
use serde_json::Value;
use tonic::Request;

use super::{enter, filters};
use crate::domain::edit::Problems;
use crate::domain::extras::ExtrasEdit;
use crate::domain::work::LinksEdit;
use crate::error::CrmError;
use crate::store::{Did, Write};

/// Most items of a batch.
pub(super) const MAX_BATCH: usize = 1_000;

/// Checks that the caller may write; who it is, for histories.
pub(super) fn writing<T>(request: &Request<T>, resource: &str) -> Result<Write, CrmError> {
    writing_as(request, Access::Write, resource)
}

/// As [`writing`], with another right.
pub(super) fn writing_as<T>(request: &Request<T>, access: Access, resource: &str) -> Result<Write, CrmError> {
    let (caller, scope) = enter(request, access, resource)?;
    Ok(Write {
        scope,
        by: name_of(&caller),
        dry_run: false,
    })
}

/// Who calls, for histories.
pub(super) fn name_of(caller: &Caller) -> String {
    match &caller.principal().actor {
        Actor::User(id) => format!("user:{id}"),
        Actor::ApiKey(id) => format!("api_key:{id}"),
        Actor::System(name) => format!("system:{name}"),
        Actor::Nobody => "nobody".to_owned(),
    }
}

impl Write {
    /// The same, only tried if the request says so.
    pub(super) fn tried(mut self, dry_run: Option<bool>) -> Self {
        self.dry_run = dry_run.unwrap_or(false);
        self
    }
}

/// The list that a request asks for.
macro_rules! list_of {
    ($asked:expr) => {
        crate::api::given::list(
            $asked.limit,
            &$asked.cursor,
            &$asked.sort,
            std::mem::take(&mut $asked.filter),
            &$asked.include,
        )
    };
}
pub(super) use list_of;

/// See [`list_of`].
pub(super) fn list<'a>(
    limit: Option<i32>,
    cursor: &'a Option<String>,
    sort: &'a Option<String>,
    filter: std::collections::HashMap<String, String>,
    include: &'a Option<String>,
) -> ListRequest<'a> {
    ListRequest {
        limit,
        cursor: cursor.as_deref(),
        sort: sort.as_deref(),
        filters: filters(filter),
        include: include.as_deref(),
    }
}

/// The full filter of a list.
pub(super) fn tree(filter: Option<&Struct>) -> Option<serde_json::Map<String, Value>> {
    filter.map(convert::from_struct)
}

/// The values of a list.
pub(super) fn values(list: Option<ListValue>) -> Option<Vec<Value>> {
    list.map(|list| list.values.iter().map(convert::from_value).collect())
}

/// Owner, tags and own fields.
pub(super) fn extras(
    problems: &mut Problems,
    owner_id: Option<&str>,
    tags: Option<ListValue>,
    custom_fields: Option<&Struct>,
) -> ExtrasEdit {
    ExtrasEdit {
        owner: problems.user("/ownerId", owner_id),
        tags: problems.tags("/tags", values(tags)),
        custom: custom_fields.map(convert::from_struct).unwrap_or_default(),
    }
}

/// What a task, an activity or a note is about.
pub(super) fn links(
    problems: &mut Problems,
    account_id: Option<&str>,
    contact_id: Option<&str>,
    deal_id: Option<&str>,
) -> LinksEdit {
    let deal: Option<Option<ids::ActorId>> = problems.id("/dealId", deal_id);
    LinksEdit {
        account: problems.id("/accountId", account_id),
        contact: problems.id("/contactId", contact_id),
        deal: deal.map(|id| id.map(ids::ActorId::uuid)),
    }
}

/// A time, `None` inside when it is outside of what a time can be.
pub(super) fn time(at: Option<prost_types::Timestamp>) -> Option<Option<Timestamp>> {
    at.as_ref().map(convert::from_timestamp)
}

/// The bare id of the path.
pub(super) fn plain_id(name: &str, text: &str) -> Result<uuid::Uuid, CrmError> {
    super::id::<ids::ActorId>(name, text).map(ids::ActorId::uuid)
}

/// Refuses batches that are empty or too large.
pub(super) fn check_batch(items: usize, name: &str) -> Result<(), CrmError> {
    if (1..=MAX_BATCH).contains(&items) {
        return Ok(());
    }
    if items == 0 {
        let error = ApiError::invalid(format!("/{name}"), "required", "a batch has 1 to 1,000 items");
        return Err(CrmError::Api(error));
    }
    let message = "a batch has at most 1,000 items; import what is larger";
    Err(CrmError::Api(ApiError::new(ErrorCode::TooLarge, message)))
}

/// The verdict of one item. Failures of ours end the batch, for the caller to send it again.
pub(super) fn verdict(
    index: usize,
    done: Result<(Option<String>, Did), CrmError>,
) -> Result<crm::BatchResult, CrmError> {
    let index = i32::try_from(index).unwrap_or(i32::MAX);
    match done {
        Ok((id, did)) => Ok(crm::BatchResult {
            index,
            status: if did == Did::Created { 201 } else { 200 },
            id,
            outcome: Some(did.name().to_owned()),
            error: None,
        }),
        Err(error) => {
            let told = error.to_api();
            if told.code.http_status() >= 500 {
                return Err(error);
            }
            let errors = told.fields.into_iter().map(|field| crm::BatchFieldError {
                pointer: field.pointer,
                code: field.code,
                message: field.message,
            });
            Ok(crm::BatchResult {
                index,
                status: i32::from(told.code.http_status()),
                id: None,
                outcome: None,
                error: Some(crm::BatchError {
                    code: told.code.as_str().to_owned(),
                    detail: told.detail,
                    errors: errors.collect(),
                }),
            })
        }
    }
}
