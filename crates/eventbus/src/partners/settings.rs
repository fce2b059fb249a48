//! How the broker is set up for partners. One section (`partners`) of the settings of the service that answers for them.

use serde::Deserialize;
use settings::{Secret, SettingsError, Validate};

use super::IssuerKey;

/// Off unless the broker asks us about partners (`auth_callout` in its configuration).
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PartnerSettings {
    /// Whether partners may connect to the broker at all.
    pub enabled: bool,
    /// `nats://user:password@host:port` of the broker's system account: it tells of connections, and ends them.
    pub system_url: Secret<String>,
    /// Seed of the account key (`SA…`) whose public half the broker's `auth_callout` names as `issuer`.
    pub issuer_seed: Secret<String>,
    /// The partners' account at the broker.
    pub account: String,
    /// What partners connect to, as they are told: `nats://…` or `tls://…`, separated by commas.
    pub public_url: String,
    /// Credentials of one organization that are good at the same time.
    pub max_credentials: u32,
    /// Connections of one credential at the same time.
    pub max_connections: u32,
    /// Subscriptions of one connection.
    pub max_subscriptions: u32,
    /// Consumers of one credential.
    pub max_consumers: u16,
}

impl Default for PartnerSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            system_url: Secret::new(String::new()),
            issuer_seed: Secret::new(String::new()),
            account: "PARTNERS".to_owned(),
            public_url: String::new(),
            max_credentials: 20,
            max_connections: 10,
            max_subscriptions: 64,
            max_consumers: 8,
        }
    }
}

impl Validate for PartnerSettings {
    fn validate(&self) -> Result<(), SettingsError> {
        let refuse = |key: &str, reason: &str| Err(SettingsError::invalid(format!("partners.{key}"), reason));
        if !self.enabled {
            return Ok(());
        }
        if IssuerKey::read(self.issuer_seed.expose()).is_err() {
            return refuse("issuer_seed", "it must be the seed of an account key (SA...)");
        }
        if self.system_url.expose().is_empty() {
            return refuse(
                "system_url",
                "it must be the address of the broker's system account",
            );
        }
        if self.public_url.is_empty() {
            return refuse("public_url", "partners must be told what to connect to");
        }
        // Each consumer is three subjects in a token that the broker must take in one message.
        if !(1..=64).contains(&self.max_consumers) {
            return refuse("max_consumers", "1 to 64");
        }
        if self.max_connections == 0 || self.max_subscriptions == 0 || self.max_credentials == 0 {
            return refuse(
                "max_connections",
                "connections, subscriptions and credentials must be above zero",
            );
        }
        Ok(())
    }
}
