//! Our errors as GraphQL carries them: `extensions.code` is the code of the one table.

use async_graphql::dynamic::{FieldValue, ResolverContext};
use async_graphql::{Error, ErrorExtensionValues, ErrorExtensions as _, Response, ServerError, Value};
use errors::{ApiError, ErrorCode};

/// An error at the field that is being resolved.
pub fn of_api(error: &ApiError) -> Error {
    Error::new(error.detail.clone()).extend_with(|_, extensions| put(extensions, error))
}

fn put(extensions: &mut ErrorExtensionValues, error: &ApiError) {
    extensions.set("code", error.code.as_str());
    extensions.set("retryable", error.code.is_retryable());
    if let Some(secs) = error.retry_after_secs {
        extensions.set("retryAfterSeconds", secs);
    }
    if !error.fields.is_empty()
        && let Ok(places) = Value::from_json(serde_json::json!(error.fields))
    {
        extensions.set("errors", places);
    }
}

/// Leaves a field that failed null, with its error in the answer: what is around it stays.
pub fn contained(
    ctx: &ResolverContext<'_>,
    result: async_graphql::Result<Option<FieldValue<'static>>>,
) -> async_graphql::Result<Option<FieldValue<'static>>> {
    result.or_else(|error| {
        let error = error.into_server_error(ctx.item.pos);
        ctx.add_error(ctx.set_error_path(error));
        Ok(None)
    })
}

/// An answer that is nothing but this error.
pub fn refusal(error: &ApiError, request_id: &str) -> Response {
    let mut refused = ServerError::new(error.detail.clone(), None);
    let mut extensions = ErrorExtensionValues::default();
    put(&mut extensions, error);
    refused.extensions = Some(extensions);
    finish(Response::from_errors(vec![refused]), request_id)
}

/// Gives every error a code and the request's id; what is wrong with the query itself is `validation_failed`.
pub fn finish(mut response: Response, request_id: &str) -> Response {
    for error in &mut response.errors {
        if error.message.starts_with("internal:") {
            tracing::error!(request_id, message = %error.message, "a GraphQL value does not fit its type");
            error.message = "the request failed on our side".to_owned();
            let extensions = error.extensions.get_or_insert_with(Default::default);
            put(extensions, &ApiError::internal());
        }
        let extensions = error.extensions.get_or_insert_with(Default::default);
        if extensions.get("code").is_none() {
            extensions.set("code", ErrorCode::ValidationFailed.as_str());
            extensions.set("retryable", false);
        }
        if !request_id.is_empty() {
            extensions.set("requestId", request_id);
        }
    }
    response
}
