//! What a handler knows of its caller, and what it asks of it.

use std::sync::Arc;

use contracts::access::Permission;
use errors::{ApiError, ErrorCode};
use ids::OrgId;
use tonic::{Request, Status};

use crate::Principal;

/// The caller of a request: who, and under which request id. Placed into the request by the server once the signature
/// was verified, so that it cannot be had any other way.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(crate) principal: Arc<Principal>,
    pub(crate) token: Arc<str>,
    pub(crate) request_id: Arc<str>,
}

/// What a method needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads records of the organization.
    Read,
    /// Writes records of the organization.
    Write,
    /// Changes how the organization is set up: sources, keys, members.
    Admin,
    /// Calls of our own services only.
    System,
}

/// The caller of `request`; without a valid principal the answer is `unauthenticated`.
pub fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    request
        .extensions()
        .get::<Caller>()
        .cloned()
        .ok_or_else(unauthenticated)
}

pub(crate) fn unauthenticated() -> Status {
    ApiError::new(
        ErrorCode::Unauthenticated,
        "a principal signed by the gateway is required",
    )
    .to_status()
}

impl Caller {
    /// Who calls.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The id of the client's request.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Checks role and scopes once more, for handlers whose need depends on the request. What a method always needs is
    /// said by its rule and checked before its handler runs.
    ///
    /// # Errors
    /// `permission_denied`.
    pub fn require(&self, access: Access, resource: &str) -> Result<(), ApiError> {
        let permission = match access {
            Access::Read => Permission::Read,
            Access::Write => Permission::Write,
            Access::Admin => Permission::Admin,
            Access::System => Permission::System,
        };
        self.principal.allows(permission, resource)
    }

    /// The organization the call is for; a call for none is refused.
    pub fn org(&self) -> Result<OrgId, ApiError> {
        self.principal.org.ok_or_else(|| {
            ApiError::new(
                ErrorCode::PermissionDenied,
                "the call is not made for an organization",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Actor, Role};

    fn caller(role: Role, scopes: &[&str]) -> Caller {
        let principal = Principal {
            org: None,
            actor: Actor::System("t".into()),
            role,
            scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
        };
        Caller {
            principal: Arc::new(principal),
            token: "".into(),
            request_id: "".into(),
        }
    }

    #[test]
    fn roles_and_scopes_both_limit() {
        assert!(
            caller(Role::Viewer, &[])
                .require(Access::Read, "accounts")
                .is_ok()
        );
        assert!(
            caller(Role::Viewer, &[])
                .require(Access::Write, "accounts")
                .is_err()
        );
        assert!(
            caller(Role::Member, &[])
                .require(Access::Admin, "sources")
                .is_err()
        );
        assert!(
            caller(Role::Owner, &["signals:write"])
                .require(Access::Write, "signals")
                .is_ok()
        );
        assert!(
            caller(Role::Owner, &["signals:write"])
                .require(Access::Read, "signals")
                .is_err()
        );
        assert!(
            caller(Role::Owner, &["*:read"])
                .require(Access::Read, "accounts")
                .is_ok()
        );
        assert!(
            caller(Role::Owner, &[])
                .require(Access::System, "intake")
                .is_err()
        );
        assert!(
            caller(Role::System, &[])
                .require(Access::System, "intake")
                .is_ok()
        );
    }
}
