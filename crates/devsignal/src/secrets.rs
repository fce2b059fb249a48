//! The secrets of a local installation: made at the first start, kept in the data folder, readable by its owner only.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use eventbus::partners::IssuerKey;
use rand::distr::{Alphanumeric, SampleString};
use serde::{Deserialize, Serialize};

use crate::broker::LOGINS;
use crate::wiring::SCHEMAS;

/// The document `secrets.json`. Losing it means losing what is sealed with it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Secrets {
    /// Password of each database role, by role name.
    pub database: BTreeMap<String, String>,
    /// Private half of the key pair that signs principals.
    pub principal_key: String,
    /// Public half.
    pub principal_public_key: String,
    /// Key that seals webhooks' shared secrets (32 bytes, base64).
    pub sealing_key: String,
    /// Key that authenticates stream cursors (32 bytes, base64).
    pub cursor_key: String,
    /// Password of each service's login at the broker, by service.
    #[serde(default)]
    pub broker: BTreeMap<String, String>,
    /// Seed of the key that vouches for partners at the broker.
    #[serde(default = "issuer")]
    pub nats_issuer: String,
    /// The first organization and its API key, once made.
    pub first_organization: Option<FirstOrganization>,
}

/// The first organization of a local installation.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FirstOrganization {
    /// Its id.
    pub org_id: String,
    /// Its first API key.
    pub api_key: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Secrets {
    /// Reads the secrets of a data folder.
    pub fn read(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join("secrets.json");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not readable", path.display()))
    }

    /// Reads the secrets, or makes them at the first start.
    pub fn read_or_make(data_dir: &Path) -> anyhow::Result<Self> {
        let mut secrets = if data_dir.join("secrets.json").exists() {
            Self::read(data_dir)?
        } else {
            Self::make()
        };
        for schema in SCHEMAS {
            for role in ["owner", "app", "pipeline"] {
                secrets
                    .database
                    .entry(format!("{schema}_{role}"))
                    .or_insert_with(password);
            }
        }
        for login in LOGINS {
            let password_of = secrets.broker.entry(login.service.to_owned());
            password_of.or_insert_with(password);
        }
        secrets.write(data_dir)?;
        Ok(secrets)
    }

    /// The key that vouches for partners at the broker.
    pub fn issuer(&self) -> anyhow::Result<IssuerKey> {
        IssuerKey::read(&self.nats_issuer).context("nats_issuer of secrets.json is no account's seed")
    }

    /// Writes the secrets whole or not at all.
    pub fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
        crate::private_file::write(&data_dir.join("secrets.json"), &serde_json::to_vec_pretty(self)?)
    }

    fn make() -> Self {
        let pair = rpc::KeyPair::generate();
        Self {
            database: BTreeMap::new(),
            broker: BTreeMap::new(),
            principal_key: pair.private.expose().clone(),
            principal_public_key: pair.public,
            sealing_key: key(),
            cursor_key: key(),
            nats_issuer: issuer(),
            first_organization: None,
        }
    }
}

fn key() -> String {
    use base64::Engine;
    let bytes: [u8; 32] = rand::random();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn issuer() -> String {
    IssuerKey::generate().seed().expose().clone()
}

fn password() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), 32)
}
