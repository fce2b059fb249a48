//! The proof that work is done for one organization.

use ids::OrgId;
use uuid::Uuid;

/// Whose rows may be touched. Made only where the organization was verified: by `rpc` from a signed principal, by
/// `eventbus` from an envelope of our own. Never from a request's body or path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OrgScope(OrgId);

impl OrgScope {
    /// The scope of a verified organization.
    #[must_use]
    pub fn new(org: OrgId) -> Self {
        Self(org)
    }

    /// The organization.
    #[must_use]
    pub fn org(&self) -> OrgId {
        self.0
    }

    /// The organization's bare id, to bind as `org_id`.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.0.uuid()
    }
}
