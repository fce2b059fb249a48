//! The broker's logins: one for each service, that may tell the service's own events and use its own consumers.

use std::path::Path;

use anyhow::Context;
use eventbus::Login;
use local_stack::{NatsOptions, NatsUser, Password};

use crate::secrets::Secrets;

/// The stream that partners read.
pub(crate) const PARTNERS_READ: &str = "EVENTS";

/// What each service does with the broker.
pub const LOGINS: &[Login] = &[
    signal_ingest::LOGIN,
    identity_resolver::LOGIN,
    crm::LOGIN,
    scoring::LOGIN,
    gateway::LOGIN,
];

/// A broker of a local installation, with its services' logins and partners.
pub fn options(data_dir: &Path, secrets: &Secrets) -> anyhow::Result<NatsOptions> {
    let password = |service: &str| {
        let password = secrets.broker.get(service).cloned();
        Ok(Password::Text(password.with_context(|| {
            format!("secrets.json has no password of {service} at the broker")
        })?))
    };
    Ok(NatsOptions::new(data_dir.join("nats"))
        .with_users(users(password)?)
        .with_partners(secrets.issuer()?.public(), PARTNERS_READ))
}

/// The services' logins.
pub(crate) fn users(password: impl Fn(&str) -> anyhow::Result<Password>) -> anyhow::Result<Vec<NatsUser>> {
    let user = |login: &Login| {
        let permissions = login.permissions()?;
        Ok(NatsUser {
            name: login.service.to_owned(),
            password: password(login.service)?,
            publish: permissions.publish,
            subscribe: permissions.subscribe,
            answers: permissions.answers,
        })
    };
    LOGINS.iter().map(user).collect()
}
