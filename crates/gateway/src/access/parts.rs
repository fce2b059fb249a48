//! What the access services have in common: their dependencies, their errors, roles and checked texts.

use std::sync::Arc;

use contracts::access::v1 as wire;
use errors::{ApiError, ErrorCode, ErrorDomain as _};
use ids::{Clock, IdGen, OrgId};
use jiff::Timestamp;
use rpc::{Actor, Caller, Role};
use sha2::{Digest as _, Sha256};
use store::{OrgScope, StoreError, Stores};
use tonic::{Request, Status};
use uuid::Uuid;

use super::authenticate::Proofs;
use super::nats::NatsAccess;
use super::password::Passwords;
use super::signing::Signatures;
use super::throttle::Throttle;
use super::token::Tokens;
use crate::backends::ADDRESS_KEY;
use crate::mail::Mailer;

/// Dependencies. Shared by the services.
pub struct Parts {
    /// The gateway's schema.
    pub stores: Stores,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn IdGen>,
    /// Passwords.
    pub passwords: Passwords,
    /// Access tokens.
    pub tokens: Tokens,
    /// Tries to come in.
    pub throttle: Throttle,
    /// Mail.
    pub mailer: Mailer,
    /// Signatures of requests.
    pub signatures: Signatures,
    /// Second part of new keys' text.
    pub environment: String,
    /// Reading events from the broker directly.
    pub nats: NatsAccess,
}

impl Parts {
    /// What callers prove themselves by.
    #[must_use]
    pub fn proofs(&self) -> Proofs {
        Proofs {
            tokens: self.tokens.clone(),
            signatures: self.signatures.clone(),
        }
    }
}

/// A service of this package. Cheap to clone.
#[derive(Clone)]
pub struct Api(pub Arc<Parts>);

/// Why a call fails.
#[derive(Debug)]
pub(super) enum Fault {
    Store(StoreError),
    Api(ApiError),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Api(error) => error.to_status(),
            Fault::Store(error) => {
                let told = error.to_api();
                if told.code != ErrorCode::Conflict {
                    tracing::error!(%error, source = ?std::error::Error::source(&error), "a call failed");
                }
                told.to_status()
            }
        }
    }
}

/// The caller and their organization.
pub(super) fn enter<T>(request: &Request<T>) -> Result<(Caller, OrgScope), Status> {
    let caller = rpc::caller(request)?;
    let scope = OrgScope::new(caller.org()?);
    Ok((caller, scope))
}

/// The person who calls.
pub(super) fn person(caller: &Caller) -> Result<Uuid, ApiError> {
    match caller.principal().actor {
        Actor::User(id) => Ok(id),
        _ => Err(ApiError::new(
            ErrorCode::PermissionDenied,
            "only a person may do this",
        )),
    }
}

/// The client's network address, told by the gateway's edge.
pub(super) fn address<T>(request: &Request<T>) -> String {
    let value = request.metadata().get(ADDRESS_KEY);
    value.and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
}

/// Text of 1 to 200 characters.
pub(super) fn name(at: &str, text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    let fits = (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if fits {
        return Ok(text.to_owned());
    }
    Err(ApiError::invalid(at, "out_of_range", "1 to 200 characters"))
}

/// An address for mail, in lower case.
pub(super) fn email(text: &str) -> Result<String, ApiError> {
    let text = text.trim().to_lowercase();
    let good = text.len() <= 254
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
        && text.split_once('@').is_some_and(|(who, at)| {
            !who.is_empty() && at.contains('.') && !at.contains('@') && at.len() > 3
        });
    if good {
        return Ok(text);
    }
    let message = "expected an address such as dev@example.com";
    Err(ApiError::invalid("/email", "invalid_email", message))
}

/// A new password.
pub(super) fn password<'a>(at: &str, text: &'a str) -> Result<&'a str, ApiError> {
    if (12..=256).contains(&text.chars().count()) {
        return Ok(text);
    }
    Err(ApiError::invalid(at, "out_of_range", "12 to 256 characters"))
}

/// A role that was given.
pub(super) fn role(given: i32) -> Result<Role, ApiError> {
    match wire::Role::try_from(given) {
        Ok(wire::Role::Viewer) => Ok(Role::Viewer),
        Ok(wire::Role::Member) => Ok(Role::Member),
        Ok(wire::Role::Admin) => Ok(Role::Admin),
        Ok(wire::Role::Owner) => Ok(Role::Owner),
        _ => Err(ApiError::invalid(
            "/role",
            "required",
            "VIEWER, MEMBER, ADMIN or OWNER",
        )),
    }
}

/// A stored role, as told.
pub(super) fn told_role(stored: &str) -> i32 {
    match stored {
        "OWNER" => wire::Role::Owner.into(),
        "ADMIN" => wire::Role::Admin.into(),
        "MEMBER" => wire::Role::Member.into(),
        _ => wire::Role::Viewer.into(),
    }
}

/// A told role, as stored.
pub(super) fn stored_role(told: i32) -> &'static str {
    match wire::Role::try_from(told) {
        Ok(wire::Role::Owner) => "OWNER",
        Ok(wire::Role::Admin) => "ADMIN",
        Ok(wire::Role::Member) => "MEMBER",
        _ => "VIEWER",
    }
}

/// Only an owner gives or takes the owner's role.
pub(super) fn owners_only(caller: &Caller, role: Role) -> Result<(), ApiError> {
    if role == Role::Owner && caller.principal().role != Role::Owner {
        return Err(ApiError::new(
            ErrorCode::PermissionDenied,
            "only an OWNER gives or takes the OWNER's role",
        ));
    }
    Ok(())
}

/// A secret of 256 bits as text, and what is stored of it.
pub(super) fn secret(prefix: &str) -> (String, [u8; 32]) {
    use base64::Engine as _;
    let mut bytes = [0_u8; 32];
    rand::fill(&mut bytes);
    let text = format!(
        "{prefix}{}",
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    );
    let stored = digest(&text);
    (text, stored)
}

pub(super) fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// An id of the path.
pub(super) fn path_id(text: &str, what: &str) -> Result<Uuid, ApiError> {
    text.parse::<OrgId>()
        .map(OrgId::uuid)
        .map_err(|_| ApiError::new(ErrorCode::InvalidId, format!("the id of a {what} is a UUID")))
}

pub(super) fn later(at: Timestamp, days: i64) -> Timestamp {
    at.checked_add(jiff::SignedDuration::from_hours(24 * days))
        .unwrap_or(at)
}
