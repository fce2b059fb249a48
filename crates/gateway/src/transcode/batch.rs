//! Up to a thousand writes in one request: each its own call, each with its own verdict, answered with 207.

use errors::{ApiError, ErrorCode, FieldError};
use futures::StreamExt as _;
use prost_reflect::{DynamicMessage, Value};
use serde_json::{Map, Value as Out, json};

use super::conditional::IF_VERSION;
use super::json::pointer;
use super::prepare::{Frame, OnBehalf, call};
use super::routes::Batch;
use super::shape::Shape;
use super::{Answer, Json, message};
use crate::backends::Backends;

/// Items of a batch.
pub const MAX_ITEMS: usize = 1_000;
/// Calls of one batch at the same time: a batch must not take a service from everybody else.
const AT_ONCE: usize = 8;

/// A batch that was read.
pub struct Prepared {
    items: Vec<Result<DynamicMessage, ApiError>>,
    shape: Shape,
    who: OnBehalf,
}

impl Prepared {
    /// Reads the body. A bad item fails alone; a body that is no batch fails whole.
    ///
    /// # Errors
    /// `invalid_parameter`, `malformed_json`, `validation_failed`, `too_large`.
    pub fn read(
        frame: Frame,
        batch: &Batch,
        body: &[u8],
        path: String,
        who: OnBehalf,
    ) -> Result<Self, ApiError> {
        frame.check_match()?;
        let items = items(Json::parse(body)?)?;
        let version = frame
            .message
            .get_field_by_name(IF_VERSION)
            .and(frame.route.input.get_field_by_name(IF_VERSION));
        let mut read = Vec::with_capacity(items.len());
        for item in items {
            read.push(one(&frame, batch, version.as_ref(), item));
        }
        let (_, shape) = frame.shape(path);
        Ok(Self {
            items: read,
            shape,
            who,
        })
    }

    /// Makes the calls.
    ///
    /// # Errors
    /// None of its own: every item has its verdict.
    pub async fn run(self, backends: &Backends) -> Result<Answer, ApiError> {
        let Self { items, shape, who } = self;
        let verdicts: Vec<Out> = futures::stream::iter(items.into_iter().enumerate())
            .map(|(index, item)| {
                let (shape, who) = (&shape, &who);
                async move {
                    let answered = match item {
                        Ok(message) => write(backends, shape, &message, who).await,
                        Err(error) => Err(error),
                    };
                    verdict(index, shape, answered)
                }
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        Ok(Answer::Done {
            status: 207,
            body: Some(json!({ "results": verdicts }).to_string()),
            etag: None,
            location: None,
            dry_run: shape.dry_run,
        })
    }
}

async fn write(
    backends: &Backends,
    shape: &Shape,
    message: &DynamicMessage,
    who: &OnBehalf,
) -> Result<Answer, ApiError> {
    let bytes = call(backends, &shape.route, message, who)?.make(backends).await?;
    shape.answer(bytes)
}

fn items(body: Json) -> Result<Vec<Json>, ApiError> {
    let refuse = |at: &str, code: &str, message: &str| Err(ApiError::invalid(at, code, message));
    let Json::Object(entries) = body else {
        return refuse("", "wrong_type", "expected an object with `items`");
    };
    let mut items = None;
    for (key, value) in entries {
        match (key.as_str(), value) {
            ("items", Json::List(list)) => items = Some(list),
            ("items", _) => return refuse("/items", "wrong_type", "expected a list"),
            (other, _) => {
                return refuse(
                    &pointer("", other),
                    "unknown_field",
                    "unknown field; allowed is items",
                );
            }
        }
    }
    match items {
        None => refuse("/items", "required", "items is required"),
        Some(list) if list.is_empty() => refuse("/items", "required", "a batch has 1 to 1000 items"),
        Some(list) if list.len() > MAX_ITEMS => Err(ApiError::new(
            ErrorCode::TooLarge,
            format!("a batch has at most {MAX_ITEMS} items; import what is larger"),
        )),
        Some(list) => Ok(list),
    }
}

/// One item's request: what the frame says, the item's own `id` and `ifVersion`, and its fields.
fn one(
    frame: &Frame,
    batch: &Batch,
    version: Option<&prost_reflect::FieldDescriptor>,
    item: Json,
) -> Result<DynamicMessage, ApiError> {
    let mut message = frame.message.clone();
    let mut skip = frame.skip.clone();
    let mut item = item;
    if let (Some(field), Json::Object(entries)) = (&batch.id, &mut item) {
        skip.push(field.clone());
        match take(entries, "id") {
            Some(Json::Text(text)) => {
                let id: ids::SignalId = text
                    .parse()
                    .map_err(|_| ApiError::invalid("/id", "invalid_id", "an id is a UUID"))?;
                message.set_field(field, Value::String(id.to_string()));
            }
            Some(_) => return Err(ApiError::invalid("/id", "wrong_type", "expected text")),
            None => return Err(ApiError::invalid("/id", "required", "id is required")),
        }
        if let Some(field) = version {
            match take(entries, "ifVersion") {
                None | Some(Json::Null) => {}
                Some(Json::Int(n)) => {
                    let n = i64::try_from(n)
                        .map_err(|_| ApiError::invalid("/ifVersion", "out_of_range", "expected a version"))?;
                    message.set_field(field, Value::I64(n));
                }
                Some(_) => {
                    return Err(ApiError::invalid(
                        "/ifVersion",
                        "wrong_type",
                        "expected a whole number",
                    ));
                }
            }
        }
    }
    message::fill(&mut message, &item, &skip)?;
    Ok(message)
}

fn take(entries: &mut Vec<(String, Json)>, name: &str) -> Option<Json> {
    let at = entries.iter().position(|(key, _)| key == name)?;
    Some(entries.remove(at).1)
}

fn verdict(index: usize, shape: &Shape, answered: Result<Answer, ApiError>) -> Out {
    let mut out = Map::new();
    out.insert("index".to_owned(), index.into());
    match answered {
        Ok(Answer::Done { status, body, .. }) => {
            let body: Out = body
                .and_then(|body| serde_json::from_str(&body).ok())
                .unwrap_or(Out::Null);
            let record = shape
                .route
                .upserted()
                .and_then(|(record, _)| body.get(record.json_name()).cloned());
            let told = body.get("outcome").and_then(Out::as_str).map(str::to_owned);
            // A route for one record of the same method says created; here the batch's own route does not.
            let outcome = told.unwrap_or_else(|| {
                let word = if shape.route.http_method == "POST" {
                    "created"
                } else {
                    "updated"
                };
                word.to_owned()
            });
            let status = if outcome == "created" && !shape.dry_run {
                201
            } else {
                status
            };
            out.insert("status".to_owned(), status.into());
            let record = record.as_ref().unwrap_or(&body);
            if let Some(id) = record.get("id") {
                out.insert("id".to_owned(), id.clone());
            }
            out.insert("outcome".to_owned(), outcome.into());
        }
        Ok(Answer::Refused { .. }) | Err(_) => {
            let error = answered.err().unwrap_or_else(ApiError::internal);
            out.insert("status".to_owned(), error.code.http_status().into());
            out.insert("error".to_owned(), told(&error));
        }
    }
    Out::Object(out)
}

fn told(error: &ApiError) -> Out {
    let fields: Vec<&FieldError> = error.fields.iter().collect();
    json!({
        "code": error.code.as_str(),
        "detail": error.detail,
        "retryable": error.code.is_retryable(),
        "errors": fields,
    })
}
