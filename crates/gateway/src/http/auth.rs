//! From the `Authorization` header to a credential within its rate limit.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use errors::{ApiError, ErrorCode};

use super::{Context, Edge};
use crate::access::Credential;
use crate::limits::Class;

/// Who calls, and the request counted against their limit.
pub(super) async fn authenticate(
    edge: &Edge,
    request: &HttpRequest,
    context: &Context,
    class: Class,
) -> Result<Arc<Credential>, ApiError> {
    let credential = edge.authenticator.bearer(bearer(request)?).await?;
    let standing = credential.buckets.take(class);
    context.standing.set(Some(standing));
    standing.check()?;
    Ok(credential)
}

/// Nobody known, counted against the limit of their address.
pub(super) fn anybody(edge: &Edge, context: &Context) -> Result<Arc<Credential>, ApiError> {
    let credential = edge.authenticator.nobody(&context.address);
    let standing = credential.buckets.take(Class::Write);
    context.standing.set(Some(standing));
    standing.check()?;
    Ok(credential)
}

/// The token of the one `Authorization: Bearer` header. Keys are accepted nowhere else: a query string ends up in logs.
fn bearer(request: &HttpRequest) -> Result<&str, ApiError> {
    let refuse = |detail: &str| Err(ApiError::new(ErrorCode::Unauthenticated, detail));
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let Some(header) = headers.next() else {
        return refuse("send the API key as `Authorization: Bearer <key>`");
    };
    if headers.next().is_some() {
        return refuse("send one Authorization header only");
    }
    let text = header.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim_start_matches(' ')),
        _ => refuse("send the API key as `Authorization: Bearer <key>`"),
    }
}
