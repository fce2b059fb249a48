//! `devsignal broker-config`: what a nats-server of one's own must know of us.

use local_stack::{NatsAccess, PartnerAccess, Password};

use crate::broker::{PARTNERS_READ, users};
use crate::cli::BrokerConfigArgs;

/// Prints the accounts, logins and permissions; the passwords are the broker's environment variables.
pub fn run(args: &BrokerConfigArgs) -> anyhow::Result<()> {
    let variable = |user: &str| {
        let name = user.replace('-', "_").to_uppercase();
        Password::Variable(format!("DEVSIGNAL_NATS_{name}"))
    };
    let users = users(|service| Ok(variable(service)))?;
    let partners = args.partners_issuer.as_ref().map(|issuer| PartnerAccess {
        issuer: issuer.clone(),
        stream: PARTNERS_READ.to_owned(),
    });
    let access = NatsAccess {
        operator: variable("operator"),
        system: variable("system"),
        users: &users,
        partners: partners.as_ref(),
    };
    crate::say(access.render()?.trim_end());
    Ok(())
}
