//! From the `Authorization` header to a credential within its rate limit.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use errors::{ApiError, ErrorCode};

use super::body::{Limits, raw_body};
use super::{Context, Edge};
use crate::access::{Claim, Credential};
use crate::limits::Class;

/// Who calls, and the request counted against their limit. The body of a signed request is read and compared here, before
/// anybody acts on it.
pub(super) async fn authenticate(
    edge: &Edge,
    request: &HttpRequest,
    payload: &mut Payload,
    context: &Context,
    class: Class,
) -> Result<Arc<Credential>, ApiError> {
    let credential = match authorization(request)? {
        Sent::Bearer(token) => edge.authenticator.bearer(token).await?,
        Sent::Signed(claim) => {
            let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
            let credential = edge.authenticator.signed(&claim, request.method().as_str(), path);
            let credential = credential.await?;
            counted(&credential, context, class)?;
            edge.authenticator.first_time(&credential, &claim).await?;
            body(edge, request, payload, &claim).await?;
            pin(context, &credential);
            return Ok(credential);
        }
    };
    counted(&credential, context, class)?;
    pin(context, &credential);
    Ok(credential)
}

fn counted(credential: &Credential, context: &Context, class: Class) -> Result<(), ApiError> {
    let standing = credential.buckets.take(class);
    context.standing.set(Some(standing));
    standing.check()
}

/// What the request did not name follows from its key.
fn pin(context: &Context, credential: &Credential) {
    if context.version.get().is_none() {
        context.version.set(credential.version);
    }
}

/// Reads the body, compares it with what was signed, and puts it back.
async fn body(
    edge: &Edge,
    request: &HttpRequest,
    payload: &mut Payload,
    claim: &Claim<'_>,
) -> Result<(), ApiError> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        // Nobody reads it.
        return claim.covers(&[]);
    }
    let max_bytes = edge.settings.max_body_bytes;
    let timeout = edge.settings.body_timeout(u64::try_from(max_bytes).unwrap_or(0));
    let bytes = raw_body(request, payload, Limits { max_bytes, timeout }).await?;
    claim.covers(&bytes)?;
    *payload = Payload::from(bytes);
    Ok(())
}

/// Nobody known, counted against the limit of their address.
pub(super) fn anybody(edge: &Edge, context: &Context) -> Result<Arc<Credential>, ApiError> {
    let credential = edge.authenticator.nobody(&context.address);
    counted(&credential, context, Class::Write)?;
    Ok(credential)
}

enum Sent<'r> {
    Bearer(&'r str),
    Signed(Claim<'r>),
}

/// The one `Authorization` header. Keys are accepted nowhere else: a query string ends up in logs.
fn authorization(request: &HttpRequest) -> Result<Sent<'_>, ApiError> {
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
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok(Sent::Bearer(token.trim_start_matches(' ')))
        }
        Some((scheme, fields)) if scheme.eq_ignore_ascii_case(Claim::SCHEME) => {
            Claim::read(fields).map(Sent::Signed)
        }
        _ => refuse("send the API key as `Authorization: Bearer <key>`"),
    }
}
