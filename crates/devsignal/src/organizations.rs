//! Making organizations from the command line and at the first start.

use anyhow::Context;
use gateway::access::{NewKey, create_organization};
use ids::{OrgId, SystemClock, SystemIds};
use store::Stores;

/// Second part of the key's text, `dsk_<environment>_…`.
const ENVIRONMENT: &str = "dev";

/// A new organization and its first API key, which may do everything. The key's text cannot be had again.
pub async fn create(stores: &Stores, name: &str) -> anyhow::Result<(OrgId, String)> {
    let key = NewKey::owner(ENVIRONMENT);
    let (org, secret) = create_organization(stores, &SystemClock, &SystemIds, name, &key)
        .await
        .context("cannot create the organization")?;
    Ok((org, secret.expose().clone()))
}
