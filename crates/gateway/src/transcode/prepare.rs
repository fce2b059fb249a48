//! From a matched request to one call: path, query, body and headers become the request message.

use std::sync::Arc;

use errors::{ApiError, ErrorCode};
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};

use super::call::Call;
use super::conditional::{self, IF_VERSION};
use super::routes::{Matched, Route};
use super::shape::Shape;
use super::sparse::Fields;
use super::{Json, message, query};
use crate::backends::Backends;
use actix_web::HttpRequest;
use rpc::Principal;

/// What the path and the query say, for every item of a batch alike.
pub struct Frame {
    /// The route.
    pub route: Arc<Route>,
    /// A request with the fields of path and query.
    pub message: DynamicMessage,
    /// Fields that a body may not give.
    pub skip: Vec<FieldDescriptor>,
    /// The fields to answer with.
    pub fields: Option<Fields>,
    /// Whether nothing is to be changed.
    pub dry_run: bool,
}

/// On whose behalf calls are made.
#[derive(Clone)]
pub struct OnBehalf {
    /// Who.
    pub principal: Principal,
    /// Their request.
    pub request_id: String,
    /// Their network address.
    pub address: String,
}

impl Frame {
    /// Reads path and query.
    ///
    /// # Errors
    /// `invalid_id`, `invalid_parameter`.
    pub fn read(matched: Matched, query: &str) -> Result<Self, ApiError> {
        let Matched { route, path_fields } = matched;
        let mut message = DynamicMessage::new(route.input.clone());
        let mut skip: Vec<FieldDescriptor> = path_fields.iter().map(|(field, _)| field.clone()).collect();
        for (field, text) in path_fields {
            message.set_field(&field, Value::String(path_value(&field, text)?));
        }
        let sparse = query::fill(&mut message, query, !route.has_body, &skip)?;
        let fields = match (sparse, record_of(&route)) {
            (Some(text), Some(record)) => Some(Fields::parse(&text, &record)?),
            _ => None,
        };
        let controls = query::CONTROL.into_iter().chain([IF_VERSION]);
        skip.extend(controls.filter_map(|name| route.input.get_field_by_name(name)));
        let dry_run = message
            .get_field_by_name("dry_run")
            .and_then(|v| v.as_bool())
            .unwrap_or_default();
        Ok(Self {
            route,
            message,
            skip,
            fields,
            dry_run,
        })
    }

    /// The whole request.
    ///
    /// # Errors
    /// What is wrong with body or headers.
    pub fn fill(&mut self, request: &HttpRequest, body: Option<&[u8]>) -> Result<(), ApiError> {
        if let Some(body) = body {
            message::fill(&mut self.message, &Json::parse(body)?, &self.skip)?;
        }
        conditional::apply_if_match(request, &mut self.message)?;
        self.check_match()
    }

    /// An upsert must say what tells whether the record exists.
    ///
    /// # Errors
    /// `invalid_parameter`.
    pub fn check_match(&self) -> Result<(), ApiError> {
        let key = self
            .route
            .upserted()
            .and(self.route.input.get_field_by_name("match"));
        match key {
            Some(field) if !self.message.has_field(&field) => {
                let mut error = ApiError::new(
                    ErrorCode::InvalidParameter,
                    "say with `match` which key tells whether the record exists",
                );
                error.fields = vec![errors::FieldError::new(
                    "?match",
                    "required",
                    "the name of a key, for example match=email",
                )];
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// How the response becomes the answer.
    #[must_use]
    pub fn shape(self, path: String) -> (DynamicMessage, Shape) {
        let shape = Shape {
            route: self.route,
            path,
            fields: self.fields,
            dry_run: self.dry_run,
        };
        (self.message, shape)
    }
}

/// The call of a request.
///
/// # Errors
/// `unimplemented` when no service here answers for it.
pub fn call(
    backends: &Backends,
    route: &Route,
    message: &DynamicMessage,
    who: &OnBehalf,
) -> Result<Call, ApiError> {
    let channel = backends.of_service(&route.service).cloned().ok_or_else(|| {
        ApiError::new(
            ErrorCode::Unimplemented,
            "this part is not available in this installation",
        )
    })?;
    Ok(Call {
        channel,
        path: route.grpc_path.clone(),
        principal: who.principal.clone(),
        request_id: who.request_id.clone(),
        address: who.address.clone(),
        message: message.encode_to_vec().into(),
        reads: route.reads,
    })
}

/// Ids in paths are canonical UUIDs; one id has one spelling towards the services.
pub fn path_value(field: &FieldDescriptor, text: String) -> Result<String, ApiError> {
    if !field.name().ends_with("_id") {
        return Ok(text);
    }
    let id: ids::SignalId = text.parse().map_err(|_| {
        let detail = format!(
            "`{}` in the path must be a UUID such as 0197e1c8-1f2a-7b3c-8d4e-5f6071829304",
            field.json_name()
        );
        ApiError::new(ErrorCode::InvalidId, detail)
    })?;
    Ok(id.to_string())
}

/// The message of one record of the answer: the record itself, or an item of `data`.
fn record_of(route: &Route) -> Option<prost_reflect::MessageDescriptor> {
    let field = route
        .record
        .clone()
        .or_else(|| route.output.get_field_by_name("data"))
        .or_else(|| route.upserted().map(|(record, _)| record))?;
    match field.kind() {
        Kind::Message(record) => Some(record),
        _ => None,
    }
}
